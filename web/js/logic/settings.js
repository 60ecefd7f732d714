/** What may be typed into a setting. The server decides; this spares it the obvious. Does nothing on import. */

/** One comma or point, and digits of any width: "12", "0,5", "１２". No exponents, no hexadecimal. */
const NUMBER = /^[+-]?(\d+([.,]\d*)?|[.,]\d+)$/;
/** "1,000" is a thousand to some and one to others; "0,500" is the same to all. */
const GROUPED = /^[+-]?[1-9]\d{0,2}([., '’\u00a0\u202f]\d{3})+([.,]\d+)?$/;
const POINT_AND_THREE_DIGITS = /^[+-]?\d+\.\d{3}$/;

/** Reads a number as typed: {value}, or {problem: the key of a sentence, values}. `bounds` is [least, most]. */
export function readNumber(typed, { whole = false, aboveZero = false, bounds } = {}) {
  const text = String(typed).normalize("NFKC").trim();
  if (GROUPED.test(text) && !POINT_AND_THREE_DIGITS.test(text)) return { problem: "settings.ambiguous" };
  const value = NUMBER.test(text) ? Number(text.replace(",", ".")) : NaN;
  if (!Number.isFinite(value)) return { problem: "settings.not_a_number" };
  if (whole && !Number.isInteger(value)) return { problem: "settings.not_a_whole_number" };
  return outOf(bounds, value) ?? tooSmall(value, aboveZero) ?? { value };
}

function outOf(bounds, value) {
  if (!bounds) return null;
  const [least, most] = bounds;
  return value < least || value > most ? { problem: "settings.out_of_bounds", values: { least, most } } : null;
}

function tooSmall(value, aboveZero) {
  if (aboveZero && value <= 0) return { problem: "settings.too_small" };
  return value < 0 ? { problem: "settings.negative" } : null;
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

/**
 * Whether a refused test leaves open if the key is right: the service was not reached, or spoke of
 * something else. A key that it does not accept, or that the pack itself refuses, is none to store.
 */
export const isUntested = ({ status, kind }) => status === 502 && kind !== "InvalidKey";
