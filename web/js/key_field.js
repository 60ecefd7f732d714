/** A field to paste a key into. The key is sent to the pack alone, and the field is emptied. */

/** @import { Attributes, Site } from "./types" */

import { ApiError, testConnection } from "./api.js";
import { cleanKey } from "./logic/settings.js";
import { errorText, h, icon, localized, stopPropagation, t } from "./page.js";

/**
 * @param {Attributes} attributes
 * @param {() => void} onEnter called for the Enter key
 */
export function keyField(attributes, onEnter) {
  const element = stopPropagation(
    h("input", {
      type: "password",
      class: "sf-field sf-key",
      placeholder: t("key.placeholder"),
      spellcheck: "false",
      autocomplete: "off",
      "data-1p-ignore": "true",
      "data-lpignore": "true",
      ...attributes,
    }),
  );
  element.addEventListener("keydown", (event) => event.key === "Enter" && !event.isComposing && onEnter());
  return { element, read: () => cleanKey(element.value), clear: () => (element.value = "") };
}

/**
 * What is wrong, for somebody who has the key before their eyes: not where else it might be set.
 * @param {unknown} error
 */
export function keyErrorText(error) {
  return error instanceof ApiError && error.kind === "InvalidKey" ? t("key.refused") : errorText(error);
}

/** The symbol of a hop, by its look. */
const HOP_SYMBOLS = { good: "check-circle", problem: "times-circle", hint: "minus-circle" };

/**
 * Tests every hop to the service: a row for each, and whether none has failed.
 * @param {string} key the one in use if empty
 * @param {Site} site
 */
export async function testHops(key, site) {
  const { hops } = await testConnection(key, site);
  const rows = hops.map(({ good, label, text }) => {
    const look = good === null ? "hint" : good ? "good" : "problem";
    const [name, says] = [h("strong", {}, t("connection.hop", { label: localized(label) })), h("span", {}, localized(text))];
    return h("span", { class: `sf-hop sf-is-${look}` }, icon(HOP_SYMBOLS[look]), name, says);
  });
  return { rows, passed: hops.every(({ good }) => good !== false) };
}

/** A warning to stand beside the field where others on the network could read the key, else nothing. */
export const unencryptedWarning = () =>
  !window.isSecureContext &&
  h("p", { class: "sf-note sf-is-warning" }, icon("exclamation-triangle"), " ", t("key.unencrypted"));
