/** A dialog of the pack's own: the browser's <dialog>, which keeps the focus and knows Escape. */

import { h, icon, keepToItself, t } from "./page.js";

/** Shows a dialog with these children. Gives {element, close, fill}; `onClose` is called once. */
export function openDialog(title, children, onClose) {
  const heading = h("h2", { id: "sf-dialog-title" });
  const body = h("div", { class: "sf-dialog-body" });
  const close = () => element.close();
  const cross = h(
    "button",
    { type: "button", class: "sf-icon-button", "aria-label": t("action.close"), onclick: close },
    icon("times"),
  );
  const element = keepToItself(
    h("dialog", { class: "sf-dialog", "aria-labelledby": "sf-dialog-title" }, h("header", {}, heading, cross), body),
  );
  const fill = (text, ...content) => {
    heading.textContent = text;
    body.replaceChildren(...content.flat().filter(Boolean));
  };
  element.addEventListener("mousedown", (event) => event.target === element && close());
  element.addEventListener("close", () => {
    element.remove();
    onClose?.();
  });
  fill(title, children);
  document.body.append(element);
  element.showModal();
  return { element, close, fill };
}
