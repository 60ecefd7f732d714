import assert from "node:assert/strict";
import { test } from "node:test";
import { cleanKey, modelCounts, obstacle, readNumber } from "../../web/js/logic/settings.js";

test("a number is read as people type it", () => {
  assert.deepEqual(readNumber(" 12 "), { value: 12 });
  assert.deepEqual(readNumber("0,5"), { value: 0.5 });
  assert.deepEqual(readNumber("0"), { value: 0 });
});

test("what is no number, or not one of the right kind, is told", () => {
  for (const typed of ["", "  ", "abc", "1e999", "NaN"])
    assert.deepEqual(readNumber(typed), { problem: "settings.not_a_number" });
  assert.deepEqual(readNumber("1.5", { whole: true }), { problem: "settings.not_a_whole_number" });
  assert.deepEqual(readNumber("0", { aboveZero: true }), { problem: "settings.too_small" });
  assert.deepEqual(readNumber("-1"), { problem: "settings.negative" });
});

test("a setting that the environment decides, or that several users share, cannot be changed", () => {
  const fixed = { site: "SILICONFLOW_BASE_URL" };
  assert.equal(obstacle({ fixed, read_only: false }, "reuse"), null);
  assert.deepEqual(obstacle({ fixed, read_only: false }, "site"), {
    key: "settings.fixed",
    values: { name: "SILICONFLOW_BASE_URL" },
  });
  assert.equal(obstacle({ fixed, read_only: true }, "reuse").key, "settings.read_only");
});

test("a model that two nodes have counts once", () => {
  const models = [
    { id: "a", mark: null },
    { id: "b", mark: "new" },
  ];
  const catalogue = { nodes: { One: { models }, Two: { models: [...models, { id: "c", mark: "missing" }] } } };
  assert.deepEqual(modelCounts(catalogue), { n: 3, new: 1, missing: 1 });
});

test("a key is freed of the spaces and quotes that come along when it is copied", () => {
  assert.equal(cleanKey(' "sk-abc" \n'), "sk-abc");
  assert.equal(cleanKey(undefined), "");
});
