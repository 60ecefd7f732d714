import assert from "node:assert/strict";
import { test } from "node:test";

import { besideDivider, isDivider, modelChoices, modelLabel, sizeLabel } from "../../web/js/logic/choices.js";

const model = (id, more = {}) => ({ id, name: id.split("/").at(-1), site: "cn", mark: null, retired: null, ...more });
const models = [
  model("a/New", { mark: "new" }),
  model("Pro/a/One"),
  model("a/Elsewhere", { site: "com" }),
  model("a/Missing", { mark: "missing" }),
  model("a/One"),
  model("a/Gone", { mark: "retired", retired: "2025-03-06", site: "com" }),
  model("a/Kept", { retired: "2025-03-06" }),
];

test("a list has the models of the own site that live first, the others in groups below a line", () => {
  const choices = modelChoices({ site: "cn" }, { models }, (group) => group);
  assert.deepEqual(choices.filter(isDivider), ["── missing ──", "── elsewhere_com ──", "── retired ──"]);
  assert.deepEqual(
    choices.map((each) => (isDivider(each) ? `[${each.split(" ")[1]}]` : each)),
    ["a/New", "Pro/a/One", "a/One", "a/Kept", "[missing]", "a/Missing", "[elsewhere_com]", "a/Elsewhere", "[retired]", "a/Gone"],
  );
});

test("a group without a model has no line", () => {
  assert.deepEqual(modelChoices({ site: "cn" }, { models: models.slice(0, 2) }, String), ["a/New", "Pro/a/One"]);
});

test("models are shown by name, and those of one name by what tells them apart", () => {
  const names = ["a/One", "Pro/a/One", "none/Such"].map((id) => modelLabel({ models }, id));
  assert.deepEqual(names, ["One", "One (Pro)", "none/Such"]);
});

test("a size is shown with the shape that it is nearest to", () => {
  const sizes = ["1328x1328", "1472x1140", "1140x1472", "1584x1056", "1664x928", "720x1440", "2048x1024", "auto", "custom"];
  assert.deepEqual(sizes.map(sizeLabel), [
    "1:1 · 1328×1328",
    "4:3 · 1472×1140",
    "3:4 · 1140×1472",
    "3:2 · 1584×1056",
    "16:9 · 1664×928",
    "1:2 · 720×1440",
    "2:1 · 2048×1024",
    "auto",
    "custom",
  ]);
});

test("a step goes over a line, and a click on one changes nothing", () => {
  const choices = ["a", "b", "──retired", "c"];
  assert.equal(besideDivider(choices, "──retired", "b", true), "c");
  assert.equal(besideDivider(choices, "──retired", "c", true), "b");
  assert.equal(besideDivider(choices, "──retired", "a", true), "a");
  assert.equal(besideDivider(choices, "──retired", "b", false), "b");
  assert.equal(besideDivider(["a", "──retired"], "──retired", "a", true), "a");
});
