/**
 * What a list of choices shows in place of the values that are saved: models in groups and by their names, sizes by
 * their shapes. Pure: knows neither page nor network, and does nothing on import.
 */

/** @import { Catalogue, InputValue, Model, NodeEntry } from "../types" */

/** How a line begins that stands between two groups of a list, and is no choice. */
const DIVIDER = "──";
/** Shapes that people know, as width to height. */
const SHAPES = [
  [1, 1],
  [5, 4],
  [4, 3],
  [3, 2],
  [16, 9],
  [2, 1],
  [21, 9],
];

/** @typedef {"missing" | "elsewhere_cn" | "elsewhere_com" | "retired"} Group What a model of the list lacks. */

/** @param {unknown} value */
export const isDivider = (value) => typeof value === "string" && value.startsWith(DIVIDER);

/**
 * The ids of a node's models: those that can be used, and each other group below a line.
 * @param {Pick<Catalogue, "site">} catalogue
 * @param {Pick<NodeEntry, "models">} entry
 * @param {(group: Group) => string} title
 */
export function modelChoices({ site }, { models }, title) {
  /** @param {Model} model */
  const lackOf = ({ mark, site: its }) => {
    if (mark === "retired") return "retired";
    if (its !== site) return /** @type {const} */ (`elsewhere_${its}`);
    return mark === "missing" ? "missing" : "";
  };
  /** @type {("" | Group)[]} */
  const groups = ["", "missing", "elsewhere_cn", "elsewhere_com", "retired"];
  return groups.flatMap((group) => {
    const ids = models.filter((model) => lackOf(model) === group).map(({ id }) => id);
    return group && ids.length ? [`${DIVIDER} ${title(group)} ${DIVIDER}`, ...ids] : ids;
  });
}

/**
 * The name of a model as people know it. Of ids that differ in what stands before the maker, that stands behind.
 * @param {Pick<NodeEntry, "models">} entry
 * @param {string} id
 */
export function modelLabel({ models }, id) {
  const model = models.find((each) => each.id === id);
  if (!model) return id;
  const [tier = "", ...rest] = id.split("/");
  const name = model.name.split("/").at(-1) ?? model.name;
  return rest.length > 1 && !name.startsWith(tier) ? `${name} (${tier})` : name;
}

/**
 * "1472x1140" -> "4:3 · 1472×1140": the known shape that is nearest.
 * @param {string} size
 */
export function sizeLabel(size) {
  const sides = /^(\d+)x(\d+)$/.exec(size);
  if (!sides) return size;
  const [width, height] = [Number(sides[1]), Number(sides[2])];
  /** @param {number[]} shape */
  const distance = ([long = 1, short = 1]) => Math.abs(Math.log((Math.max(width, height) * short) / (Math.min(width, height) * long)));
  const nearest = SHAPES.reduce((best, shape) => (distance(shape) < distance(best) ? shape : best));
  const shape = width < height ? [...nearest].reverse() : nearest;
  return `${shape.join(":")} · ${width}×${height}`;
}

/**
 * What is chosen where a line was: the next value in the direction of a step, or what was chosen before.
 * @param {InputValue[]} choices
 * @param {string} divider
 * @param {InputValue} before
 * @param {boolean} isStep whether a control of the page moves by one
 */
export function besideDivider(choices, divider, before, isStep) {
  const [at, from] = [choices.indexOf(divider), choices.indexOf(before)];
  return (isStep && from >= 0 && Math.abs(at - from) === 1 ? choices[2 * at - from] : before) ?? before;
}
