/** Which seeds are others in each run, and what keeps them as they are. Does nothing on import. */

const CONTROL = "control_after_generate";
/** What a seed is called on a paid node, and on the nodes that do nothing but hold a number. */
const SEEDS = ["seed", "value"];
const MOST = 2 ** 32 - 1;

/**
 * The values with which the seed of a node stays the same from run to run, by widget; none if it does anyway. A seed
 * of -1 is another one in each run, whatever its control says.
 * @param {readonly { name: string, value?: unknown, options?: { max?: number } }[]} widgets
 * @param {() => number} random
 */
export function fixing(widgets, random = Math.random) {
  /** @type {Record<string, string | number>} */
  const values = {};
  for (const { name, value, options } of widgets) {
    if (name === CONTROL && value !== "fixed") values[name] = "fixed";
    if (!SEEDS.includes(name) || Number(value) !== -1) continue;
    values[name] = Math.floor(random() * (Math.min(options?.max ?? MOST, MOST) + 1));
  }
  return values;
}
