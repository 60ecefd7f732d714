/** What the nodes of workflows say that wait in the background. */

/** @import { WaitingRun } from "../types" */

/**
 * Of each node of each workflow the run that has waited longest, and how many wait.
 * @param {WaitingRun[]} runs the oldest first
 * @returns {{ run: WaitingRun, node: string, n: number }[]}
 */
export function oldestOf(runs) {
  /** @type {Map<string, { run: WaitingRun, node: string, n: number }>} */
  const lines = new Map();
  for (const run of runs) {
    for (const node of run.nodes) {
      const place = JSON.stringify([run.workflow, node]);
      const line = lines.get(place) ?? { run, node, n: 0 };
      lines.set(place, { ...line, n: line.n + 1 });
    }
  }
  return [...lines.values()];
}
