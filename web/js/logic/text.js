/** Which language the page speaks, and how a sentence is filled in. Does nothing on import. */

/** @import { Language, LocalizedText, Template, TextValues } from "../types" */

import { TEXTS } from "../texts.js";

/**
 * The language of a locale: zh-TW reads what there is for zh, a locale without a language of ours reads English.
 * @param {string | null | undefined} locale
 * @returns {Language}
 */
export function languageOf(locale) {
  const [wanted = ""] = locale?.toLowerCase().split(/[-_]/) ?? [];
  return wanted in TEXTS ? /** @type {Language} */ (wanted) : "en";
}

/**
 * The text that a route or an event gave, in a language; in another one if it lacks that.
 * @param {LocalizedText | null | undefined} text
 * @param {Language} language
 */
export function choose(text, language, fallback = "") {
  return text?.[language] || text?.en || Object.values(text ?? {}).find(Boolean) || fallback;
}

/**
 * The sentence for a key; an unknown key is shown as itself, so that it is noticed.
 * @param {Partial<Record<Language, Record<string, Template>>>} texts
 * @param {Language} language
 * @param {string} key
 * @param {TextValues} [values]
 */
export function sentence(texts, language, key, values = {}) {
  const template = texts[language]?.[key] ?? texts.en?.[key] ?? key;
  const text = typeof template === "string" ? template : template[pluralForm(language, Number(values.n))];
  return text.replace(/\{(\w+)\}/g, (hole, name) => (name in values ? String(values[name]) : hole));
}

/**
 * @param {Language} language
 * @param {number} n
 */
function pluralForm(language, n) {
  return new Intl.PluralRules(language).select(n) === "one" ? "one" : "other";
}
