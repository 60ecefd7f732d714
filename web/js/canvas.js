/** Brings what a job made onto the canvas. */

import { app } from "/scripts/app.js";
import { getWorkflow, loadPicture } from "./api.js";
import { formatClock } from "./logic/format.js";
import { language, reason, t, toast } from "./page.js";

const STEP = 40;

/** A Load Image node for each picture, in the middle of what is on show. */
export async function putOnCanvas(job, pictures) {
  try {
    for (const [at, { place }] of pictures.entries()) addLoader(await loadPicture(job.id, place), at * STEP);
    toast("success", t("jobs.put_done"));
  } catch (error) {
    toast("error", t("app.name"), reason(error));
  }
}

function addLoader({ name, subfolder }, offset) {
  const node = window.LiteGraph.createNode("LoadImage");
  const graph = app.canvas.graph ?? app.graph;
  graph.add(node);
  const [x, y] = middleOfView();
  node.pos = [x - node.size[0] / 2 + offset, y - node.size[1] / 2 + offset];
  choose(node.widgets.find((widget) => widget.name === "image"), subfolder ? `${subfolder}/${name}` : name, node);
  app.canvas.selectNode?.(node);
  graph.setDirtyCanvas(true, true);
}

/** Sets the file as if the user had: the list of files is older than this one. */
function choose(widget, file, node) {
  const files = widget.options?.values;
  if (Array.isArray(files) && !files.includes(file)) files.push(file);
  widget.value = file;
  widget.callback?.(file, app.canvas, node);
}

function middleOfView() {
  const { ds, canvas } = app.canvas;
  const { width, height } = canvas.getBoundingClientRect();
  return [width / 2 / ds.scale - ds.offset[0], height / 2 / ds.scale - ds.offset[1]];
}

/** Opens the workflow that made a job, in a tab of its own where the frontend has tabs. */
export async function openWorkflowOf(job) {
  try {
    const workflow = await getWorkflow(job.id);
    await app.loadGraphData(workflow, true, true, t("jobs.workflow_name", { time: formatClock(job.at, language()).replace(":", ".") }));
  } catch (error) {
    toast("error", t("app.name"), reason(error));
  }
}
