/** The little that all panels share: the language, elements, icons, the clipboard. Does nothing on import. */

import { app } from "/scripts/app.js";
import { choose, languageOf, sentence } from "./logic/text.js";
import { TEXTS } from "./texts.js";

export const language = () => languageOf(app.extensionManager?.setting?.get("Comfy.Locale") ?? navigator.language);

/** The page's own sentence for a key. */
export const t = (key, values) => sentence(TEXTS, language(), key, values);

/** What to tell of an error: the route's own words in the user's language. */
export const reason = (error) => choose(error?.pair, language(), error?.message ?? String(error));

/** What to tell when there are no settings: the pack's own words, or that nobody answered. */
export const trouble = (error) => (error?.pair ? reason(error) : t("settings.unreachable", { reason: reason(error) }));

/** The text of a pair {en, zh}. */
export const said = (pair, fallback) => choose(pair, language(), fallback);

/** An element: attributes, on... listeners and properties by name, then children. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) set(element, name, value);
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

function set(element, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
  else if (name in element && typeof value !== "string") element[name] = value;
  else element.setAttribute(name, value === true ? "" : value);
}

export const icon = (name) => h("i", { class: `pi pi-${name}`, "aria-hidden": "true" });

/** A button that cannot be pressed twice while what it does is under way. */
export function button(label, onPress, { kind = "secondary", symbol, ...attributes } = {}) {
  const element = h(
    "button",
    { type: "button", class: `sf-button sf-${kind}`, ...attributes },
    symbol && icon(symbol),
    h("span", {}, label),
  );
  element.addEventListener("click", (event) => busyWhile(element, () => onPress(event, element)));
  return element;
}

/** A button that shows only a symbol. */
export function symbolButton(symbol, label, onPress, attributes = {}) {
  const element = h(
    "button",
    { type: "button", class: "sf-icon-button", title: label, "aria-label": label, ...attributes },
    icon(symbol),
  );
  element.addEventListener("click", (event) => busyWhile(element, () => onPress(event, element)));
  return element;
}

async function busyWhile(element, work) {
  if (element.getAttribute("aria-busy") === "true") return;
  element.setAttribute("aria-busy", "true");
  try {
    await work();
  } finally {
    element.removeAttribute("aria-busy");
  }
}

export const link = (address, label) =>
  h("a", { href: address, target: "_blank", rel: "noopener noreferrer" }, label ?? address.replace("https://", ""));

/** A sentence with elements in it: "Make one at {link}." */
export function withElements(text, elements) {
  return text.split(/(\{\w+\})/).map((part) => elements[part.slice(1, -1)] ?? part);
}

/** Copies a text; pages that are not served over https have no clipboard of their own. */
export async function copy(text) {
  if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text);
  const area = h("textarea", { class: "sf-off-screen", readonly: true });
  area.value = text;
  (document.querySelector("dialog[open]") ?? document.body).append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

/** A button that copies, and says so for a moment. */
export function copyButton(text, label, symbolName = "copy") {
  return symbolButton(symbolName, label, async (_, element) => {
    await copy(text);
    const symbol = element.firstElementChild;
    symbol.className = "pi pi-check";
    element.title = t("action.copied");
    setTimeout(() => {
      symbol.className = `pi pi-${symbolName}`;
      element.title = label;
    }, 1500);
  });
}

/** Whether the page draws nodes as elements of its own (Nodes 2.0), not on the classic canvas. */
export const isVue = () => Boolean(window.LiteGraph?.vueNodesMode);

/** Keys and clipboard stay in a field of ours: ComfyUI would take them for the canvas. */
export function keepToItself(element) {
  for (const name of ["keydown", "keyup", "paste", "copy", "cut"]) {
    element.addEventListener(name, (event) => event.stopPropagation());
  }
  return element;
}

export function toast(severity, summary, detail) {
  app.extensionManager?.toast?.add({ severity, summary, detail, life: severity === "error" ? 8000 : 4000 });
}

/** ComfyUI's own question; true when the user agrees. */
export async function confirmed(title, message) {
  const ask = app.extensionManager?.dialog?.confirm;
  return ask ? Boolean(await ask({ title, message, type: "delete" })) : window.confirm(`${title}\n\n${message}`);
}

export const KEY_PAGES = {
  cn: "https://cloud.siliconflow.cn/account/ak",
  com: "https://cloud.siliconflow.com/account/ak",
};

/** The id of our sidebar tab. */
export const JOBS_TAB = "siliconflow-jobs";

export const run = (command) => app.extensionManager.command.execute(command);

/** Opens the settings dialog, at the pack's page where the frontend lets itself be led there. */
export async function openSettings() {
  await run("Comfy.ShowSettingsDialog");
  for (let tries = 0; tries < 20; tries++) {
    await new Promise((done) => setTimeout(done, 50));
    const entries = document.querySelectorAll('[data-nav-id*="SiliconFlow"], .settings-container [role="option"]');
    const ours = [...entries].find((entry) => entry.textContent.trim() === "SiliconFlow");
    if (ours) return ours.click();
  }
}
