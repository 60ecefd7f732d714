import assert from "node:assert/strict";
import { test } from "node:test";
import { scrollToShow, shownRange, topsOf } from "../../web/js/logic/virtual_list.js";

const tops = topsOf([30, 100, 100, 40, 100]);

test("each row begins where the one before ends", () => {
  assert.deepEqual([...tops], [0, 30, 130, 230, 270, 370]);
});

test("the rows that touch what is on show are drawn, and no others", () => {
  assert.deepEqual(shownRange(tops, 0, 29, 0), [0, 1]);
  assert.deepEqual(shownRange(tops, 131, 100, 0), [2, 4]);
  assert.deepEqual(shownRange(tops, 131, 10, 110), [0, 4]);
  assert.deepEqual(shownRange(tops, 300, 500, 0), [4, 5]);
});

test("a list without rows has none on show", () => {
  assert.deepEqual(shownRange(topsOf([]), 0, 500, 100), [0, 0]);
});

test("a row is scrolled to only as far as it is hidden", () => {
  assert.equal(scrollToShow(tops, 1, 0, 200), 0);
  assert.equal(scrollToShow(tops, 2, 0, 200), 30);
  assert.equal(scrollToShow(tops, 1, 200, 200), 30);
  assert.equal(scrollToShow(tops, 2, 120, 200, 34), 96, "nor below what lies on the top");
  assert.equal(scrollToShow(tops, 1, 20, 200, 34), 0);
});
