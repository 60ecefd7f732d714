/** What a node shows of a run appears in the workflow that was queued alone. */

import { app } from "../../../scripts/app.js";
import { api } from "../../../scripts/api.js";
import { onEvent } from "./api.js";
import { QueuedPrompts, tabOf } from "./logic/prompts.js";

/** The page may be loaded again while its prompts run. */
const STORAGE_KEY = "siliconflow.prompts";
/** A subgraph that no workflow has. */
const NOWHERE = -1;

/** @type {QueuedPrompts} */
let prompts = new QueuedPrompts();
/**
 * The prompt that runs: ComfyUI's older events do not name theirs.
 * @type {string | null}
 */
let running = null;

/** ComfyUI's tabs. @returns {any[]} */
const tabs = () => app.extensionManager.workflow?.openWorkflows ?? [];

/** The workflow that is open, and all tabs. */
export function open() {
  const graph = String(app.rootGraph?.id ?? app.graph?.id);
  const active = app.extensionManager.workflow?.activeWorkflow;
  return {
    graph,
    path: active?.path ?? null,
    tabs: tabs().map((tab) => ({ path: tab.path, graph: tab === active ? graph : (tab.activeState?.id ?? null) })),
  };
}

const remember = () => sessionStorage.setItem(STORAGE_KEY, JSON.stringify(prompts.remembered));

/**
 * Whether a node belongs to another workflow than the one that is open, as far as this page knows.
 * @param {string} prompt
 * @param {string} node
 */
export const isElsewhere = (prompt, node) => prompts.isElsewhere(prompt, node, open());

/**
 * The workflow of a prompt with this node of ours; null if this page does not know it.
 * @param {string} prompt
 * @param {string} node
 */
export const homeOf = (prompt, node) => prompts.homeOf(prompt, node);

/** Not an async function: this script would stand in the trace of errors that it has no part in. */
function interceptQueueing() {
  const queuePrompt = api.queuePrompt;
  api.queuePrompt = function (...rest) {
    const from = open();
    return queuePrompt.apply(this, rest).then((response) => {
      if (response?.prompt_id) {
        prompts.add(response.prompt_id, rest[1].output, from);
        remember();
      }
      return response;
    });
  };
}

/**
 * The prompt and the node of an event that a node shows something by.
 * @param {string} type
 * @param {any} detail
 */
function shownBy(type, detail) {
  if (type === "progress_text") return { prompt: detail.prompt_id, node: detail.nodeId };
  if (type === "b_preview_with_metadata") return { prompt: detail.promptId ?? detail.jobId, node: detail.nodeId };
  return type === "b_preview" ? { prompt: null, node: app.runningNodeId } : null;
}

/**
 * Keeps what a node has made for the tab of its workflow, and returns the event as it shows nothing in the one that is
 * open. ComfyUI keeps what this page has queued; what the server queued again it would show in whatever workflow is
 * open, if that has a node of the same id.
 * @template {{ prompt_id: string, node: string, display_node?: string, output: unknown }} Executed
 * @param {Executed} executed
 */
function keptForItsTab(executed) {
  const here = open();
  const home = prompts.elsewhereOf(executed.prompt_id, here);
  if (!home) return executed;
  const tracker = tabs()[tabOf(home, here.tabs)]?.changeTracker;
  const node = executed.display_node || executed.node;
  if (tracker) (tracker.nodeOutputs ??= {})[node] = executed.output;
  return { ...executed, display_node: `${NOWHERE}:${node}` };
}

function interceptEvents() {
  const dispatch = /** @type {(...all: any[]) => boolean} */ (api.dispatchCustomEvent);
  api.dispatchCustomEvent = /** @param {any[]} all */ function (...all) {
    const shown = shownBy(all[0], all[1] ?? {});
    if (shown && prompts.isElsewhere(shown.prompt ?? running, shown.node, open())) return true;
    if (all[0] === "executed") all[1] = keptForItsTab(all[1]);
    return dispatch.apply(this, all);
  };
}

app.registerExtension({
  name: "SiliconFlow.Prompts",
  init: interceptEvents,
  setup() {
    prompts = new QueuedPrompts(JSON.parse(sessionStorage.getItem(STORAGE_KEY) ?? "[]"));
    interceptQueueing();
    onEvent("background", ({ first_prompt_id, prompt_id }) => {
      if (!prompt_id) return;
      prompts.goOn(first_prompt_id, prompt_id);
      remember();
    });
    api.addEventListener("execution_start", ({ detail }) => (running = detail.prompt_id));
  },
});
