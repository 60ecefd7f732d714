/** Puts what a job made onto the canvas. */

/** @import { InputFile, Job, JobImage } from "./types" */
/** @import { Box } from "./logic/place.js" */

import { app } from "../../../scripts/app.js";
import { getWorkflow, loadImage } from "./api.js";
import { formatClock } from "./logic/format.js";
import { freePlace } from "./logic/place.js";
import { errorText, language, t, toast } from "./page.js";

const TITLE_HEIGHT = 30;

/**
 * Adds a Load Image node for each image, where there is room in the visible part of the canvas.
 * @param {Job} job
 * @param {JobImage[]} images
 */
export async function putOnCanvas(job, images) {
  try {
    for (const { place } of images) addLoader(await loadImage(job.id, place));
    toast("success", t("jobs.put_done"));
  } catch (error) {
    toast("error", t("app.name"), errorText(error));
  }
}

/** @param {InputFile} file */
function addLoader({ name, subfolder }) {
  const node = window.LiteGraph.createNode("LoadImage");
  if (!node) throw new Error("ComfyUI has no Load Image node.");
  const graph = app.canvas.graph ?? app.graph;
  // With room for the image. Before the node is added: Nodes 2.0 takes its position from then on.
  node.size = [Math.max(node.size[0], 300), Math.max(node.size[1], 360)];
  const [x, y] = freePlace(visibleArea(), [node.size[0], node.size[1] + TITLE_HEIGHT], graph.nodes.map(boxOf));
  node.pos = [x, y + TITLE_HEIGHT];
  graph.add(node);
  chooseFile(node, subfolder ? `${subfolder}/${name}` : name);
  show(node);
  graph.setDirtyCanvas(true, true);
}

/**
 * @param {Comfy.Node} node
 * @returns {Box}
 */
const boxOf = (node) => [node.pos[0], node.pos[1] - TITLE_HEIGHT, node.size[0], node.size[1] + TITLE_HEIGHT];

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
 */
function chooseFile(node, file) {
  const widget = node.widgets?.find(({ name }) => name === "image");
  if (!widget) throw new Error("ComfyUI's Load Image node has no list of images.");
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
  } catch (error) {
    toast("error", t("app.name"), errorText(error));
  }
}
