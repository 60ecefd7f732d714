/**
 * Which inputs of a node a model takes, within which limits, and what becomes of the values when
 * another model is chosen. All facts come from the catalogue that the pack serves. Pure: knows
 * neither page nor network, and does nothing on import.
 */

/** @import { Catalogue, Field, InputValue, Memory, Model, NodeEntry, Notice, Rule, Values } from "../types" */

const CUSTOM = "custom";
const SIDES = ["width", "height"];
/** @type {Readonly<Rule>} */
const AS_DECLARED = Object.freeze({ shown: true });
/** @type {Readonly<Rule>} */
const HIDDEN = Object.freeze({ shown: false });

/** @typedef {ReadonlySet<string>} Linked The inputs whose values come from other nodes. */

/**
 * The id of the model that a run would use, or null when another node decides it.
 * @param {Values} values
 * @param {Linked} linked
 */
function modelId(values, linked) {
  if (linked.has("custom_model")) return null;
  const custom = String(values.custom_model ?? "").trim();
  if (custom) return custom;
  return linked.has("model") ? null : String(values.model ?? "");
}

/**
 * @param {Pick<NodeEntry, "models">} node
 * @param {Values} values
 * @param {Linked} linked
 */
function entryOf(node, values, linked) {
  const id = modelId(values, linked);
  return node.models.find((model) => model.id === id) ?? null;
}

/**
 * The model whose fields are known; null for one that takes whatever is set, or is not known here. Of a model that
 * is written by its id, fields are never guessed: all that is set is sent.
 * @param {Pick<NodeEntry, "models">} node
 * @param {Values} values
 * @param {Linked} linked
 */
export function modelOf(node, values, linked) {
  const entry = entryOf(node, values, linked);
  return entry?.listed && !(entry.guessed_from && isWritten(values)) ? entry : null;
}

/**
 * What the user should know of the chosen model before a run, if anything.
 * @param {Pick<Catalogue, "site">} catalogue
 * @param {Pick<NodeEntry, "models">} node
 * @param {Values} values
 * @param {Linked} linked
 * @returns {Notice | null}
 */
export function noticeOf(catalogue, node, values, linked) {
  if (!node.models.length) return null; // a node that uses no model
  const entry = entryOf(node, values, linked);
  if (entry?.guessed_from && isWritten(values)) return "new";
  if (entry) return entry.mark ?? (entry.site === catalogue.site ? null : "elsewhere");
  return modelId(values, linked) === null || isWritten(values) ? null : "unlisted";
}

/** @param {Values} values */
const isWritten = (values) => String(values.custom_model ?? "").trim() !== "";

/**
 * The inputs from other nodes that a model does not use: images, and recordings for whose text it has no field.
 * @param {NodeEntry} node
 * @param {Model | null} model
 */
export function unusedInputs(node, model) {
  if (!model) return [];
  const recordings = node.inputs.filter((name) => name.startsWith("reference_audio"));
  const unused = recordings.filter((name) => !(name.replace("audio", "text") in model.fields));
  const more = node.inputs.filter((name) => name === "references" && model.images.length < 2);
  return [...node.pictures.slice(model.images.length), ...more, ...unused];
}

/**
 * What an input is for a model.
 * @param {Pick<Catalogue, "inputs">} catalogue
 * @param {Model | null} model
 * @param {string} name
 * @param {Values} values
 * @returns {Rule}
 */
export function ruleOf(catalogue, model, name, values) {
  const input = catalogue.inputs[name];
  if (!model || !input) return AS_DECLARED;
  if (SIDES.includes(name)) return sideRule(model, name, values);
  if (input.unset === null) return AS_DECLARED; // the node's own, whatever the model
  if (name === "image_size") return sizeRule(model, input.unset);
  const field = model.fields[name];
  return field ? { shown: true, ...limitsOf(field, input.unset) } : HIDDEN;
}

/**
 * @param {Model} model
 * @param {InputValue} unset
 * @returns {Rule}
 */
function sizeRule(model, unset) {
  const sides = hasSides(model) ? { choices: [], custom: true } : null; // width and height are its custom size
  const sizes = model.fields.image_size ?? sides;
  if (!sizes) return HIDDEN;
  return { shown: true, choices: [unset, ...sizes.choices, ...(sizes.custom ? [CUSTOM] : [])] };
}

/**
 * @param {Model} model
 * @param {string} side
 * @param {Values} values
 * @returns {Rule}
 */
function sideRule(model, side, values) {
  const takesAny = model.fields.image_size?.custom || hasSides(model);
  if (!takesAny || values.image_size !== CUSTOM) return HIDDEN;
  const field = model.fields[side];
  return { shown: true, ...(field ? limitsOf(field) : {}) };
}

/** @param {Model} model */
function hasSides(model) {
  return SIDES.every((side) => side in model.fields);
}

/**
 * @param {Field} field
 * @param {InputValue} [unset]
 * @returns {Omit<Rule, "shown">}
 */
function limitsOf(field, unset) {
  const none = unset === undefined ? [] : [unset];
  if (field.choices?.length) {
    const choices = field.type === "integer" ? field.choices.map(Number) : field.choices; // in a widget of numbers
    return { choices: [...new Set([...none, ...choices])] };
  }
  if (!isNumber(field.minimum) || !isNumber(field.maximum)) return {};
  const minimum = isNumber(unset) ? Math.min(unset, field.minimum) : field.minimum;
  return { minimum, maximum: field.maximum, ...(field.step ? { step: field.step } : {}) };
}

