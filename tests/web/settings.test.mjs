import assert from "node:assert/strict";
import { test } from "node:test";
import { cleanKey, isUntested, modelCounts, obstacle, readNumber } from "../../web/js/logic/settings.js";

test("a number is read as people type it", () => {
  assert.deepEqual(readNumber(" 12 "), { value: 12 });
  assert.deepEqual(readNumber("0,5"), { value: 0.5 });
  assert.deepEqual(readNumber("0"), { value: 0 });
});

test("digits of a Chinese keyboard are digits", () => {
  assert.deepEqual(readNumber("１２"), { value: 12 });
  assert.deepEqual(readNumber("０．５"), { value: 0.5 });
  assert.deepEqual(readNumber("０，５"), { value: 0.5 });
});

test("a number that is a thousand to some and one to others is not guessed at", () => {
  for (const typed of ["1,000", "１，０００", "12,500", "1,000,000", "1,000.50", "1.000,50", "1 000", "1'000", "1.000.000"])
    assert.deepEqual(readNumber(typed), { problem: "settings.ambiguous" }, typed);
  for (const [typed, value] of [["0,125", 0.125], ["1000,5", 1000.5], ["1,25", 1.25], ["1234,567", 1234.567], ["1.125", 1.125]])
    assert.deepEqual(readNumber(typed), { value }, typed);
});

test("the server's own bounds are kept, and told", () => {
  const bounds = [0.1, 3650];
  assert.deepEqual(readNumber("0.1", { bounds, aboveZero: true }), { value: 0.1 });
  for (const typed of ["0.05", "0", "-3", "4000"])
    assert.deepEqual(
      readNumber(typed, { bounds, aboveZero: true }),
      { problem: "settings.out_of_bounds", values: { least: 0.1, most: 3650 } },
      typed,
    );
});

test("what is no number, or not one of the right kind, is told", () => {
  for (const typed of ["", "  ", "abc", "1e999", "1e3", "NaN", "0x10", "0b1", "Infinity", "1.2.3", "--1", "."])
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
    { id: "d", mark: "guessed" },
  ];
  const catalogue = { nodes: { One: { models }, Two: { models: [...models, { id: "c", mark: "missing" }] } } };
  assert.deepEqual(modelCounts(catalogue), { n: 4, new: 2, missing: 1 });
});

test("a key is freed of the spaces and quotes that come along when it is copied", () => {
  assert.equal(cleanKey(' "sk-abc" \n'), "sk-abc");
  assert.equal(cleanKey(" "), "");
});

test("only a key that the service refuses, or the pack itself, is none to store", () => {
  assert.equal(isUntested({ status: 502, kind: "InvalidKey" }), false);
  assert.equal(isUntested({ status: 400, kind: "InvalidSettings" }), false);
  for (const kind of ["NotConnected", "ServerError", "RateLimited", "Forbidden"])
    assert.equal(isUntested({ status: 502, kind }), true, kind);
});
