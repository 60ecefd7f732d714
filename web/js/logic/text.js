/** Which language the page speaks, and how a sentence is filled in. Does nothing on import. */

/** Every Chinese locale reads 简体中文, everything else English. */
export function languageOf(locale) {
  return String(locale ?? "")
    .toLowerCase()
    .startsWith("zh")
    ? "zh"
    : "en";
}

/** The text of a pair {en, zh} that a route or an event gave; the other language when one is missing. */
export function choose(pair, language, fallback = "") {
  return pair?.[language] || pair?.en || pair?.zh || fallback;
}

/** The sentence for a key; an unknown key is shown as itself, so that it is noticed. */
export function sentence(texts, language, key, values = {}) {
  const text = texts[language]?.[key] ?? texts.en?.[key] ?? key;
  return fill(typeof text === "string" ? text : text[plural(language, values.n)], values);
}

function fill(text, values) {
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

function plural(language, n) {
  return new Intl.PluralRules(language).select(Number(n)) === "one" ? "one" : "other";
}
