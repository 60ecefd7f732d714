/** The catalogue as the pack serves it to the page, made from the file that it is read from. */

import { readFileSync } from "node:fs";

const read = (path) => JSON.parse(readFileSync(new URL(`../../${path}`, import.meta.url), "utf-8"));
const { inputs, models: single, families } = read("siliconflow/catalogue.json");
const ofFamily = ({ models: own, ...common }) => Object.entries(own).map(([id, entry]) => ({ id, ...common, ...entry }));
const models = [...single, ...families.flatMap(ofFamily)];
const declared = read("tests/nodes/snapshot.json");

/** The names of a node's inputs, in order. */
function namesOf(type) {
  const { required, optional } = declared[type].inputs;
  return [...required, ...optional].map(([name]) => name);
}

function defaultsOf(task, { fields }) {
  const replaced = Object.values(fields).map(({ excludes }) => excludes);
  const known = ([name, field]) => "default" in field && "unset" in inputs[name] && !replaced.includes(name);
  return task === "chat" ? {} : Object.fromEntries(Object.entries(fields).filter(known).map(([name, field]) => [name, field.default]));
}

const node = (task, pictures, names) => ({
  task,
  pictures,
  inputs: names,
  models: models
    .filter((model) => model.tasks.includes(task))
    .filter((model, at, all) => all.findIndex(({ id }) => id === model.id) === at)
    .map((model) => ({ images: [], ...model, listed: true, mark: null, guessed_from: "", defaults: defaultsOf(task, model) })),
});

export const catalogue = {
  site: "cn",
  inputs: Object.fromEntries(Object.entries(inputs).map(([name, entry]) => [name, { unset: null, ...entry }])),
  nodes: {
    SiliconFlowTextToImage: node("text-to-image", [], namesOf("SiliconFlowTextToImage")),
    SiliconFlowImageEdit: node("image-edit", ["image", "image2", "image3"], namesOf("SiliconFlowImageEdit")),
    SiliconFlowChat: node("chat", ["image", "image2", "image3", "image4"], namesOf("SiliconFlowChat")),
  },
  refreshed_at: null,
};

export const draw = catalogue.nodes.SiliconFlowTextToImage;
export const edit = catalogue.nodes.SiliconFlowImageEdit;
export const chat = catalogue.nodes.SiliconFlowChat;
export const modelOfId = (id, among = draw) => among.models.find((model) => model.id === id);
