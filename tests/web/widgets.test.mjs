import assert from "node:assert/strict";
import { test } from "node:test";

import { adapt, afterChange, fits, markOf, modelOf, noticeOf, ruleOf, unusedInputs } from "../../web/js/logic/widgets.js";
import { catalogue, chat, draw, edit, modelOfId } from "./catalogue.mjs";

const KOLORS = "Kwai-Kolors/Kolors";
const QWEN = "Qwen/Qwen-Image";
const DEV = "black-forest-labs/FLUX.1-dev";
const SCHNELL = "black-forest-labs/FLUX.1-schnell";
const FLEX = "black-forest-labs/FLUX.2-flex";
const PRO = "black-forest-labs/FLUX-1.1-pro";
const FRESH = {
  model: KOLORS, custom_model: "", image_size: "auto", width: 1024, height: 1024, batch_size: 1, num_inference_steps: 0,
  guidance_scale: -1, cfg: 0, negative_prompt: "",
};
const NONE = new Set();

const rule = (id, name, values = FRESH) => ruleOf(catalogue, modelOfId(id), name, values);
const shown = (id, values = FRESH) => draw.inputs.filter((name) => rule(id, name, values).shown);

/** A person at a node: chooses models and types values; sees what stands in the widgets. */
function person() {
  let values = { ...FRESH };
  let memory = {};
  let previous = modelOf(draw, values, NONE);
  const follow = () => {
    const model = modelOf(draw, values, NONE);
    ({ values, memory } = adapt(catalogue, draw, model, values, memory, previous));
    previous = model;
  };
  return {
    choose(id) { values.model = id; follow(); return this; },
    type(name, value) { values[name] = value; memory = afterChange(catalogue, memory, name, value); if (/model|image_size/.test(name)) follow(); return this; },
    sees: (name) => values[name],
    get memory() { return memory; },
  };
}

test("every field of a model is shown, and no other that models have", () => {
  for (const model of draw.models) {
    const fields = draw.inputs.filter((name) => name in model.fields && !["width", "height"].includes(name));
    const others = draw.inputs.filter((name) => catalogue.inputs[name]?.unset !== null && catalogue.inputs[name] && !(name in model.fields));
    const seen = shown(model.id);
    assert.deepEqual(fields.filter((name) => !seen.includes(name)), [], model.id);
    assert.deepEqual(others.filter((name) => seen.includes(name) && name !== "image_size"), [], model.id);
  }
});

test("seed and number of images are the node's own, and shown for every model", () => {
  for (const model of draw.models) {
    for (const name of ["seed", "batch_size", "model", "prompt", "custom_model", "extra_body"]) {
      assert.deepEqual(ruleOf(catalogue, model, name, FRESH), { shown: true }, `${model.id} ${name}`);
    }
  }
});

test("the sizes are those the model makes, with custom where it takes any", () => {
  assert.deepEqual(rule(SCHNELL, "image_size").choices, ["auto", "1024x1024", "512x1024", "768x512", "768x1024", "1024x576", "576x1024"]);
  assert.equal(rule(KOLORS, "image_size").choices.at(-1), "custom");
});

test("width and height come with the size custom", () => {
  assert.equal(rule(KOLORS, "width").shown, false);
  assert.equal(rule(KOLORS, "width", { ...FRESH, image_size: "custom" }).shown, true);
  assert.equal(rule(SCHNELL, "width", { ...FRESH, image_size: "custom" }).shown, false);
});

test("a model of widths and heights offers auto and custom, with its own range and steps", () => {
  assert.deepEqual(rule(PRO, "image_size").choices, ["auto", "custom"]);
  assert.deepEqual(rule(PRO, "height", { ...FRESH, image_size: "custom" }), { shown: true, minimum: 256, maximum: 1440, step: 32 });
});

