/** What may be typed into a setting. The server decides; this spares it the obvious. Does nothing on import. */

/** @import { Bounds, Catalogue, Mark, Settings, TextKey, TextValues } from "../types" */

/** @typedef {{ problem: TextKey, values?: TextValues }} Problem The key of a sentence, and what is filled in. */

/** One comma or point, and digits of any width: "12", "0,5", "１２". No exponents, no hexadecimal. */
const NUMBER = /^[+-]?(\d+([.,]\d*)?|[.,]\d+)$/;
/** "1,000" is a thousand to some and one to others; "0,500" is the same to all. */
const GROUPED = /^[+-]?[1-9]\d{0,2}([., '’\u00a0\u202f]\d{3})+([.,]\d+)?$/;
const POINT_AND_THREE_DIGITS = /^[+-]?\d+\.\d{3}$/;

/**
 * Reads a number as typed.
 * @param {string} typed
 * @param {{ whole?: boolean, aboveZero?: boolean, bounds?: Bounds }} [rules]
 * @returns {{ value: number } | Problem}
 */
export function readNumber(typed, { whole = false, aboveZero = false, bounds } = {}) {
  const text = typed.normalize("NFKC").trim();
  if (GROUPED.test(text) && !POINT_AND_THREE_DIGITS.test(text)) return { problem: "settings.ambiguous" };
  const value = NUMBER.test(text) ? Number(text.replace(",", ".")) : NaN;
  if (!Number.isFinite(value)) return { problem: "settings.not_a_number" };
  if (whole && !Number.isInteger(value)) return { problem: "settings.not_a_whole_number" };
  if (bounds) {
    const [least, most] = bounds;
    if (value < least || value > most) return { problem: "settings.out_of_bounds", values: { least, most } };
  }
  if (aboveZero && value <= 0) return { problem: "settings.too_small" };
  return value < 0 ? { problem: "settings.negative" } : { value };
}

/**
 * What keeps a setting from being changed here: a sentence's key and values, or null.
 * @param {Pick<Settings, "read_only" | "fixed">} settings
 * @param {string} name
 * @returns {{ key: TextKey, values: TextValues } | null}
 */
export function obstacle(settings, name) {
  if (settings.read_only) return { key: "settings.read_only", values: {} };
  const variable = settings.fixed?.[name];
  return variable ? { key: "settings.fixed", values: { name: variable } } : null;
}

/**
 * How many models of a catalogue are new, and how many the account lacks; an id counts once.
 * @param {Catalogue} catalogue
 */
export function modelCounts(catalogue) {
  /** @type {Map<string, Mark | null>} */
  const marks = new Map();
  for (const node of Object.values(catalogue.nodes)) {
    for (const model of node.models) marks.set(model.id, model.mark);
  }
  /** @param {Mark} mark */
  const count = (mark) => [...marks.values()].filter((each) => each === mark).length;
  return { n: marks.size, new: count("new") + count("guessed"), missing: count("missing") };
}

/**
 * The key as it was pasted, without the spaces and quotes around it.
 * @param {string} typed
 */
export function cleanKey(typed) {
  return typed
    .trim()
    .replace(/^["']+|["']+$/g, "")
    .trim();
}

/**
 * Whether a failed test leaves open if the key is right: the service was not reached, or complained about
 * something else. A key that the service does not accept, or that the pack itself refuses, is not stored.
 * @param {unknown} error
 */
export function isUntested(error) {
  const { status, kind } = /** @type {{ status?: number, kind?: string }} */ (error);
  return status === 502 && kind !== "InvalidKey";
}
