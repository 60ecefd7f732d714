/** Puts images onto the canvas and into nodes, and opens the workflow that made one. */

/** @import { InputFile, Job, JobImage } from "./types" */
/** @import { Box } from "./logic/place.js" */

import { app } from "../../../scripts/app.js";
import { getWorkflow, loadImage } from "./api.js";
import { formatClock } from "./logic/format.js";
import { freePlace } from "./logic/place.js";
import { setWidgets } from "./nodes.js";
import { errorText, isVue, language, t, toast } from "./page.js";
import { deciderAt } from "./subgraphs.js";

const TITLE_HEIGHT = 30;
/** For a text box to be drawn, and how often that is looked at. */
const [FOCUS_TRIES, FOCUS_MILLISECONDS] = [20, 50];
const GAP = 40;
/** With room for an image. @type {[number, number]} */
const IMAGE_SIZE = [300, 360];

/** ComfyUI's nodes that load a file, each with its list of files. */
const LOADERS = { image: ["LoadImage", "image"], video: ["LoadVideo", "file"] };

/** @param {JobImage} image */
const loaderOf = ({ video }) => LOADERS[video ? "video" : "image"];

/**
 * Whether this ComfyUI has a node that loads it.
 * @param {JobImage} image
 */
export const canLoad = (image) => String(loaderOf(image)[0]) in window.LiteGraph.registered_node_types;

/**
 * Adds a Load Image or Load Video node for each, where there is room in the visible part of the canvas.
 * @param {Job} job
 * @param {JobImage[]} images
 */
export async function putOnCanvas(job, images) {
  try {
    for (const image of images) show(addLoader(await loadImage(job.id, image.place), visibleArea, loaderOf(image)));
    toast("success", t(images[0]?.video ? "jobs.put_video_done" : "jobs.put_done"));
  } catch (error) {
    toast("error", t("app.name"), errorText(error));
  }
}

/**
 * Gives an image to the node that is selected: to its own list of files, or by way of a Load Image node.
 * @param {Job} job
 * @param {JobImage} image
 */
export async function useInSelected(job, image) {
  const takers = selectedNodes().filter((each) => loaderWidget(each) || takesImages(each));
  const node = takers.find((each) => loaderWidget(each) || imageInput(each) >= 0);
  if (!node) return toast("error", t("app.name"), t(takers.length ? "jobs.no_free_input" : "jobs.nothing_selected"));
  try {
    giveImage(node, await loadImage(job.id, image.place), imageInput(node));
    toast("success", t("jobs.use_done"));
  } catch (error) {
    toast("error", t("app.name"), errorText(error));
  }
}

/**
 * Puts an image on the canvas, with an edit node for it.
 * @param {Job} job
 * @param {JobImage} image
 */
export async function editImage(job, image) {
  try {
    addEditor(addLoader(await loadImage(job.id, image.place)), null);
  } catch (error) {
    toast("error", t("app.name"), errorText(error));
  }
}

/** @returns {Comfy.Node[]} */
const selectedNodes = () => Object.values(app.canvas.selected_nodes ?? {});

/**
 * A node that loads the file takes it itself; any other gets it from a Load Image node at its left side.
 * @param {Comfy.Node} node
 * @param {InputFile} file
 * @param {number} input for an image
 */
export function giveImage(node, file, input) {
  if (loaderWidget(node)) return chooseFile(node, pathOf(file));
  addLoader(file, leftOf(node)).connect(0, node, input);
}

/**
 * Adds an edit node at the right of a node, for a copy of the image that it shows, or for its output; and a preview,
 * for ComfyUI runs nothing that no node shows or saves.
 * @param {Comfy.Node} node
 * @param {InputFile | null} file
 */
export function addEditor(node, file) {
  const source = file ? addLoader(file, rightOf(node)) : node;
  const editor = addNode("SiliconFlowImageEdit", rightOf(source));
  source.connect(source.outputs.findIndex(({ type }) => type === "IMAGE"), editor, freeImageInput(editor));
  editor.connect(0, addNode("PreviewImage", rightOf(editor), IMAGE_SIZE), 0);
  show(editor);
  void focusPrompt(editor);
}

/**
 * The user is to say what to edit: the focus goes into the prompt, once that is drawn and the menu has let go of it.
 * @param {Comfy.Node} node
 */
async function focusPrompt(node) {
  const { element } = /** @type {Comfy.Widget} */ (node.widgets?.find(({ name }) => name === "prompt") ?? {});
  for (let tries = 0; tries < FOCUS_TRIES; tries++) {
    await new Promise((resolve) => setTimeout(resolve, FOCUS_MILLISECONDS));
    const field = isVue() ? document.querySelector(`[data-node-id="${node.id}"] textarea`) : element;
    if (field && field === document.activeElement) return;
    /** @type {HTMLElement | null | undefined} */ (field)?.focus({ preventScroll: true });
  }
}

/** Where a node of some width goes. @typedef {(width: number) => Box} Area */

/** @param {Comfy.Node} node @returns {Area} */
const rightOf = (node) => (width) => {
  const [left, top, ownWidth, height] = boxOf(node);
  return [left + ownWidth, top, width + 2 * GAP, height];
};

/** @param {Comfy.Node} node @returns {Area} */
const leftOf = (node) => (width) => {
  const [left, top, , height] = boxOf(node);
  return [left - width - 2 * GAP, top, width + 2 * GAP, height];
};

/**
 * The widget with the files of a node that loads an image.
 * @param {Comfy.Node} node
 */
export function loaderWidget(node) {
  return /^LoadImage/.test(node.comfyClass ?? "") ? node.widgets?.find(({ name }) => name === "image") : undefined;
}