test("the detail of images is a choice for models that see them, and each choice stands once", () => {
  for (const model of chat.models) {
    const rule = ruleOf(catalogue, model, "detail", {});
    assert.equal(rule.shown, model.images.length > 0, model.id);
    if (rule.shown) assert.deepEqual(rule.choices, ["auto", "low", "high"]);
  }
});

test("a recording is not used by a model that has no field for its text", () => {
  const node = { pictures: [], inputs: ["reference_audio", "reference_text", "reference_audio2", "reference_text2"] };
  const one = { images: [], fields: { reference_text: {} } };
  assert.deepEqual(unusedInputs(node, one), ["reference_audio2"]);
  assert.deepEqual(unusedInputs(node, { images: [], fields: {} }), ["reference_audio", "reference_audio2"]);
  assert.deepEqual(unusedInputs(node, null), []);
});

test("the choices of a number are numbers, and one that a model lacks gives way to not set", () => {
  const inputs = { dimensions: { unset: 0 } };
  const model = { fields: { dimensions: { type: "integer", choices: ["64", "128"] } } };
  const rule = ruleOf({ inputs }, model, "dimensions", {});
  assert.deepEqual(rule, { shown: true, choices: [0, 64, 128] });
  assert.ok(fits(rule, 128) && !fits(rule, 256));
  const { values } = adapt({ inputs }, { inputs: ["dimensions"] }, model, { dimensions: 256 }, {});
  assert.equal(values.dimensions, 0);
});

test("a range holds the model's numbers and the one that means not set", () => {
  assert.deepEqual(rule(DEV, "num_inference_steps"), { shown: true, minimum: 0, maximum: 30 });
  assert.deepEqual(rule(KOLORS, "guidance_scale"), { shown: true, minimum: -1, maximum: 20 });
});

test("a model that is not known takes all that the node has, as declared", () => {
  for (const name of draw.inputs) assert.deepEqual(ruleOf(catalogue, null, name, FRESH), { shown: true });
});

test("the custom model decides when it is written down, the linked one is unknown", () => {
  assert.equal(modelOf(draw, FRESH, NONE).id, KOLORS);
  assert.equal(modelOf(draw, { ...FRESH, custom_model: " some/model " }, NONE), null);
  assert.equal(modelOf(draw, { ...FRESH, custom_model: QWEN }, NONE).id, QWEN);
  assert.equal(modelOf(draw, FRESH, new Set(["model"])), null);
  assert.equal(modelOf(draw, FRESH, new Set(["custom_model"])), null);
  assert.equal(modelOf(draw, { ...FRESH, custom_model: QWEN }, new Set(["model"])).id, QWEN);
});

test("a model that the account's list brought takes everything", () => {
  const found = { id: "a/new", name: "a/new", site: "cn", listed: false, mark: "new", images: ["image"], fields: {} };
  const node = { ...draw, models: [...draw.models, found] };
  assert.equal(modelOf(node, { ...FRESH, model: "a/new" }, NONE), null);
  assert.equal(noticeOf(catalogue, node, { ...FRESH, model: "a/new" }, NONE), "new");
});

test("a guessed model takes what its family does, and everything once it is written by its id", () => {
  const found = { ...modelOfId(QWEN), id: "a/new", mark: "guessed", guessed_from: QWEN };
  const node = { ...draw, models: [...draw.models, found] };
  const chosen = { ...FRESH, model: "a/new" };
  assert.equal(modelOf(node, chosen, NONE), found);
  assert.equal(noticeOf(catalogue, node, chosen, NONE), "guessed");
  assert.equal(modelOf(node, { ...chosen, custom_model: "a/new" }, NONE), null);
  assert.equal(noticeOf(catalogue, node, { ...chosen, custom_model: "a/new" }, NONE), "new");
});

