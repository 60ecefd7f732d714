import assert from "node:assert/strict";
import test from "node:test";

import { statusHeight } from "../../web/js/logic/status.js";

test("a line or two have the room that ComfyUI gives", () => {
  assert.equal(statusHeight("3.2 s", 400), 58);
  assert.equal(statusHeight("SiliconFlow · Kolors · 3 s\nnothing paid", 400), 58);
});

test("more lines have more room, up to eight", () => {
  const [three, five] = [statusHeight("a\nb\nc", 400), statusHeight("a\nb\nc\nd\ne", 400)];
  assert.ok(58 < three && three < five);
  assert.equal(statusHeight("x\n".repeat(100), 400), statusHeight("x\n".repeat(9), 400));
});

test("a long line is several, the sooner the narrower the node and the wider its characters", () => {
  assert.ok(statusHeight("word ".repeat(40), 300) > statusHeight("word ".repeat(40), 600));
  assert.ok(statusHeight("猫".repeat(100), 300) > statusHeight("a".repeat(100), 300));
});
