/**
 * What a node shows while it runs and after: a plain text, and the images as they arrive. In a widget of our own:
 * ComfyUI's would read the text as Markdown, show the last image alone, and keep for good the room that both took.
 */

import { app } from "../../../scripts/app.js";
import { api } from "../../../scripts/api.js";
import { onEvent } from "./api.js";
import { isOwn } from "./logic/own_nodes.js";
import { ShownByNodes, lastOf } from "./logic/shown.js";
import { nodeAt } from "./nodes.js";
import { h, isAppMode, isVue, t } from "./page.js";
import { homeOf, isElsewhere, open } from "./prompts.js";

const WIDGET = "$$siliconflow-status";
/** Between the widgets of a node, in either look. */
const GAP = 4;

/** @import { Shown } from "./logic/shown.js" */

/**
 * @typedef {object} Status
 * @property {HTMLElement} text
 * @property {HTMLElement} images
 * @property {number | null} ownAtFirst the node's height before it had a status, to which Nodes 2.0 add a gap for it by
 *   themselves; null if it has one from the beginning
 * @property {number} room pixels of the node's height that are the status'
 * @property {string} run which prompt the images are of
 * @property {Map<string, Shown>} shown what nodes show here, in the order of their first images
 */

/** @type {WeakMap<Comfy.Node, Status>} */
const statuses = new WeakMap();
/** The id of the prompt that runs. */
let running = "";
/** By the id of a node, the first line of what it says of the prompt that runs. */
const lines = new Map();
/** By the id of a node, where the image belongs that comes next. @type {Map<string, { call: number, place: number }>} */
const places = new Map();
/** What is shown in this workflow, and in those of the other tabs. */
const kept = new ShownByNodes((url) => URL.revokeObjectURL(url));

app.registerExtension({
  name: "SiliconFlow.Status",
  // After that of prompts.js, which is imported here, and so asked first: what that keeps from nodes is kept for their tabs.
  init() {
    api.addEventListener("execution_start", ({ detail }) => (running = detail.prompt_id));
    onEvent("preview", ({ node, ...where }) => places.set(String(node), where));
    interceptEvents();
  },
  setup() {
    restoreOnOpening();
    readAloud();
  },
  nodeCreated(node) {
    // The first Nodes 2.0 draw no widget that comes after a node's links.
    const [widget] = node.widgets ?? [];
    if (isOwn(node.comfyClass) && isVue() && widget && !("_state" in widget)) addStatus(node);
  },
});

/** What screen readers are told. @type {HTMLElement | undefined} */
let live;

/** @param {string} text in place of what nodes said last */
export function announce(text) {
  if (live) live.textContent = text;
}

/** Reads aloud what nodes say when their prompt has ended: until then it changes every second. */
function readAloud() {
  live = h("div", { class: "sf-off-screen", role: "status" });
  document.body.append(live);
  api.addEventListener("execution_start", () => {
    lines.clear();
    announce("");
  });
  api.addEventListener("execution_success", () => announce([...lines.values()].join("\n")));
}

/**
 * Keeps from ComfyUI what our nodes show themselves. Not in app mode, which has no nodes to look at and shows the
 * images of a run in a place of its own.
 */
function interceptEvents() {
  const { dispatchCustomEvent } = api;
  /** @param {[string, any?]} event */
  const intercepted = function (...event) {
    const [type, detail] = event;
    const isImage = type === "b_preview_with_metadata" && !isAppMode();
    if (detail && (isImage || type === "progress_text") && takeEvent(detail)) return true;
    return Reflect.apply(dispatchCustomEvent, api, event);
  };
  api.dispatchCustomEvent = /** @type {typeof dispatchCustomEvent} */ (intercepted);
}

/**
 * Shows a text or an image on one of our nodes, or keeps it for the tab of its workflow; false if the node is not ours.
 * @param {{ nodeId: string | number, displayNodeId?: string | number, prompt_id?: string, promptId?: string, jobId?: string,
 *   text: string, blob?: Blob }} event of which older ComfyUIs do not name the prompt
 */
function takeEvent({ nodeId, displayNodeId, prompt_id, promptId, jobId, text, blob }) {
  const node = String(displayNodeId ?? nodeId);
  const prompt = String(prompt_id ?? promptId ?? jobId ?? running);
  const isHere = !isElsewhere(prompt, node);
  if (isHere && !isOwn(nodeAt(node)?.comfyClass)) return false;
  const shown = kept.of(homeOf(prompt, node), prompt, node);
  if (blob) {
    const where = places.get(String(nodeId)) ?? { call: 0, place: shown.images.length };
    places.delete(String(nodeId));
    kept.add(shown, { url: URL.createObjectURL(blob), ...where });
  } else {
    shown.text = text;
    if (isHere) lines.set(nodeId, text.split("\n")[0]);
  }
  if (isHere) show(shown);
  return true;
}