/** @param {Comfy.Node} node */
export const takesImages = ({ inputs }) => inputs.some(({ type }) => type === "IMAGE");

/**
 * The first input for an image that nothing is connected to; -1 if there is none.
 * @param {Comfy.Node} node
 */
export const freeImageInput = ({ inputs }) => inputs.findIndex(({ type, link }) => type === "IMAGE" && link == null);

/**
 * The input for another image: one that is free, or the only one. Which of several would be replaced, nobody can say.
 * @param {Comfy.Node} node
 */
function imageInput(node) {
  const [only, ...others] = node.inputs.filter(({ type }) => type === "IMAGE");
  return only && !others.length ? node.inputs.indexOf(only) : freeImageInput(node);
}

/** @param {InputFile} file */
const pathOf = ({ name, subfolder }) => (subfolder ? `${subfolder}/${name}` : name);

/**
 * @param {InputFile} file
 * @param {Area} [area]
 * @param {string[]} [loader] the node, and its list of files
 */
function addLoader(file, area = visibleArea, [type = "", list] = LOADERS.image) {
  const node = addNode(type, area, IMAGE_SIZE);
  chooseFile(node, pathOf(file), list);
  return node;
}

/**
 * Adds a node to the graph on view, where it covers no other.
 * @param {string} type
 * @param {Area} area where it should be, if there is room
 * @param {[number, number]} [least] the smallest size
 */
function addNode(type, area, [width, height] = [0, 0]) {
  const node = window.LiteGraph.createNode(type);
  if (!node) throw new Error(`ComfyUI has no ${type} node.`);
  const graph = app.canvas.graph ?? app.graph;
  // Before the node is added: Nodes 2.0 takes its size and position from then on.
  node.size = [Math.max(node.size[0], width), Math.max(node.size[1], height)];
  const [x, y] = freePlace(area(node.size[0]), [node.size[0], node.size[1] + TITLE_HEIGHT], graph.nodes.map(boxOf));
  node.pos = [x, y + TITLE_HEIGHT];
  graph.add(node);
  graph.setDirtyCanvas(true, true);
  return node;
}

/**
 * What a node covers: Nodes 2.0 draw it larger than its size where what is in it needs that.
 * @param {Comfy.Node} node
 * @returns {Box}
 */
function boxOf({ id, pos: [x, y], size: [width, height] }) {
  const drawn = isVue() ? /** @type {HTMLElement | null} */ (document.querySelector(`[data-node-id="${id}"]`)) : null;
  const { offsetWidth = 0, offsetHeight = 0 } = drawn ?? {};
  return [x, y - TITLE_HEIGHT, Math.max(width, offsetWidth), Math.max(height + TITLE_HEIGHT, offsetHeight)];
}

/**
 * The part of the canvas that can be seen: the sidebar covers some of it.
 * @returns {Box}
 */
function visibleArea() {
  const { ds, canvas } = app.canvas;
  const whole = canvas.getBoundingClientRect();
  const sidebar = document.querySelector(".sf-jobs")?.getBoundingClientRect();
  const isLeft = sidebar && sidebar.left < whole.width / 2;
  const left = isLeft ? Math.max(whole.left, sidebar.right) : whole.left;
  const right = sidebar && !isLeft ? sidebar.left : whole.right;
  return [
    (left - whole.left) / ds.scale - ds.offset[0],
    -ds.offset[1],
    (right - left) / ds.scale,
    whole.height / ds.scale,
  ];
}

/**
 * Selects the node, and brings it into view if it is not.
 * @param {Comfy.Node} node
 */
function show(node) {
  const [left, top, width, height] = visibleArea();
  const [x, y] = node.pos;
  if (x + node.size[0] > left + width || y + node.size[1] > top + height || x < left || y < top)
    app.canvas.centerOnNode?.(node);
  app.canvas.selectNode?.(node);
}

/**
 * Chooses a file as the user would; the node's list of files is older than the file.
 * @param {Comfy.Node} node
 * @param {string} file
 * @param {string} [list] the name of its list
 */
function chooseFile(node, file, list = "image") {
  const widget = node.widgets?.find(({ name }) => name === list);
  if (!widget) throw new Error(`ComfyUI's node has no list of files: ${node.comfyClass}.`);
  const files = widget.options?.values;
  if (Array.isArray(files) && !files.includes(file)) files.push(file);
  widget.value = file;
  widget.callback?.(file, app.canvas, node);
}

/**
 * Opens the workflow that made a job, in a tab of its own if the frontend has tabs.
 * @param {Job} job
 */
export async function openWorkflowOf(job) {
  try {
    const workflow = await getWorkflow(job.id);
    const time = formatClock(job.at, language()).replace(":", ".");
    await app.loadGraphData(workflow, true, true, t("jobs.workflow_name", { time }));
    return true;
  } catch (error) {
    toast("error", t("app.name"), errorText(error));
    return false;
  }
}

/**
 * Runs the workflow that made a job once more, as it was but for the seed. What else it requested is saved, and free.
 * @param {Job} job
 */
export async function repeatWithNewSeed(job) {
  if (!(await openWorkflowOf(job))) return;
  const decider = deciderAt(job.node, "seed");
  if (!decider) return toast("error", t("app.name"), t("jobs.no_seed"));
  const { node, widget } = decider;
  const most = Number(widget.options?.max ?? 2 ** 32 - 1);
  setWidgets(node, { [widget.name]: Math.floor(Math.random() * (most + 1)) });
  await app.queuePrompt(0, 1);
}
