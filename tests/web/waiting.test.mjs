import assert from "node:assert/strict";
import { test } from "node:test";

import { oldestOf } from "../../web/js/logic/waiting.js";

const run = (id, workflow, ...nodes) => ({ id, workflow, nodes });

test("a node on which several runs wait says it once, of the oldest", () => {
  const lines = oldestOf([run("a", "w", "1"), run("b", "w", "1", "2"), run("c", "other", "1")]);
  assert.deepEqual(
    lines.map(({ run: { id }, node, n }) => [id, node, n]),
    [["a", "1", 2], ["b", "2", 1], ["c", "1", 1]],
  );
});