test("a notice says what is odd about a model, and nothing otherwise", () => {
  assert.equal(noticeOf(catalogue, draw, FRESH, NONE), null);
  assert.equal(noticeOf(catalogue, draw, { ...FRESH, model: "gone/model" }, NONE), "unlisted");
  assert.equal(noticeOf(catalogue, draw, { ...FRESH, custom_model: "my/own" }, NONE), null);
  assert.equal(noticeOf(catalogue, draw, { ...FRESH, model: "gone/model" }, new Set(["model"])), null);
  assert.equal(noticeOf(catalogue, draw, { ...FRESH, model: PRO }, NONE), "elsewhere");
  const missing = { ...draw, models: draw.models.map((model) => ({ ...model, mark: "missing" })) };
  assert.equal(noticeOf(catalogue, missing, FRESH, NONE), "missing");
  const retired = { ...draw, models: draw.models.map((model) => ({ ...model, mark: "retired" })) };
  assert.equal(noticeOf(catalogue, retired, { ...FRESH, model: SCHNELL }, NONE), "retired");
});

test("image inputs beyond those of a model are unused", () => {
  const places = (id) => unusedInputs(edit, modelOfId(id, edit));
  assert.deepEqual(places("Qwen/Qwen-Image-Edit-2509"), []);
  assert.deepEqual(places("Qwen/Qwen-Image-Edit"), ["image2", "image3", "references"]);
  assert.deepEqual(unusedInputs(edit, null), []);
});

test("a size that the new model does not make gives way to its own and comes back", () => {
  const at = person().choose(QWEN).type("image_size", "1664x928").choose(KOLORS);
  assert.equal(at.sees("image_size"), "1024x1024");
  assert.equal(at.choose(SCHNELL).sees("image_size"), "1024x1024");
  assert.equal(at.choose(QWEN).sees("image_size"), "1664x928");
  assert.deepEqual(at.memory.image_size, { wanted: [], standsIn: false, typed: true });
});

test("another model brings its own numbers in place of what was not set", () => {
  const at = person().choose(QWEN);
  assert.deepEqual(["image_size", "num_inference_steps", "cfg", "guidance_scale"].map(at.sees), ["1328x1328", 20, 4, -1]);
  assert.deepEqual(["image_size", "num_inference_steps", "cfg", "guidance_scale"].map(at.choose(KOLORS).sees), ["1024x1024", 20, 0, 7.5]);
  assert.deepEqual(at.memory, {});
});

test("a number that the user typed stays, though it is what another model would do by itself", () => {
  const at = person().type("num_inference_steps", 25).choose(FLEX);
  assert.equal(at.choose(KOLORS).sees("num_inference_steps"), 25);
  assert.equal(person().choose(KOLORS).choose(FLEX).sees("num_inference_steps"), 25);
});

test("a number of an older workflow that no model has by itself is the user's", () => {
  const { values } = adapt(catalogue, draw, modelOfId(QWEN), { ...FRESH, num_inference_steps: 35 }, {}, modelOfId(KOLORS));
  assert.deepEqual([values.num_inference_steps, values.cfg], [35, 4]);
});

test("a number that one model brought along is not sent to another that hides and a third that shows it", () => {
  const at = person().choose(QWEN).choose(KOLORS).choose(SCHNELL);
  assert.equal(at.sees("guidance_scale"), -1);
  assert.equal(at.choose(QWEN).sees("guidance_scale"), -1);
});

test("a model that is written by its id is sent nothing that the user did not set", () => {
  const at = person().choose(QWEN).type("cfg", 6).type("custom_model", "some/model");
  assert.deepEqual(["image_size", "num_inference_steps", "cfg"].map(at.sees), ["auto", 0, 6]);
  assert.deepEqual(["image_size", "num_inference_steps", "cfg"].map(at.type("custom_model", "").sees), ["1328x1328", 20, 6]);
});

test("while the model stays, nothing that an older workflow did not set is set", () => {
  const at = person().type("image_size", "custom");
  assert.equal(at.sees("num_inference_steps"), 0);
});

test("each model gets back the last of its own sizes that was chosen", () => {
  const at = person().choose(QWEN).type("image_size", "1664x928").choose(KOLORS).type("image_size", "768x1024");
  assert.equal(at.choose(QWEN).sees("image_size"), "1664x928");
  assert.equal(at.choose(KOLORS).sees("image_size"), "768x1024");
});