/**
 * @param {unknown} value
 * @returns {value is number}
 */
function isNumber(value) {
  return typeof value === "number";
}

/**
 * Whether a value is within the limits of a rule.
 * @param {Rule} rule
 * @param {unknown} value
 */
export function fits({ choices, minimum, maximum, step }, value) {
  if (choices) return choices.includes(/** @type {InputValue} */ (value));
  if (minimum === undefined || maximum === undefined) return true;
  return isNumber(value) && value >= minimum && value <= maximum && !(step && value % step);
}

/**
 * What a widget says behind its name: that the model does not take what stands there, or that the number is none but
 * stands for a default that nobody knows, or that the service decides.
 * @param {Pick<Catalogue, "inputs">} catalogue
 * @param {Rule} rule
 * @param {string} name
 * @param {unknown} value
 * @returns {"not_taken" | "own_default" | null}
 */
export function markOf(catalogue, rule, name, value) {
  if (!rule.shown) return null;
  if (!fits(rule, value)) return "not_taken";
  return isNumber(value) && value === catalogue.inputs[name]?.unset ? "own_default" : null;
}

/**
 * What an input shows where the user set nothing: what the model does then, or that this is not known.
 * @param {Pick<Catalogue, "inputs">} catalogue
 * @param {Model | null} model
 * @param {string} name
 */
function defaultOf(catalogue, model, name) {
  return model?.defaults?.[name] ?? catalogue.inputs[name]?.unset ?? null;
}

/**
 * What stands in for a value that does not fit: the model's own choice, else its first, or the nearest number.
 * @param {Rule} rule
 * @param {unknown} value
 * @param {InputValue | null} own
 */
function standIn({ choices, minimum = -Infinity, maximum = Infinity, step }, value, own) {
  if (choices) return own !== null && choices.includes(own) ? own : choices[0];
  const number = Number(value);
  const nearest = step ? Math.round(number / step) * step : number;
  return Math.min(Math.max(nearest, minimum), maximum);
}

/**
 * The values as a model takes them, and what to remember for the next model: a value that the user chose and that
 * does not fit comes back with the first model that it fits. Another model than the previous one brings its own
 * values, in place of those that the user did not set.
 * @param {Pick<Catalogue, "inputs">} catalogue
 * @param {Pick<NodeEntry, "inputs">} node
 * @param {Model | null} model
 * @param {Values} values
 * @param {Memory} memory
 * @param {Model | null} [previous]
 */
export function adapt(catalogue, node, model, values, memory, previous = model) {
  const adapted = { ...values };
  const remembered = { ...memory };
  for (const name of node.inputs.filter((input) => input in values)) {
    const own = defaultOf(catalogue, model, name);
    if (previous?.id !== model?.id && !isSet(catalogue, previous, name, values[name], memory)) adapted[name] = own;
    const rule = ruleOf(catalogue, model, name, adapted);
    if (!rule.shown) continue;
    const { value, wishes } = choose(rule, adapted[name], memory[name], own);
    adapted[name] = value;
    if (wishes) remembered[name] = wishes;
    else delete remembered[name];
  }
  return { values: adapted, memory: remembered };
}

/**
 * Whether a value is the user's: it was typed here, or is neither "not set" nor what the model brought along.
 * @param {Pick<Catalogue, "inputs">} catalogue
 * @param {Model | null} model
 * @param {string} name
 * @param {unknown} value
 * @param {Memory} memory
 */
function isSet(catalogue, model, name, value, memory) {
  const unset = catalogue.inputs[name]?.unset ?? null;
  return unset === null || name in memory || (value !== unset && value !== defaultOf(catalogue, model, name));
}

/**
 * @param {Rule} rule
 * @param {unknown} current
 * @param {Memory[string]} [remembered]
 * @param {InputValue | null} [own]
 */
function choose(rule, current, { wanted, standsIn, typed } = { wanted: [], standsIn: false }, own = null) {
  const all = standsIn ? wanted : [current, ...wanted.filter((wish) => wish !== current)];
  const wishes = isNumber(current) ? all.slice(0, 1) : all; // of numbers, only the last one typed
  const found = wishes.find((wish) => fits(rule, wish));
  const rest = wishes.filter((wish) => wish !== found);
  const value = found === undefined ? standIn(rule, wishes[0], own) : found;
  const isKept = rest.length || typed;
  return { value, wishes: isKept ? { wanted: rest, standsIn: found === undefined, ...(typed && { typed }) } : null };
}

/**
 * The memory after the user changed an input: what stands there now is the user's choice, unless it means "not set".
 * @param {Pick<Catalogue, "inputs">} catalogue
 * @param {Memory} memory
 * @param {string} name
 * @param {unknown} value
 * @returns {Memory}
 */
export function afterChange(catalogue, memory, name, value) {
  const { [name]: remembered, ...others } = memory;
  const unset = catalogue.inputs[name]?.unset ?? null;
  const wanted = remembered?.wanted ?? [];
  if (unset !== null && value !== unset) return { ...others, [name]: { wanted, standsIn: false, typed: true } };
  return wanted.length ? { ...others, [name]: { wanted, standsIn: false } } : others;
}
