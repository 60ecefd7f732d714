/** What may be typed into a setting. The server decides; this spares it the obvious. Does nothing on import. */

/** Reads a number as typed: {value} or {problem: the key of a sentence}. */
export function readNumber(typed, { whole = false, aboveZero = false } = {}) {
  const text = String(typed).trim().replace(",", ".");
  const value = Number(text);
  if (!text || !Number.isFinite(value)) return { problem: "settings.not_a_number" };
  if (whole && !Number.isInteger(value)) return { problem: "settings.not_a_whole_number" };
  if (aboveZero && value <= 0) return { problem: "settings.too_small" };
  return value < 0 ? { problem: "settings.negative" } : { value };
}

/** What keeps a setting from being changed here: {key, values} of a sentence, or null. */
export function obstacle(settings, name) {
  if (settings.read_only) return { key: "settings.read_only", values: {} };
  const variable = settings.fixed?.[name];
  return variable ? { key: "settings.fixed", values: { name: variable } } : null;
}

/** How many models of a catalogue are new, and how many the account lacks; an id counts once. */
export function modelCounts(catalogue) {
  const marks = new Map();
  for (const node of Object.values(catalogue?.nodes ?? {})) {
    for (const model of node.models ?? []) marks.set(model.id, model.mark ?? null);
  }
  const having = (mark) => [...marks.values()].filter((each) => each === mark).length;
  return { n: marks.size, new: having("new"), missing: having("missing") };
}

/** The key as it was pasted, without the spaces and quotes around it. */
export function cleanKey(typed) {
  return String(typed ?? "")
    .trim()
    .replace(/^["']+|["']+$/g, "")
    .trim();
}
