import assert from "node:assert/strict";
import { test } from "node:test";
import { drawn, fixing } from "../../web/js/logic/seeds.js";

const control = (value) => ({ name: "control_after_generate", value });
const half = () => 0.5;

test("a fixed seed needs nothing to stay as it is", () => {
  assert.deepEqual(fixing([{ name: "seed", value: 0 }, control("fixed")]), {});
  assert.deepEqual(fixing([{ name: "prompt", value: "-1" }, { name: "safety_tolerance", value: -1 }]), {});
});

test("a seed that a control changes stays if the control is fixed", () => {
  const fixed = { control_after_generate: "fixed" };
  assert.deepEqual(fixing([{ name: "seed", value: 7 }, control("randomize")]), fixed);
});

test("a seed of -1 becomes a number within its range, even if its control is fixed", () => {
  const seed = (name, max) => ({ name, value: -1, options: { max } });
  assert.deepEqual(fixing([seed("seed", 100), control("fixed")], half), { seed: 50 });
  assert.deepEqual(fixing([seed("value", 2 ** 63), control("fixed")], half), { value: 2 ** 31 });
  assert.deepEqual(fixing([{ name: "seed", value: -1 }], () => 0), { seed: 0 });
  assert.deepEqual(fixing([seed("seed", 100), control("increment")], half), {
    seed: 50,
    control_after_generate: "fixed",
  });
});

test("the control of ComfyUI's own primitives goes by another name", () => {
  const options = { values: ["fixed", "increment", "decrement", "randomize"] };
  assert.deepEqual(fixing([{ name: "value", value: 5 }, { name: "fixed", value: "randomize", options }]), { fixed: "fixed" });
});

test("a prompt with a choice is another one in each run, and stays as it was drawn", () => {
  const prompt = (value) => [{ name: "seed", value: 5 }, { name: "prompt", value }];
  assert.deepEqual(drawn(prompt("{a|b} cat"), { seed: 5, prompt: "b cat" }), { prompt: "b cat" });
  assert.deepEqual(drawn(prompt("{a|{b|c}} cat"), { prompt: "c cat" }), { prompt: "c cat" });
  assert.deepEqual(drawn(prompt("a cat // fat"), { prompt: "a cat " }), {});
  assert.deepEqual(drawn(prompt("{a|b} cat"), { prompt: "{a|b} cat" }), {}); // of a field in which nothing is drawn
  assert.deepEqual(drawn(prompt("{a|b} cat"), { prompt: ["7", 0] }), {});
});
