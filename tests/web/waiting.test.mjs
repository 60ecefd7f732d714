import assert from "node:assert/strict";
import { test } from "node:test";

import { hasMoreToCome, oldestOf } from "../../web/js/logic/waiting.js";

const run = (id, workflow, ...nodes) => ({ id, workflow, nodes });

test("a node on which several runs wait says it once, of the oldest", () => {
  const lines = oldestOf([run("a", "w", "1"), run("b", "w", "1", "2"), run("c", "other", "1")]);
  assert.deepEqual(
    lines.map(({ run: { id }, node, n }) => [id, node, n]),
    [["a", "1", 2], ["b", "2", 1], ["c", "1", 1]],
  );
});

test("results are still to come of a run that waits, and of any other with a job under way", () => {
  const job = { workflow: "w", node: "1" };
  const isSo = (state, ...jobs) => hasMoreToCome({ ...run("a", "w", "1"), state }, jobs);
  assert.deepEqual([isSo("waiting"), isSo("stopped"), isSo("lost"), isSo("queued", job)], [true, false, false, true]);
  assert.deepEqual([isSo("stopped", { ...job, workflow: "other" }), isSo("stopped", { ...job, node: "2" })], [false, false]);
});
