/** What all panels share: the language, elements, icons, the clipboard. Does nothing on import. */

/** @import { Attributes, Children, LocalizedText, Site, TextKey, TextValues } from "./types" */

import { app } from "../../../scripts/app.js";
import { ApiError } from "./api.js";
import { choose, languageOf, sentence } from "./logic/text.js";
import { TEXTS } from "./texts.js";

export function language() {
  /** @type {string | undefined} */
  const locale = app.extensionManager?.setting?.get("Comfy.Locale");
  return languageOf(locale ?? navigator.language);
}

/**
 * The page's own sentence for a key.
 * @param {TextKey} key
 * @param {TextValues} [values]
 */
export const t = (key, values) => sentence(TEXTS, language(), key, values);

/**
 * A text that the server gave in both languages.
 * @param {LocalizedText | null | undefined} text
 * @param {string} [fallback]
 */
export const localized = (text, fallback) => choose(text, language(), fallback);

/**
 * What to say of an error: the server's own words in the user's language.
 * @param {unknown} error
 */
export function errorText(error) {
  if (error instanceof ApiError) return localized(error.text, error.message);
  return error instanceof Error ? error.message : String(error);
}

/**
 * What to say when there are no settings: the server's own words, or that it cannot be reached.
 * @param {unknown} error
 */
export const settingsErrorText = (error) =>
  error instanceof ApiError ? errorText(error) : t("settings.unreachable", { reason: errorText(error) });

/**
 * An element: attributes, on... listeners and properties by name, then children.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Attributes} [attributes]
 * @param {Children} children
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name.slice("on".length), value);
    else if (name in element && typeof value !== "string") Object.assign(element, { [name]: value });
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...contentOf(children));
  return element;
}

/**
 * Children as the DOM takes them; `null`, `undefined` and `false` stand for none.
 * @param {Children} children
 * @returns {(Node | string)[]}
 */
export function contentOf(children) {
  return children.flat().flatMap((child) => (child === null || child === undefined || child === false ? [] : [child]));
}

/** @param {string} name */
export const icon = (name) => h("i", { class: `pi pi-${name}`, "aria-hidden": "true" });

/**
 * A button that cannot be pressed again before its action has ended.
 * @param {string} label
 * @param {() => unknown} onPress
 * @param {Attributes & { kind?: "primary" | "secondary" | "danger" | "text", symbol?: string }} [options]
 */
export function button(label, onPress, { kind = "secondary", symbol, ...attributes } = {}) {
  const element = h(
    "button",
    { type: "button", class: `sf-button sf-${kind}`, ...attributes },
    symbol && icon(symbol),
    h("span", {}, label),
  );
  element.addEventListener("click", () => whileBusy(element, onPress));
  return element;
}

/**
 * A button that shows only a symbol.
 * @param {string} symbol
 * @param {string} label
 * @param {(element: HTMLButtonElement) => unknown} onPress
 */
export function symbolButton(symbol, label, onPress) {
  const element = h(
    "button",
    { type: "button", class: "sf-icon-button", title: label, "aria-label": label },
    icon(symbol),
  );
  element.addEventListener("click", () => whileBusy(element, () => onPress(element)));
  return element;
}

/**
 * @param {HTMLElement} element
 * @param {() => unknown} work
 */
async function whileBusy(element, work) {
  if (element.getAttribute("aria-busy") === "true") return;
  element.setAttribute("aria-busy", "true");
  try {
    await work();
  } finally {
    element.removeAttribute("aria-busy");
  }
}

/** @param {string} address */
export const link = (address) =>
  h("a", { href: address, target: "_blank", rel: "noopener noreferrer" }, address.replace("https://", ""));

/**
 * A sentence with elements in it: "Make one at {link}."
 * @param {string} text
 * @param {Record<string, Node>} elements
 */
export function withElements(text, elements) {
  return text.split(/(\{\w+\})/).map((part) => elements[part.slice(1, -1)] ?? part);
}

