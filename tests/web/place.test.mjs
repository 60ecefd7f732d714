import assert from "node:assert/strict";
import { test } from "node:test";
import { freePlace } from "../../web/js/logic/place.js";

const VIEW = [0, 0, 1000, 800];
const SIZE = [200, 200];

test("on an empty canvas a node comes into the middle of the view", () => {
  assert.deepEqual(freePlace(VIEW, SIZE, []), [400, 300]);
});

test("a node in the middle is not covered", () => {
  const [left, top] = freePlace(VIEW, SIZE, [[350, 250, 300, 300]]);
  assert.ok(left + 200 <= 320 || left >= 680 || top + 200 <= 220 || top >= 580);
  assert.ok(left >= 0 && left <= 800 && top >= 0 && top <= 600);
});

test("when the view is full a node goes to the right of all others", () => {
  assert.deepEqual(
    freePlace(VIEW, SIZE, [
      [-100, -100, 1400, 1200],
      [1200, 0, 500, 100],
    ]),
    [1730, 300],
  );
});
