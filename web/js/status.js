/** While a node runs it shows a text, which has several lines when an answer grows or a run failed: room for them. */

import { app } from "../../../scripts/app.js";
import { api } from "../../../scripts/api.js";
import { statusHeight } from "./logic/status.js";
import { isVue } from "./page.js";

const STATUS_WIDGET = "$$node-text-preview"; // ComfyUI's own; the classic canvas gives it two lines

app.registerExtension({
  name: "SiliconFlow.Status",
  setup() {
    api.addEventListener("progress_text", ({ detail }) => requestAnimationFrame(() => makeRoom(detail)));
  },
});

/** @param {{ nodeId: string | number, text: string }} status */
function makeRoom({ nodeId, text }) {
  const id = String(nodeId).split(":").at(-1);
  const node = id === undefined ? null : app.canvas?.graph?.getNodeById(id);
  if (!node?.comfyClass?.startsWith("SiliconFlow") || isVue()) return;
  const widget = /** @type {Comfy.Widget | undefined} */ (node.widgets?.find(({ name }) => name === STATUS_WIDGET));
  if (!widget?.options) return;
  const height = statusHeight(text, node.size[0]);
  if (height <= (widget.options.getMinHeight?.() ?? 0)) return; // it never shrinks under the user's eyes
  widget.options.getMinHeight = () => height;
  const [, least] = node.computeSize();
  if (node.size[1] < least) node.setSize([node.size[0], least]);
  node.setDirtyCanvas?.(true, true);
}