/**
 * Copies a text; a page that is not served over https has no `navigator.clipboard`.
 * @param {string} text
 */
async function copy(text) {
  if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text);
  const area = h("textarea", { class: "sf-off-screen", readonly: true });
  area.value = text;
  (document.querySelector("dialog[open]") ?? document.body).append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

/**
 * A button that copies, and says so for a moment.
 * @param {string} text
 * @param {string} label
 * @param {string} [symbol]
 */
export function copyButton(text, label, symbol = "copy") {
  return symbolButton(symbol, label, async (element) => {
    await copy(text);
    element.replaceChildren(icon("check"));
    element.title = t("action.copied");
    setTimeout(() => {
      element.replaceChildren(icon(symbol));
      element.title = label;
    }, 1500);
  });
}

/** Whether a workflow is shown as an app: its fields and its results, without nodes. */
export const isAppMode = () => Boolean(document.querySelector('[data-testid="linear-center-panel"]')?.checkVisibility());

/** Whether the page draws nodes as HTML elements (Nodes 2.0), not on the classic canvas. */
export const isVue = () => Boolean(window.LiteGraph?.vueNodesMode);

/**
 * Keeps key presses and the clipboard in a field of ours: ComfyUI would take them for the canvas.
 * @template {HTMLElement} Field
 * @param {Field} element
 */
export function stopPropagation(element) {
  for (const name of ["keydown", "keyup", "paste", "copy", "cut"]) {
    element.addEventListener(name, (event) => event.stopPropagation());
  }
  return element;
}

/**
 * @param {"success" | "info" | "error"} severity
 * @param {string} summary
 * @param {string} [detail]
 */
export function toast(severity, summary, detail) {
  app.extensionManager?.toast?.add({ severity, summary, detail, life: severity === "error" ? 8000 : 4000 });
}

/**
 * Asks with ComfyUI's own dialog; true if the user agrees.
 * @param {string} title
 * @param {string} message
 * @param {"default" | "delete"} type
 */
export async function confirmed(title, message, type = "delete") {
  const confirm = app.extensionManager?.dialog?.confirm;
  if (!confirm) return window.confirm(`${title}\n\n${message}`);
  return Boolean(await confirm({ title, message, type }));
}

/** @type {Record<Site, string>} */
export const KEY_PAGES = {
  cn: "https://cloud.siliconflow.cn/account/ak",
  com: "https://cloud.siliconflow.com/account/ak",
};

/**
 * docs.siliconflow.cn/faqs/misc_finance; the other site's console is the same.
 * @type {Record<Site, string>}
 */
export const TOP_UP_PAGES = {
  cn: "https://cloud.siliconflow.cn/expensebill",
  com: "https://cloud.siliconflow.com/expensebill",
};

/** The id of our sidebar tab. */
export const JOBS_TAB = "siliconflow-jobs";

/**
 * Runs a command of ComfyUI or of the pack.
 * @param {string} command
 */
export const execute = (command) => app.extensionManager.command.execute(command);

/**
 * Opens the settings dialog, at the pack's page if the frontend lists it, and there at one setting.
 * @param {string} [name]
 */
export async function openSettings(name) {
  await execute("Comfy.ShowSettingsDialog");
  for (let attempt = 0; attempt < 20; attempt++) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    const entries = /** @type {NodeListOf<HTMLElement>} */ (
      document.querySelectorAll('[data-nav-id*="SiliconFlow"], .settings-container [role="option"]')
    );
    const ours = [...entries].find((entry) => entry.textContent?.trim() === "SiliconFlow");
    if (!ours) continue;
    ours.click();
    await new Promise((resolve) => setTimeout(resolve, 300));
    const row = name && document.querySelector(`[name="${name}"]`);
    if (row instanceof HTMLElement) row.scrollIntoView({ block: "center" }), row.focus();
    return;
  }
}
