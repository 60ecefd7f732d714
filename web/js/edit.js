/** "Edit with SiliconFlow" on the menu of every node that has an image, and image files dropped on nodes of ours. */

import { app } from "../../../scripts/app.js";
import { api } from "../../../scripts/api.js";
import { ApiError, uploadImage } from "./api.js";
import { addEditor, freeImageInput, giveImage, loaderWidget, takesImages } from "./canvas.js";
import { isOwn } from "./logic/own_nodes.js";
import { errorText, t, toast } from "./page.js";

const VIDEO = /\.(mp4|webm|mkv|mov)$/i;

/** @typedef {{ filename: string, subfolder?: string, type?: string }} OutputImage */

/**
 * The file of the image that a node shows, as ComfyUI's own route takes it; null if it shows none.
 * @param {Comfy.NodeWithImages} node
 */
function shownImage({ id, imgs, imageIndex }) {
  const source = imgs?.[imageIndex ?? 0]?.src;
  const address = source ? new URL(source, location.href) : null;
  if (address?.pathname.endsWith("/view")) {
    address.searchParams.delete("preview"); // which may be smaller
    return address.searchParams;
  }
  const outputs = /** @type {Record<string, { images?: OutputImage[] } | undefined> | undefined} */ (app.nodeOutputs);
  const image = outputs?.[String(id)]?.images?.find(({ filename }) => !VIDEO.test(filename)); // of Save Video
  return image ? new URLSearchParams({ type: "output", subfolder: "", ...image }) : null;
}

/** @param {Comfy.Node} node */
const givesImage = ({ outputs }) => Boolean(outputs?.some(({ type }) => type === "IMAGE"));

/**
 * Adds an edit node for what a node shows. That is copied, for the node may show another image after its next run;
 * a node that loads an image, or shows none yet, is connected instead.
 * @param {Comfy.Node} node
 */
async function edit(node) {
  const image = loaderWidget(node) && givesImage(node) ? null : shownImage(node);
  try {
    addEditor(node, image ? await copied(image) : null);
  } catch (error) {
    toast("error", t("app.name"), errorText(error));
  }
}

/** @param {URLSearchParams} image */
async function copied(image) {
  const response = await api.fetchApi(`/view?${image}`);
  if (!response.ok) throw new ApiError(response.status, undefined);
  return uploadImage(await response.blob(), image.get("filename") ?? "image.png");
}

/** @param {DataTransfer | null} carried */
const imagesIn = (carried) => [...(carried?.files ?? [])].filter(({ type }) => type.startsWith("image/"));

/**
 * Takes image files that are dropped on a node: each gets a Load Image node at its side, while there is a free input.
 * @param {Comfy.NodeWithImages} node
 */
function takeFiles(node) {
  node.onDragOver = (event) => [...(event.dataTransfer?.items ?? [])].some(({ kind }) => kind === "file");
  node.onDragDrop = async (event) => {
    const files = imagesIn(event.dataTransfer);
    try {
      for (const [at, file] of files.entries()) {
        if (freeImageInput(node) < 0) {
          const rest = files.slice(at).map(({ name }) => name);
          toast("error", rest.join(", "), t("jobs.no_free_input"));
          break;
        }
        giveImage(node, await uploadImage(file, file.name), freeImageInput(node));
      }
    } catch (error) {
      toast("error", t("app.name"), errorText(error));
    }
    return files.length > 0;
  };
}

app.registerExtension({
  name: "SiliconFlow.Edit",
  nodeCreated(node) {
    if (isOwn(node.comfyClass) && takesImages(node)) takeFiles(node);
  },
  getNodeMenuItems(node) {
    return givesImage(node) || shownImage(node) ? [{ content: t("edit.menu"), callback: () => void edit(node) }] : [];
  },
});
