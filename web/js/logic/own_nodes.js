/** Which nodes are ours. Does nothing on import. */

/** Other packs' ids begin with the same word. */
const OWN_NODES = new Set([
  "SiliconFlowTextToImage",
  "SiliconFlowImageToImage",
  "SiliconFlowImageEdit",
  "SiliconFlowTextToVideo",
  "SiliconFlowImageToVideo",
  "SiliconFlowChat",
  "SiliconFlowTextToSpeech",
  "SiliconFlowSpeechToText",
  "SiliconFlowUploadVoice",
  "SiliconFlowVoices",
  "SiliconFlowDeleteVoice",
  "SiliconFlowEmbeddings",
  "SiliconFlowRerank",
  "SiliconFlowAccount",
  "SiliconFlowModels",
]);

/**
 * Whether this is the id of a node of ours.
 * @param {string | null | undefined} type
 */
export const isOwn = (type) => OWN_NODES.has(type ?? "");