/**
 * Shows on a node, and on the subgraphs that it is in, what is not shown there yet.
 * @param {Shown} shown
 */
function show(shown) {
  const { node, prompt, text, images } = shown;
  for (const status of statusesOf(node, prompt)) {
    status.text.textContent = text;
    if (images.length) showImages(status, status.shown.set(node, shown));
  }
}

/**
 * Those that are shown already stay as they are.
 * @param {Status} status
 * @param {Status["shown"]} nodes
 */
function showImages({ images }, nodes) {
  const shown = lastOf([...nodes.values()]);
  const before = new Map([...images.querySelectorAll("img")].map((element) => [element.src, element]));
  const elements = shown.images.map(({ url }) => before.get(url) ?? h("img", { src: url }));
  elements.forEach((element, index) => (element.alt = t("status.image", { n: shown.dropped + index + 1 })));
  images.replaceChildren(...elements);
  images.style.setProperty("--sf-columns", String(Math.ceil(Math.sqrt(elements.length))));
}

/**
 * Shows a text on one of our nodes, if there is such a node.
 * @param {string} node
 * @param {string} text
 */
export function showStatus(node, text) {
  const shown = shownHere().filter((each) => each.node === node).at(-1);
  if (shown) shown.text = text;
  for (const status of statusesOf(node)) status.text.textContent = text;
}

const shownHere = () => kept.known.filter(({ prompt, node }) => !isElsewhere(prompt, node));

/** The nodes of a workflow are made anew whenever its tab is opened, and by each undo. */
function restoreOnOpening() {
  /** @param {Comfy.WorkflowAction} action */
  const onAction = ({ name, args: [workflow], after }) => {
    if (name === "openWorkflow") after(() => shownHere().forEach(show));
    if (name !== "closeWorkflow" || !workflow) return;
    const { path } = workflow;
    const { tabs } = open();
    after(() => kept.close(path, tabs));
  };
  app.extensionManager.workflow?.$onAction?.(onAction);
}

/**
 * The status of one of our nodes, and of the subgraphs that it is in, without the images of another run; none for
 * other nodes.
 * @param {string} path
 * @param {string} [run]
 */
function statusesOf(path, run) {
  if (!isOwn(nodeAt(path)?.comfyClass)) return [];
  const ids = path.split(":");
  return ids.flatMap((_, depth) => {
    const node = nodeAt(ids.slice(0, depth + 1).join(":"));
    if (!node) return [];
    const status = statuses.get(node) ?? addStatus(node);
    if (run !== undefined && status.run !== run) {
      status.images.replaceChildren();
      Object.assign(status, { run, shown: new Map() });
    }
    return [status];
  });
}

/**
 * @param {Comfy.Node} node
 * @returns {Status}
 */
function addStatus(node) {
  const text = h("p", { "data-capture-wheel": "true" });
  const images = h("div", { class: "sf-status-images" });
  const content = h("div", { class: "sf-status-content" }, text, images);
  /** @type {Status} */
  const status = { text, images, ownAtFirst: node.graph ? node.size[1] : null, room: 0, run: "", shown: new Map() };
  statuses.set(node, status);
  const element = h("div", { class: "sf-status" }, content);
  const owner = /** @type {Comfy.NodeWithElements} */ (node);
  const widget = owner.addDOMWidget(WIDGET, "siliconflow_status", element, { serialize: false, hideOnZoom: false, margin: 0 });
  widget.serialize = false;
  // Its own height and no more: what is left of a node is for its text boxes.
  widget.computeLayoutSize = undefined;
  widget.computeSize = () => [0, Math.max(0, status.room - GAP)];
  const { onSerialize } = node;
  node.onSerialize = function (saved) {
    onSerialize?.call(this, saved);
    if (saved.size) saved.size = [saved.size[0], saved.size[1] - status.room];
  };
  new ResizeObserver(() => makeRoom(node, status, element, content.offsetHeight)).observe(content);
  return status;
}

/**
 * The node is higher by what its status takes, and gives it back: the text boxes stay as they are. The element has
 * no height before the node has: Nodes 2.0 would make the node higher by itself, and once more here.
 * @param {Comfy.Node} node
 * @param {Status} status
 * @param {HTMLElement} element
 * @param {number} height pixels of what it holds; 0 while nobody sees the node
 */
function makeRoom(node, status, element, height) {
  if (!height || !node.graph) return;
  const own = status.room ? node.size[1] - status.room : (status.ownAtFirst ?? node.size[1]);
  status.room = Math.ceil(height) + (status.ownAtFirst === null ? 0 : GAP); // which it has from the beginning
  if (node.size[1] !== own + status.room) node.setSize([node.size[0], own + status.room]);
  element.style.minHeight = `${Math.ceil(height)}px`;
  node.setDirtyCanvas?.(true, true);
}
