/**
 * Before a workflow that runs by itself pays without end: while Run (On Change) or Run (Instant) is on and the seed of
 * a paid node is another one in each run, the page asks what to do.
 */

/** @import { TextKey } from "./types" */

import { app } from "../../../scripts/app.js";
import { api } from "../../../scripts/api.js";
import { openDialog } from "./dialog.js";
import { fixing } from "./logic/seeds.js";
import { setWidgets } from "./nodes.js";
import { button, h, t } from "./page.js";
import { paidNodes } from "./widgets.js";

/** Whether the user wants the mode to go on; asked again after it was off. */
let mayGoOn = false;
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

/**
 * The nodes with a seed that is another one in each run, each with the node that holds it: its own, or what is linked.
 * @returns {[paid: Comfy.Node, holder: Comfy.Node][]}
 */
function reseeded() {
  return paidNodes().flatMap((node) => {
    const slot = node.inputs.findIndex((input) => input.name === "seed" && input.link != null);
    const holder = slot < 0 ? node : node.getInputNode(slot);
    return holder && Object.keys(fixing(holder.widgets ?? [])).length ? [[node, holder]] : [];
  });
}

/**
 * Fixes the seeds and queues the workflow anew: the prompt that waits has the old ones.
 * @param {[Comfy.Node, Comfy.Node][]} nodes
 */
function fix(nodes) {
  for (const [, holder] of nodes) setWidgets(holder, fixing(holder.widgets ?? []));
  void app.queuePrompt(0, 1);
}

/**
 * Returns whether to send the prompt that is about to be queued. A dialog that is closed stops the mode.
 * @param {[Comfy.Node, Comfy.Node][]} nodes
 * @returns {Promise<boolean>}
 */
function ask(nodes) {
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
    const titles = [...new Set(nodes.map(([node]) => node.title))].join(", ");
    const name = t(/** @type {TextKey} */ (`auto_run.${mode().startsWith("instant") ? "instant" : "change"}`));
    fill(
      t("auto_run.title"),
      h("p", {}, t("auto_run.text", { mode: name, nodes: titles })),
      h(
        "footer",
        {},
        button(t("auto_run.once"), then(stop)),
        button(t("auto_run.go_on"), then(() => (mayGoOn = true))),
        button(t("auto_run.fix"), then(() => fix(nodes), false), { kind: "primary" }),
      ),
    );
  });
}

/** Not an async function: this script would stand in the trace of errors that it has no part in. */
function interceptQueueing() {
  const queuePrompt = api.queuePrompt;
  api.queuePrompt = function (...rest) {
    if (mode() === "disabled") mayGoOn = false;
    const nodes = mode() === "disabled" || mayGoOn ? [] : reseeded();
    if (!nodes.length) return queuePrompt.apply(this, rest);
    asked ??= ask(nodes).finally(() => (asked = null));
    return asked.then((goes) => (goes ? queuePrompt.apply(this, rest) : { node_errors: {}, error: "" }));
  };
}

app.registerExtension({ name: "SiliconFlow.AutoRun", setup: interceptQueueing });
