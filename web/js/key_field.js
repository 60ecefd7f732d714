/** A field to paste a key into. The key leaves it only towards the pack, and the field is emptied. */

import { testKey } from "./api.js";
import { cleanKey, isUntested } from "./logic/settings.js";
import { h, icon, keepToItself, reason, t } from "./page.js";

/** `onEnter` is called for the Enter key. */
export function keyField({ onEnter, ...attributes }) {
  const element = keepToItself(
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
  element.addEventListener("keydown", (event) => event.key === "Enter" && !event.isComposing && onEnter?.());
  return { element, read: () => cleanKey(element.value), clear: () => (element.value = "") };
}

/** Tests a key that is not stored yet: {account}, or {doubt} where nobody could tell. Throws what is wrong with it. */
export async function tryKey(key, site) {
  try {
    return { account: await testKey(key, site) };
  } catch (error) {
    if (isUntested(error)) return { doubt: error };
    throw error;
  }
}

/** What is wrong, for somebody who has the key before their eyes: not where else it might be set. */
export function problemOf(error) {
  return error.kind === "InvalidKey" ? t("key.refused") : reason(error);
}

/** A warning to stand beside the field where others on the way could read the key, else nothing. */
export const unencrypted = () =>
  !window.isSecureContext && h("p", { class: "sf-note sf-is-warning" }, icon("exclamation-triangle"), " ", t("key.unencrypted"));