test("auto means what it always did, also when the user chose it: the model's own", () => {
  const at = person().choose(QWEN).type("image_size", "1664x928").type("image_size", "auto");
  assert.equal(at.sees("image_size"), "auto");
  assert.equal(at.choose(KOLORS).choose(QWEN).sees("image_size"), "1328x1328");
});

test("a number is clamped to the model's range and comes back", () => {
  const at = person().type("num_inference_steps", 60).choose(DEV);
  assert.equal(at.sees("num_inference_steps"), 30);
  assert.equal(at.choose(KOLORS).sees("num_inference_steps"), 60);
});

test("of numbers only the last one typed counts", () => {
  const at = person().type("num_inference_steps", 60).choose(DEV).type("num_inference_steps", 25).choose(KOLORS);
  assert.equal(at.sees("num_inference_steps"), 25);
  assert.deepEqual(at.memory.num_inference_steps.wanted, []);
});

test("what a model does not take is left alone, whatever it is", () => {
  const at = person().type("guidance_scale", 19.5).choose(SCHNELL);
  assert.equal(at.sees("guidance_scale"), 19.5);
  assert.equal(at.choose(KOLORS).sees("guidance_scale"), 19.5);
});

test("widths and heights are brought to a model's grid when they come into sight", () => {
  const at = person().type("width", 2000).type("height", 300).choose(PRO).type("image_size", "custom");
  assert.equal(at.sees("width"), 1440);
  assert.equal(at.sees("height"), 288);
  assert.equal(at.choose(KOLORS).sees("width"), 2000);
});

test("an unlisted model gets what the user wanted, however the last one narrowed it", () => {
  const at = person().type("num_inference_steps", 60).choose(DEV).type("custom_model", "some/model");
  assert.equal(at.sees("num_inference_steps"), 60);
});

test("to adapt twice changes nothing", () => {
  const first = adapt(catalogue, draw, modelOfId(DEV), { ...FRESH, num_inference_steps: 60, image_size: "1664x928" }, {});
  assert.deepEqual(adapt(catalogue, draw, modelOfId(DEV), first.values, first.memory), first);
});

test("values that fit are no business of ours", () => {
  assert.deepEqual(adapt(catalogue, draw, modelOfId(KOLORS), FRESH, {}), { values: FRESH, memory: {} });
});

test("whatever stands in fits", () => {
  for (const model of draw.models) {
    const wild = { ...FRESH, image_size: "1x1", width: 5000, height: 1, num_inference_steps: 999, guidance_scale: 999, cfg: 999 };
    const { values } = adapt(catalogue, draw, model, wild, {});
    for (const name of draw.inputs.filter((input) => input in values)) {
      const its = ruleOf(catalogue, model, name, values);
      if (its.shown) assert.ok(fits(its, values[name]), `${model.id} ${name} ${values[name]}`);
    }
  }
});

test("a node that uses no model has no notice of one", () => {
  const account = { models: [], inputs: ["refresh"], pictures: [] };
  assert.equal(noticeOf(catalogue, account, { refresh: 0 }, NONE), null);
  assert.equal(modelOf(account, { refresh: 0 }, NONE), null);
});

test("a number that stands for a default is said to, and what a model does not take is", () => {
  const mark = (id, name, value) => markOf(catalogue, rule(id, name), name, value);
  assert.equal(mark(KOLORS, "guidance_scale", -1), "own_default");
  assert.equal(mark(KOLORS, "guidance_scale", 7.5), null);
  assert.equal(mark(KOLORS, "guidance_scale", 99), "not_taken");
  assert.equal(mark(KOLORS, "image_size", "auto"), null, "says it itself");
  assert.equal(markOf(catalogue, { shown: true }, "num_inference_steps", 0), "own_default", "of a model not listed");
});
