/**
 * Before a workflow that runs by itself pays without end: while Run (On Change) or Run (Instant) is on and the seed of
 * a paid node, or what is drawn of a `{a|b}` in its prompt, is another one in each run, the page asks what to do.
 */

/** @import { TextKey } from "./types" */

import { app } from "../../../scripts/app.js";
import { api } from "../../../scripts/api.js";
import { openDialog } from "./dialog.js";
import { drawn, fixing } from "./logic/seeds.js";
import { nodeAt, openWorkflowId, setWidgets } from "./nodes.js";
import { button, h, t } from "./page.js";
import { decidingWidgets } from "./subgraphs.js";
import { paidNodes } from "./widgets.js";

/** The workflows with which the user wants the mode to go on, by their ids; asked again after it was off. */
const goingOn = new Set();
/** @type {Promise<boolean> | null} */
let asked = null;

/** ComfyUI's own mode: "disabled", "change", or "instant" in several words; the old menu has one of its own. */
function mode() {
  const chosen = app.extensionManager?.queueSettings?.mode ?? "disabled";
  return chosen === "disabled" && app.ui.autoQueueEnabled ? String(app.ui.autoQueueMode) : chosen;
}

/** Turns ComfyUI's mode off. */
function stop() {
  const settings = app.extensionManager?.queueSettings;
  if (settings) settings.mode = "disabled";
  app.ui.autoQueueEnabled = false;
}

/** @typedef {{ node: Comfy.Node, holder: Comfy.Node, values: Record<string, string | number> }} Reseeded */

/**
 * The paid nodes of a prompt with a seed, or a `{a|b}`, that is another one in each run, each with what would keep it,
 * on the nodes that hold it.
 * @param {Record<string, { inputs: Record<string, unknown> }>} prompt as it is sent
 * @returns {Reseeded[]}
 */
function reseeded(prompt) {
  const paid = new Set(paidNodes());
  return Object.entries(prompt).flatMap(([id, { inputs }]) => {
    const node = nodeAt(id);
    if (!node || !paid.has(node)) return [];
    /** @type {ReturnType<typeof holdersOf>} */
    const ofSeed = "seed" in inputs ? holdersOf(node, inputs.seed) : [];
    /** @type {ReturnType<typeof holdersOf>[number]} */
    const ofTexts = [node, drawn(node.widgets ?? [], inputs)];
    return [...ofSeed, ofTexts]
      .map(([holder, values]) => ({ node, holder, values }))
      .filter(({ values }) => Object.keys(values).length);
  });
}

/**
 * The nodes that hold the seed of a node, each with what keeps it: another node, the subgraph to which it is promoted,
 * whose control stays inside, or the node itself.
 * @param {Comfy.Node} node
 * @param {unknown} sent what is sent: the seed, or the node that makes it
 * @returns {[holder: Comfy.Node, values: Record<string, string | number>][]}
 */
function holdersOf(node, sent) {
  const slot = node.inputs.findIndex(({ name }) => name === "seed");
  const input = node.inputs[slot];
  const origin = Array.isArray(sent) ? nodeAt(sent[0]) : input?.link == null ? node : node.getInputNode(slot);
  if (origin) return [[origin, fixing(origin.widgets ?? [])]];
  const promoted = (input && decidingWidgets(node, input)) ?? [];
  return [
    [node, fixing((node.widgets ?? []).filter(({ name }) => name !== "seed"))],
    ...promoted.map(({ node: host, widget }) => {
      const { seed } = fixing([{ name: "seed", value: widget.value, options: widget.options }]);
      return /** @type {[Comfy.Node, Record<string, number>]} */ ([host, seed === undefined ? {} : { [widget.name]: seed }]);
    }),
  ];
}

/**
 * Fixes the seeds and the prompts, and queues the workflow anew: the prompt that waits has the old ones.
 * @param {Reseeded[]} nodes
 */
function fix(nodes) {
  for (const { holder, values } of nodes) setWidgets(holder, values);
  void app.queuePrompt(0, 1);
}

/**
 * Returns whether to send the prompt that is about to be queued. A dialog that is closed stops the mode.
 * @param {Reseeded[]} nodes
 * @returns {Promise<boolean>}
 */
function ask(nodes) {
  const workflow = openWorkflowId();
  return new Promise((resolve) => {
    /** @type {boolean | null} */
    let goes = null;
    const { close, fill } = openDialog(t("auto_run.title"), () => {
      if (goes === null) stop();
      resolve(goes ?? false);
    });
    /** @param {() => void} change */
    const then = (change, isSent = true) => () => {
      goes = isSent;
      change();
      close();
    };
    const titles = [...new Set(nodes.map(({ node }) => node.title))].join(", ");
    const name = t(/** @type {TextKey} */ (`auto_run.${mode().startsWith("instant") ? "instant" : "change"}`));
    fill(
      t("auto_run.title"),
      h("p", {}, t("auto_run.text", { mode: name, nodes: titles })),
      h(
        "footer",
        {},
        button(t("auto_run.once"), then(stop)),
        button(t("auto_run.go_on"), then(() => goingOn.add(workflow))),
        button(t("auto_run.fix"), then(() => fix(nodes), false), { kind: "primary" }),
      ),
    );
  });
}

/** Not an async function: this script would stand in the trace of errors that it has no part in. */
function interceptQueueing() {
  const queuePrompt = api.queuePrompt;
  api.queuePrompt = function (...rest) {
    if (mode() === "disabled") goingOn.clear();
    const prompt = /** @type {Parameters<typeof reseeded>[0]} */ (rest[1]?.output ?? {});
    const nodes = mode() === "disabled" || goingOn.has(openWorkflowId()) ? [] : reseeded(prompt);
    if (!nodes.length) return queuePrompt.apply(this, rest);
    asked ??= ask(nodes).finally(() => (asked = null));
    return asked.then((goes) => (goes ? queuePrompt.apply(this, rest) : { node_errors: {}, error: "" }));
  };
}

app.registerExtension({ name: "SiliconFlow.AutoRun", setup: interceptQueueing });
