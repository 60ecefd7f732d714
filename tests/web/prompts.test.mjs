import assert from "node:assert/strict";
import test from "node:test";

import { QueuedPrompts, tabOf } from "../../web/js/logic/prompts.js";

const OUTPUT = { 3: { class_type: "SiliconFlowChat" }, "7:3": { class_type: "SiliconFlowChat" }, 4: { class_type: "KSampler" } };
const B = { graph: "g2", path: "b.json" };
const HERE = { graph: "g1", path: "a.json", tabs: [{ graph: "g1", path: "a.json" }, B] };

function queued(from = HERE) {
  const prompts = new QueuedPrompts();
  prompts.add("p1", OUTPUT, from);
  return prompts;
}

test("what a node shows appears in the workflow that was queued", () => {
  for (const node of [3, "3", "7:3"]) assert.equal(queued().isElsewhere("p1", node, HERE), false);
});

test("it does not appear on a node of the same id in another workflow", () => {
  for (const node of [3, "7:3"]) {
    assert.equal(queued().isElsewhere("p1", node, { ...HERE, graph: "g2", path: "b.json" }), true);
  }
});

test("it does not appear in another copy of the same template", () => {
  const copy = { graph: "g1", path: "b.json" };
  assert.equal(queued().isElsewhere("p1", 3, { ...copy, tabs: [HERE.tabs[0], copy] }), true);
});

test("a workflow that was saved under another name since is still its own", () => {
  const saved = { graph: "g1", path: "c.json" };
  assert.equal(queued().isElsewhere("p1", 3, { ...saved, tabs: [saved, B] }), false);
  const itsFormerPath = { graph: "g3", path: "a.json" };
  assert.equal(queued().isElsewhere("p1", 3, { ...saved, tabs: [itsFormerPath, saved] }), false);
  assert.equal(tabOf(HERE, [itsFormerPath, saved]), 1);
});

test("a tab that was not opened yet is known by its path", () => {
  const unopened = { graph: null, path: "a.json" };
  assert.equal(queued().isElsewhere("p1", 3, { ...B, tabs: [unopened, B] }), true);
  assert.equal(tabOf(HERE, [B, unopened]), 1);
  assert.equal(tabOf(HERE, [B]), -1);
});

test("a page without a list of workflows compares graphs", () => {
  const here = { graph: "g1", path: null, tabs: [] };
  assert.equal(queued(here).isElsewhere("p1", 3, here), false);
  assert.equal(queued(here).isElsewhere("p1", 3, { ...here, graph: "g2" }), true);
});

test("nodes of other packs, and prompts that others queued, are left alone", () => {
  const elsewhere = { ...HERE, graph: "g2" };
  assert.equal(queued().isElsewhere("p1", 4, elsewhere), false);
  assert.equal(queued().isElsewhere("p2", 3, elsewhere), false);
  assert.equal(queued().isElsewhere(null, null, elsewhere), false);
});

test("a prompt that waited in the background goes on where it was queued", () => {
  const prompts = queued();
  prompts.goOn("p1", "p2");
  prompts.goOn("unknown", "p3");
  assert.equal(prompts.isElsewhere("p2", 3, HERE), false);
  assert.equal(prompts.isElsewhere("p2", 3, { ...HERE, graph: "g2" }), true);
  assert.equal(prompts.isElsewhere("p3", 3, { ...HERE, graph: "g2" }), false);
});

test("what all its nodes show then belongs to that workflow", () => {
  const prompts = queued();
  prompts.goOn("p1", "p2");
  const another = { ...HERE, graph: "g2", path: "b.json" };
  assert.equal(prompts.elsewhereOf("p2", another).path, "a.json");
  assert.equal(prompts.elsewhereOf("p2", HERE), null);
  assert.equal(prompts.elsewhereOf("p1", another), null);
});

test("a page that is loaded again knows the last prompts", () => {
  const prompts = queued();
  for (let at = 0; at < 300; at++) prompts.add(`q${at}`, OUTPUT, HERE);
  const again = new QueuedPrompts(JSON.parse(JSON.stringify(prompts.remembered)));
  assert.equal(again.remembered.length, 200);
  assert.equal(again.isElsewhere("q299", 3, { ...HERE, graph: "g2" }), true);
  assert.equal(again.isElsewhere("p1", 3, { ...HERE, graph: "g2" }), false);
});
