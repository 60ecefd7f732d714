/** The account's own voices: in the list of Delete Voice, which asks before it deletes one. */

import { app } from "../../../scripts/app.js";
import * as catalogue from "./catalogue.js";
import { t } from "./page.js";
import { graphNodes } from "./nodes.js";

const DELETE_VOICE = "SiliconFlowDeleteVoice";
const NO_VOICE = "none";
/** The mode of a node that runs, which is neither muted nor bypassed. */
const ALWAYS = 0;

/**
 * The name by which the account knows a voice; its ID if it is not known here.
 * @param {string} uri
 */
export const voiceName = (uri) => catalogue.current()?.voices.find((voice) => voice.uri === uri)?.name ?? uri;

/** @param {Comfy.Node} node */
function offerVoices(node) {
  const list = widgetOf(node, "voice");
  const own = catalogue.current()?.voices.map(({ uri }) => uri) ?? [];
  if (!list) return;
  for (const options of new Set([list._state?.options, list.options])) if (options) options.values = [NO_VOICE, ...own];
}

/**
 * @param {Comfy.Node} node
 * @param {string} name
 */
const widgetOf = (node, name) =>
  /** @type {Comfy.Widget | undefined} */ (node.widgets?.find((widget) => widget.name === name));

/** @param {Comfy.Node} node */
function voiceToDelete(node) {
  const uri = String(widgetOf(node, "uri")?.value ?? "").trim();
  const chosen = String(widgetOf(node, "voice")?.value ?? NO_VOICE);
  if (node.inputs.some((input) => input.link != null)) return t("voices.delete_linked");
  return voiceName(uri || (chosen === NO_VOICE ? "" : chosen));
}

const deletingNodes = () => graphNodes().filter((node) => node.comfyClass === DELETE_VOICE);

/** A program is not asked: it queues its prompt itself. */
function askBeforeDeleting() {
  const { queuePrompt } = app;
  app.queuePrompt = async function (...rest) {
    const names = deletingNodes()
      .filter((node) => node.mode === ALWAYS)
      .map(voiceToDelete)
      .filter(Boolean);
    if (names.length) {
      const message = t("voices.delete_message", { names: names.join(", ") });
      const answer = await app.extensionManager.dialog.confirm({
        title: t("voices.delete_title"),
        message,
        type: "delete",
      });
      if (!answer) return false;
    }
    return queuePrompt.apply(this, rest);
  };
}

app.registerExtension({
  name: "SiliconFlow.Voices",
  init() {
    catalogue.onChange(() => deletingNodes().forEach(offerVoices));
  },
  setup: askBeforeDeleting,
  nodeCreated(node) {
    if (node.comfyClass === DELETE_VOICE) offerVoices(node);
  },
  refreshComboInNodes() {
    deletingNodes().forEach(offerVoices);
  },
});
