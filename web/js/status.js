/**
 * What a node shows while it runs and after: a plain text, and the images as they arrive. In a widget of our own:
 * ComfyUI's would read the text as Markdown, show the last image alone, and keep for good the room that both took.
 */

import { app } from "../../../scripts/app.js";
import { api } from "../../../scripts/api.js";
import { isOwn } from "./logic/own_nodes.js";
import { nodeAt } from "./nodes.js";
import { h, isAppMode, isVue, t } from "./page.js";

const WIDGET = "$$siliconflow-status";
/** Between the widgets of a node, in either look. */
const GAP = 4;
const MOST_IMAGES = 64;

/**
 * @typedef {object} Status
 * @property {HTMLElement} text
 * @property {HTMLElement} images
 * @property {number | null} ownAtFirst the node's height before it had a status, to which Nodes 2.0 add a gap for it by
 *   themselves; null if it has one from the beginning
 * @property {number} room pixels of the node's height that are the status'
 * @property {string} run which prompt the images are of
 * @property {number} shown how many images of it there were
 */

/** @type {WeakMap<Comfy.Node, Status>} */
const statuses = new WeakMap();
/** The id of the prompt that runs. */
let running = "";
/** By the id of a node, the first line of what it says of the prompt that runs. */
const lines = new Map();

app.registerExtension({
  name: "SiliconFlow.Status",
  // Before any setup: whoever keeps events from nodes there is asked first.
  init() {
    api.addEventListener("execution_start", ({ detail }) => (running = detail.prompt_id));
    interceptEvents();
  },
  /** Reads aloud what nodes say when their prompt has ended: until then it changes every second. */
  setup() {
    const live = h("div", { class: "sf-off-screen", role: "status" });
    document.body.append(live);
    api.addEventListener("execution_start", () => {
      lines.clear();
      live.textContent = "";
    });
    api.addEventListener("execution_success", () => (live.textContent = [...lines.values()].join("\n")));
  },
  nodeCreated(node) {
    // The first Nodes 2.0 draw no widget that comes after a node's links.
    const [widget] = node.widgets ?? [];
    if (isOwn(node.comfyClass) && isVue() && widget && !("_state" in widget)) addStatus(node);
  },
});

/**
 * Keeps from ComfyUI what our nodes show themselves. Not in app mode, which has no nodes to look at and shows the
 * images of a run in a place of its own.
 */
function interceptEvents() {
  const { dispatchCustomEvent } = api;
  /** @param {[string, any?]} event */
  const intercepted = function (...event) {
    const [type, detail] = event;
    if (type === "progress_text" && showText(detail)) {
      lines.set(detail.nodeId, detail.text.split("\n")[0]);
      return true;
    }
    if (type === "b_preview_with_metadata" && !isAppMode() && showImage(detail)) return true;
    return Reflect.apply(dispatchCustomEvent, api, event);
  };
  api.dispatchCustomEvent = /** @type {typeof dispatchCustomEvent} */ (intercepted);
}

/** @param {{ nodeId: string | number, text: string } | null} detail */
function showText(detail) {
  const shown = detail ? statusesOf(detail.nodeId) : [];
  for (const { text } of shown) text.textContent = detail?.text ?? "";
  return shown.length > 0;
}

/**
 * Shows a text on one of our nodes, if there is such a node.
 * @param {string} nodeId
 * @param {string} text
 */
export const showStatus = (nodeId, text) => showText({ nodeId, text });

/** @param {{ displayNodeId: string | number, blob: Blob } | null} detail */
function showImage(detail) {
  const shown = detail ? statusesOf(detail.displayNodeId) : [];
  for (const status of shown) {
    const { images } = status;
    status.shown += 1;
    const alt = t("status.image", { n: status.shown });
    if (detail) images.append(h("img", { alt, src: URL.createObjectURL(detail.blob) }));
    if (images.children.length > MOST_IMAGES) drop(images.firstElementChild);
    images.style.setProperty("--sf-columns", String(Math.ceil(Math.sqrt(images.children.length))));
  }
  return shown.length > 0;
}

/** @param {Element | null} image */
function drop(image) {
  if (image instanceof HTMLImageElement) URL.revokeObjectURL(image.src);
  image?.remove();
}

/**
 * The status of one of our nodes, and of the subgraphs that it is in, without the images of an earlier run; none for
 * other nodes.
 * @param {string | number} path
 */
function statusesOf(path) {
  if (!isOwn(nodeAt(path)?.comfyClass)) return [];
  const ids = String(path).split(":");
  return ids.flatMap((_, depth) => {
    const node = nodeAt(ids.slice(0, depth + 1).join(":"));
    if (!node) return [];
    const status = statuses.get(node) ?? addStatus(node);
    if (status.run !== running) {
      [...status.images.children].forEach(drop);
      status.shown = 0;
    }
    status.run = running;
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
  const status = { text, images, ownAtFirst: node.graph ? node.size[1] : null, room: 0, run: running, shown: 0 };
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
