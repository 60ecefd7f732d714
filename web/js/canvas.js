/** Brings what a job made onto the canvas. */

import { app } from "/scripts/app.js";
import { getWorkflow, loadPicture } from "./api.js";
import { formatClock } from "./logic/format.js";
import { freePlace } from "./logic/place.js";
import { language, reason, t, toast } from "./page.js";

const TITLE = 30;

/** A Load Image node for each picture, where there is room in what is on show. */
export async function putOnCanvas(job, pictures) {
  try {
    for (const { place } of pictures) addLoader(await loadPicture(job.id, place));
    toast("success", t("jobs.put_done"));
  } catch (error) {
    toast("error", t("app.name"), reason(error));
  }
}

function addLoader({ name, subfolder }) {
  const node = window.LiteGraph.createNode("LoadImage");
  const graph = app.canvas.graph ?? app.graph;
  // With room for the picture. Before it is added: Nodes 2.0 takes its place from then on.
  node.size = [Math.max(node.size[0], 300), Math.max(node.size[1], 360)];
  node.pos = freePlace(view(), [node.size[0], node.size[1] + TITLE], graph.nodes.map(boxOf));
  node.pos[1] += TITLE;
  graph.add(node);
  choose(
    node.widgets.find((widget) => widget.name === "image"),
    subfolder ? `${subfolder}/${name}` : name,
    node,
  );
  show(node);
  graph.setDirtyCanvas(true, true);
}

const boxOf = (node) => [node.pos[0], node.pos[1] - TITLE, node.size[0], node.size[1] + TITLE];

/** What can be seen of the canvas: the sidebar lies over it. */
function view() {
  const { ds, canvas } = app.canvas;
  const whole = canvas.getBoundingClientRect();
  const side = document.querySelector(".sf-jobs")?.getBoundingClientRect();
  const left = side && side.left < whole.width / 2 ? Math.max(whole.left, side.right) : whole.left;
  const right = side && side.left >= whole.width / 2 ? side.left : whole.right;
  return [
    (left - whole.left) / ds.scale - ds.offset[0],
    -ds.offset[1],
    (right - left) / ds.scale,
    whole.height / ds.scale,
  ];
}

/** Selects the node, and brings it into view if it is not. */
function show(node) {
  const [left, top, width, height] = view();
  const [x, y] = node.pos;
  if (x + node.size[0] > left + width || y + node.size[1] > top + height || x < left || y < top)
    app.canvas.centerOnNode?.(node);
  app.canvas.selectNode?.(node);
}

/** Sets the file as if the user had: the list of files is older than this one. */
function choose(widget, file, node) {
  const files = widget.options?.values;
  if (Array.isArray(files) && !files.includes(file)) files.push(file);
  widget.value = file;
  widget.callback?.(file, app.canvas, node);
}

/** Opens the workflow that made a job, in a tab of its own where the frontend has tabs. */
export async function openWorkflowOf(job) {
  try {
    const workflow = await getWorkflow(job.id);
    await app.loadGraphData(
      workflow,
      true,
      true,
      t("jobs.workflow_name", { time: formatClock(job.at, language()).replace(":", ".") }),
    );
  } catch (error) {
    toast("error", t("app.name"), reason(error));
  }
}
