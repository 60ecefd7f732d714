/** Nodes of the open workflow, as a run names them. Does nothing on import. */

import { app } from "../../../scripts/app.js";

/** The id of the open workflow, as it is saved; empty where the frontend gives none. */
export const openWorkflowId = () => String((app.rootGraph ?? app.graph)?.id ?? "");

/**
 * The node that a run calls "5", or "3:5" in a subgraph.
 * @param {string | number} path
 * @returns {Comfy.Node | null}
 */
export function nodeAt(path) {
  /** @type {Comfy.Graph | null | undefined} */
  let graph = app.rootGraph ?? app.graph;
  /** @type {Comfy.Node | null} */
  let node = null;
  for (const id of String(path).split(":")) {
    node = graph?.getNodeById(id) ?? null;
    graph = node?.isSubgraphNode?.() ? node.subgraph : null;
  }
  return node;
}

/**
 * The nodes that a path goes through, from the outermost to the one that it names; without those that are gone.
 * @param {string | number} path
 */
export function nodesAlong(path) {
  const ids = String(path).split(":");
  return ids.flatMap((_, at) => nodeAt(ids.slice(0, at + 1).join(":")) ?? []);
}

/** Every node of the workflow, those in subgraphs too. */
export function graphNodes() {
  /** @type {Comfy.Node[]} */
  const nodes = [];
  /** @param {Comfy.Graph | null | undefined} graph */
  const walk = (graph) => {
    for (const node of graph?._nodes ?? []) {
      nodes.push(node);
      if (node.isSubgraphNode?.()) walk(node.subgraph);
    }
  };
  walk(app.rootGraph ?? app.graph);
  return nodes;
}

/**
 * Sets values as the user would; those that a node has no widget for are passed over.
 * @param {Comfy.Node | null} node
 * @param {Record<string, string | number>} values
 */
export function setWidgets(node, values) {
  for (const [name, value] of Object.entries(values)) {
    const widget = /** @type {Comfy.Widget | undefined} */ (node?.widgets?.find((each) => each.name === name));
    if (!widget || widget.value === value) continue;
    widget.value = value;
    widget.callback?.(value, app.canvas, node ?? undefined);
  }
  app.canvas.setDirty(true, true);
}

/**
 * Selects a node of the graph on view, and brings it into the middle.
 * @param {Comfy.Node} node
 */
export function showNode(node) {
  app.canvas.centerOnNode?.(node);
  app.canvas.selectNode?.(node);
}
