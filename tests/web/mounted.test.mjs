import assert from "node:assert/strict";
import { test } from "node:test";
import { MountedElements } from "../../web/js/logic/mounted.js";

const element = (isConnected = true) => ({ isConnected });
const valuesOf = (elements) => {
  const values = [];
  elements.forEach((value) => values.push(value));
  return values;
};

test("the value of an element is there while the element is on the page, and not after", () => {
  const [elements, row] = [new MountedElements(), element()];
  elements.add(row, "row");
  assert.deepEqual(valuesOf(elements), ["row"]);
  row.isConnected = false;
  assert.deepEqual(valuesOf(elements), []);
  assert.equal(elements.size, 0);
});

test("an element that is not on the page yet is waited for", () => {
  const [elements, row] = [new MountedElements(), element(false)];
  elements.add(row, "row");
  assert.deepEqual(valuesOf(elements), ["row"]);
  row.isConnected = true;
  assert.deepEqual(valuesOf(elements), ["row"]);
});

test("rows that are gone before anybody asks for them do not pile up", async () => {
  const elements = new MountedElements();
  for (let opened = 0; opened < 3; opened++) {
    const rows = [element(false), element(false)];
    for (const row of rows) elements.add(row, "row");
    for (const row of rows) row.isConnected = true;
    await new Promise((done) => setTimeout(done, 300));
    for (const row of rows) row.isConnected = false;
  }
  assert.equal(elements.size, 0);
});

test("an element may have several values, and each can be removed by itself", () => {
  const [elements, row] = [new MountedElements(), element()];
  const remove = elements.add(row, "one");
  elements.add(row, "two");
  remove();
  assert.deepEqual(valuesOf(elements), ["two"]);
});
