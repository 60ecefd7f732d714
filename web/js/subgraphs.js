/**
 * The widgets of subgraphs that decide inputs of the nodes inside, because somebody promoted these. The page tells an
 * inner node nothing of them, so widgets.js asks here what they are set to, and is told when one changes.
 */

import { app } from "../../../scripts/app.js";
import { api } from "../../../scripts/api.js";
import { nodeAt, nodesAlong } from "./nodes.js";

/** What links from the inputs of a subgraph name as their origin. */
const SUBGRAPH_INPUT = -10;

/** @typedef {{ node: Comfy.Node, widget: Comfy.Widget }} Owned A widget, and the node that it is on. */
/** @typedef {{ value: unknown, widgets: Owned[] }} Outer What all subgraphs set an input to. */
/** @typedef {Comfy.Graph & { inputs?: { name: string }[] }} Inside */
/** @typedef {Comfy.Slot & { _subgraphSlot?: object }} Promoted */

/** @type {WeakSet<Comfy.Widget>} */
const watched = new WeakSet();
/** @type {Set<() => void>} */
const listeners = new Set();
const tell = () => listeners.forEach((callback) => callback());

/**
 * Calls back when widgets of subgraphs may have changed, or subgraphs have come.
 * @param {() => void} callback
 */
export const onOuterChange = (callback) => listeners.add(callback);

/**
 * The inputs of a node that widgets of subgraphs decide, by name. An input is not among them if another node decides
 * it, or if subgraphs that share the node set it to different values.
 * @param {Comfy.Node} node
 */
export function outerOf(node) {
  /** @type {Map<string, Outer>} */
  const outer = new Map();
  for (const input of node.inputs) {
    const widgets = input.widget && input.link != null ? decidingWidgets(node, input) : null;
    const [first] = widgets ?? [];
    if (!first || !widgets?.every(({ widget }) => widget.value === first.widget.value)) continue;
    widgets.forEach(watch);
    outer.set(input.name, { value: first.widget.value, widgets });
  }
  return outer;
}

/**
 * The widgets that decide an input: the node's own, or those of the subgraphs around it, one for each place where the
 * subgraph is used. Null if another node decides, anywhere.
 * @param {Comfy.Node} node
 * @param {Comfy.Slot} input
 * @returns {Owned[] | null}
 */
export function decidingWidgets(node, input) {
  if (input.link == null) {
    const widget = /** @type {Comfy.Widget | undefined} */ (node.getWidgetFromSlot(input));
    return widget ? [{ node, widget }] : null;
  }
  const graph = /** @type {Inside | null} */ (node.graph);
  const link = graph?.getLink(input.link);
  const slot = link && Number(link.origin_id) === SUBGRAPH_INPUT ? graph?.inputs?.[link.origin_slot] : undefined;
  if (!graph || !slot) return null;
  const found = hostsOf(graph).map((host) => {
    const inputs = /** @type {Promoted[]} */ (host.inputs);
    const promoted = inputs.find((each) => each._subgraphSlot === slot) ?? inputs.find(({ name }) => name === slot.name);
    return promoted ? decidingWidgets(host, promoted) : null;
  });
  return found.length && found.every((widgets) => widgets !== null) ? found.flat() : null;
}

/**
 * The widget that decided an input of a node in a run: of a subgraph that is used in several places, the one where
 * the node ran. None if another node decided.
 * @param {string | number} path of the node, as the run names it
 * @param {string} name
 */
export function deciderAt(path, name) {
  const node = nodeAt(path);
  const input = node?.inputs.find((each) => each.name === name);
  const along = nodesAlong(path);
  return node && input && decidingWidgets(node, input)?.find((owned) => along.includes(owned.node));
}

/**
 * The nodes that stand for a subgraph.
 * @param {Comfy.Graph} graph
 */
function hostsOf(graph) {
  /** @type {Set<Comfy.Node>} */
  const hosts = new Set();
  /** @param {Comfy.Graph | null | undefined} within */
  const walk = (within) => {
    for (const node of within?._nodes ?? []) {
      if (!node.isSubgraphNode?.()) continue;
      if (node.subgraph === graph) hosts.add(node);
      else walk(node.subgraph);
    }
  };
  walk(app.rootGraph ?? app.graph);
  return [...hosts];
}

/** @param {Owned} owned */
function watch({ widget }) {
  if (watched.has(widget)) return;
  watched.add(widget);
  const { callback } = widget;
  widget.callback = function (...rest) {
    const returned = callback?.apply(this, rest);
    tell();
    return returned;
  };
}

app.registerExtension({
  name: "SiliconFlow.Subgraphs",
  setup() {
    // Whatever the user did, and by whatever control: the page makes new widgets for old ones now and then.
    api.addEventListener("graphChanged", tell);
  },
  nodeCreated(node) {
    if (!node.isSubgraphNode?.()) return;
    const { onAdded, subgraph } = node;
    subgraph.events.addEventListener("widget-promoted", () => setTimeout(tell));
    node.onAdded = function (...rest) {
      onAdded?.apply(this, rest);
      setTimeout(tell); // once it is configured
    };
  },
});
