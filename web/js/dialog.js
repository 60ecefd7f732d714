/**
 * A dialog of the pack's own: the browser's <dialog>, which closes on Escape. The focus stays in it, also after a click
 * beside its fields: ComfyUI takes what is pressed elsewhere for the graph.
 */

/** @import { Children } from "./types" */

import { contentOf, h, icon, stopPropagation, t } from "./page.js";

/** @typedef {ReturnType<typeof openDialog>} Dialog */

/**
 * Opens an empty dialog; `fill` puts content in.
 * @param {string} title
 * @param {() => void} onClose called once
 */
export function openDialog(title, onClose) {
  const heading = h("h2", { id: "sf-dialog-title" }, title);
  const body = h("div", { class: "sf-dialog-body" });
  const close = () => element.close();
  const cross = h(
    "button",
    { type: "button", class: "sf-icon-button", "aria-label": t("action.close"), onclick: close },
    icon("times"),
  );
  /** @type {HTMLDialogElement} */
  const element = stopPropagation(
    h("dialog", { class: "sf-dialog", tabindex: "-1", "aria-labelledby": "sf-dialog-title" }, h("header", {}, heading, cross), body),
  );
  /**
   * @param {string} newTitle
   * @param {Children} content
   */
  const fill = (newTitle, ...content) => {
    heading.textContent = newTitle;
    const focused = /** @type {HTMLElement | null} */ (body.querySelector(":focus"));
    body.replaceChildren(...contentOf(content));
    if (focused) (focused.isConnected ? focused : element).focus();
  };
  // A dialog of ComfyUI's below, as its templates at the first start, would close by what is outside of it.
  for (const name of ["pointerdown", "focusin"]) element.addEventListener(name, (event) => event.stopPropagation());
  element.addEventListener("mousedown", (event) => event.target === element && close());
  element.addEventListener("close", () => {
    element.remove();
    onClose();
  });
  document.body.append(element);
  element.showModal();
  return { element, close, fill };
}
