/** The line that a node shows while it runs has several when an answer grows, or a run failed: room for them. */

import { app } from "/scripts/app.js";
import { api } from "/scripts/api.js";

import { statusHeight } from "./logic/status.js";
import { isVue } from "./page.js";

const STATUS = "$$node-text-preview"; // ComfyUI's own; the classic canvas gives it two lines

app.registerExtension({
  name: "SiliconFlow.Status",
  setup() {
    api.addEventListener("progress_text", ({ detail }) => requestAnimationFrame(() => giveRoom(detail)));
  },
});

function giveRoom({ nodeId, text }) {
  const node = app.canvas?.graph?.getNodeById(String(nodeId).split(":").at(-1));
  const status = node?.comfyClass?.startsWith("SiliconFlow") && node.widgets?.find(({ name }) => name === STATUS);
  if (!status?.options || isVue()) return;
  const height = statusHeight(text, node.size[0]);
  if (height <= (status.options.getMinHeight?.() ?? 0)) return; // it never shrinks under somebody's eyes
  status.options.getMinHeight = () => height;
  const [, least] = node.computeSize();
  if (node.size[1] < least) node.setSize([node.size[0], least]);
  node.setDirtyCanvas?.(true, true);
}
