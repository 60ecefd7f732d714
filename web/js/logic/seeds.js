/** Which seeds are others in each run, and what keeps them as they are. Does nothing on import. */

const CONTROL = "control_after_generate";
/** What a seed is called on a paid node, and on the nodes that do nothing but hold a number. */
const SEEDS = ["seed", "value"];
const MOST = 2 ** 32 - 1;

/**
 * Whether a widget says what a seed is after a run: the one on ComfyUI's own primitives is called "fixed".
 * @param {SeedWidget} widget
 */
const isControl = ({ name, options }) => name === CONTROL || Boolean(options?.values?.includes?.("randomize"));

/** @typedef {{ name: string, value?: unknown, options?: { max?: number, values?: any } }} SeedWidget */

/**
 * The values with which the seed of a node stays the same from run to run, by widget; none if it does anyway. A seed
 * of -1 is another one in each run, whatever its control says.
 * @param {readonly SeedWidget[]} widgets
 * @param {() => number} random
 */
export function fixing(widgets, random = Math.random) {
  /** @type {Record<string, string | number>} */
  const values = {};
  for (const widget of widgets) {
    const { name, value, options } = widget;
    if (isControl(widget) && value !== "fixed") values[name] = "fixed";
    if (!SEEDS.includes(name) || Number(value) !== -1) continue;
    values[name] = Math.floor(random() * (Math.min(options?.max ?? MOST, MOST) + 1));
  }
  return values;
}

/** What ComfyUI draws one of each time that it sends a text. */
const CHOICE = /\{[^{}]*\|[^{}]*\}/;

/**
 * The texts of a node that are drawn anew in each run, as they were drawn this time, by widget.
 * @param {readonly SeedWidget[]} widgets
 * @param {Readonly<Record<string, unknown>>} sent the inputs of the node as they are sent
 */
export function drawn(widgets, sent) {
  /** @type {Record<string, string>} */
  const values = {};
  for (const { name, value } of widgets) {
    const text = sent[name];
    if (typeof value === "string" && CHOICE.test(value) && typeof text === "string" && text !== value) values[name] = text;
  }
  return values;
}
