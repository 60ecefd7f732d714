/** Rows of the settings dialog that look like ComfyUI's own, and read and write the pack's settings. */

/** @import { Child, Settings, SettingValue, TextKey, TextValues } from "./types" */

import { obstacle, readNumber } from "./logic/settings.js";
import { errorText, h, stopPropagation, t } from "./page.js";
import { change, watch } from "./settings_store.js";

const SAVED_MILLISECONDS = 2000;

/** @typedef {ReturnType<typeof note>} Note */
/** @typedef {{ value: SettingValue } | { problem: TextKey, values?: TextValues }} Reading What the user entered. */

/** The line below a control: what is wrong, what was saved, what cannot be changed here. */
export function note() {
  const element = h("p", { class: "sf-note", role: "status", hidden: true });
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  /**
   * @param {"hint" | "good" | "warning" | "problem"} kind
   * @param {string | (string | Node)[]} content
   * @param {number} [milliseconds] for how long; until something else is said if left out
   */
  const say = (kind, content, milliseconds) => {
    clearTimeout(timer);
    element.className = `sf-note sf-is-${kind}`;
    element.replaceChildren(...[content].flat());
    element.hidden = !element.textContent;
    if (milliseconds) timer = setTimeout(() => say("hint", ""), milliseconds);
  };
  return { element, say };
}

/**
 * A switch, as ComfyUI draws one.
 * @param {string} name
 * @param {string} id
 */
export function switchFor(name, id) {
  const element = h(
    "button",
    {
      type: "button",
      role: "switch",
      class: "sf-switch",
      name,
      "aria-labelledby": `${id}-label`,
      "aria-checked": "false",
    },
    h("span"),
  );
  return bind(name, element, {
    event: "click",
    read: () => ({ value: element.getAttribute("aria-checked") !== "true" }),
    show: (value) => element.setAttribute("aria-checked", String(Boolean(value))),
  });
}

/**
 * A list to choose from; `label` names each choice.
 * @param {string} name
 * @param {string} id
 * @param {(choice: string) => string} label
 */
export function choiceFor(name, id, label) {
  const element = h("select", { class: "sf-field sf-select", name, "aria-labelledby": `${id}-label` });
  return bind(name, element, {
    event: "change",
    read: () => ({ value: element.value }),
    show: (value, settings) => {
      const choices = settings.choices[name] ?? [];
      element.replaceChildren(...choices.map((choice) => h("option", { value: choice }, label(choice))));
      element.value = String(value);
    },
  });
}

/**
 * A number with its unit. `rules` as readNumber takes them; the server's own bounds come first.
 * @param {string} name
 * @param {string} id
 * @param {((settings: Settings) => string) | null} unit
 * @param {{ whole?: boolean, aboveZero?: boolean }} [rules]
 */
export function numberFor(name, id, unit, rules) {
  const element = stopPropagation(
    h("input", {
      type: "text",
      inputmode: "decimal",
      class: "sf-field sf-number",
      name,
      "aria-labelledby": `${id}-label`,
    }),
  );
  const unitElement = h("span", { class: "sf-unit" });
  element.addEventListener("keydown", (event) => event.key === "Enter" && element.blur());
  return bind(name, element, {
    event: "change",
    read: (settings) => readNumber(element.value, { ...rules, bounds: settings?.bounds?.[name] }),
    show: (value, settings) => {
      element.value = String(value);
      unitElement.textContent = unit ? unit(settings) : "";
    },
    beside: unitElement,
  });
}

/**
 * Binds a control to a setting: shows its value, saves what the user enters, and says how that went.
 * @param {string} name
 * @param {HTMLButtonElement | HTMLInputElement | HTMLSelectElement} element
 * @param {{
 *   event: string,
 *   read: (settings: Settings | null) => Reading,
 *   show: (value: SettingValue, settings: Settings) => void,
 *   beside?: Child,
 * }} control
 */
function bind(name, element, { event, read, show, beside }) {
  const below = note();
  const root = h("div", { class: "sf-control" }, h("div", { class: "sf-line" }, element, beside), below.element);
  /** @type {Settings | null} */
  let latest = null;
  /** @param {Settings | null} settings */
  const refresh = (settings) => {
    const value = settings?.values[name];
    const why = settings && obstacle(settings, name);
    element.disabled = value === undefined || Boolean(why);
    if (!settings) return;
    // What concerns every row is said once, in the row of the key, which is the first.
    if (why && settings.read_only) element.title = t(why.key);
    else if (why) below.say("hint", t(why.key, why.values));
    latest = settings;
    if (value !== undefined) show(value, settings);
  };
  element.addEventListener(event, async () => {
    const reading = read(latest);
    if ("problem" in reading) {
      refresh(latest);
      return below.say("problem", t(reading.problem, reading.values));
    }
    try {
      await change({ [name]: reading.value });
      below.say("good", t("settings.saved"), SAVED_MILLISECONDS);
    } catch (error) {
      refresh(latest);
      below.say("problem", errorText(error));
    }
  });
  watch(root, refresh);
  return root;
}
