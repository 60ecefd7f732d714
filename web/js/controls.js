/** Rows of the settings dialog that look like ComfyUI's own and read and write through the pack. */

import { readNumber, obstacle } from "./logic/settings.js";
import { h, keepToItself, reason, t } from "./page.js";
import { change, watch } from "./state.js";

const SAVED_MILLISECONDS = 2000;

/** The line below a control: what is wrong, what was saved, what cannot be changed here. */
export function note() {
  const element = h("p", { class: "sf-note", role: "status", hidden: true });
  let clock;
  const say = (kind, content, milliseconds) => {
    clearTimeout(clock);
    element.className = `sf-note sf-is-${kind}`;
    element.replaceChildren(...[content].flat());
    element.hidden = !element.textContent;
    if (milliseconds) clock = setTimeout(() => say("hint", ""), milliseconds);
  };
  return { element, say };
}

/** A switch, as ComfyUI draws one. */
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
  return bound(name, element, {
    event: "click",
    read: () => ({ value: element.getAttribute("aria-checked") !== "true" }),
    show: (value) => element.setAttribute("aria-checked", String(Boolean(value))),
  });
}

/** A list to choose from; `label` names each choice. */
export function choiceFor(name, id, label) {
  const element = h("select", { class: "sf-field sf-select", name, "aria-labelledby": `${id}-label` });
  return bound(name, element, {
    event: "change",
    read: () => ({ value: element.value }),
    show: (value, settings) => {
      element.replaceChildren(...settings.choices[name].map((choice) => h("option", { value: choice }, label(choice))));
      element.value = value;
    },
  });
}

/** A number with its unit. `rules` as readNumber takes them; the server's own bounds come first. */
export function numberFor(name, id, unit, rules) {
  const element = keepToItself(
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
  return bound(name, element, {
    event: "change",
    read: (settings) => readNumber(element.value, { ...rules, bounds: settings?.bounds?.[name] }),
    show: (value, settings) => {
      element.value = String(value);
      unitElement.textContent = unit ? unit(settings) : "";
    },
    beside: unitElement,
  });
}

/** Ties a control to a setting: shows it, sends what the user does, and says how that went. */
function bound(name, element, { event, read, show, beside }) {
  const below = note();
  const root = h("div", { class: "sf-control" }, h("div", { class: "sf-line" }, element, beside), below.element);
  let known;
  const refresh = (settings) => {
    const why = settings && obstacle(settings, name);
    element.disabled = !settings || !(name in settings.values) || Boolean(why);
    // What concerns every row is said once, in that of the key, which is the first.
    if (!settings) return;
    if (settings.read_only) element.title = t(why.key);
    else if (why) below.say("hint", t(why.key, why.values));
    known = settings;
    if (name in settings.values) show(settings.values[name], settings);
  };
  element.addEventListener(event, () => send(name, read(known), below, () => refresh(known)));
  watch(root, refresh);
  return root;
}

async function send(name, typed, below, putBack) {
  if (typed.problem) {
    putBack();
    return below.say("problem", t(typed.problem, typed.values));
  }
  try {
    await change({ [name]: typed.value });
    below.say("good", t("settings.saved"), SAVED_MILLISECONDS);
  } catch (error) {
    putBack();
    below.say("problem", reason(error));
  }
}
