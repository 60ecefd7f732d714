import assert from "node:assert/strict";
import { test } from "node:test";
import { Living } from "../../web/js/logic/living.js";

const element = (isConnected = true) => ({ isConnected });
const told = (living) => {
  const all = [];
  living.forEach((each) => all.push(each));
  return all;
};

test("what belongs to an element is kept while it is on the page, and not after", () => {
  const [living, row] = [new Living(), element()];
  living.add(row, "row");
  assert.deepEqual(told(living), ["row"]);
  row.isConnected = false;
  assert.deepEqual(told(living), []);
  assert.equal(living.size, 0);
});

test("an element that is not on the page yet is waited for", () => {
  const [living, row] = [new Living(), element(false)];
  living.add(row, "row");
  assert.deepEqual(told(living), ["row"]);
  row.isConnected = true;
  assert.deepEqual(told(living), ["row"]);
});

test("rows that are gone before anybody is told anything do not pile up", async () => {
  const living = new Living();
  for (let opened = 0; opened < 3; opened++) {
    const rows = [element(false), element(false)];
    for (const row of rows) living.add(row, "row");
    for (const row of rows) row.isConnected = true;
    await new Promise((done) => setTimeout(done, 300));
    for (const row of rows) row.isConnected = false;
  }
  assert.equal(living.size, 0);
});

test("an element may have several things, and each can be ended by itself", () => {
  const [living, row] = [new Living(), element()];
  const end = living.add(row, "one");
  living.add(row, "two");
  end();
  assert.deepEqual(told(living), ["two"]);
});
