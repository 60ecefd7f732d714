/**
 * Which inputs of a node a model takes, within which limits, and what becomes of the values when
 * another model is chosen. All facts come from the catalogue that the pack serves. Pure: knows
 * neither page nor network, and does nothing on import.
 */

const CUSTOM = "custom";
const SIDES = ["width", "height"];
const AS_DECLARED = Object.freeze({ shown: true });
const HIDDEN = Object.freeze({ shown: false });

/** The id of the model that a run would use, or null when another node decides it. */
function modelId(values, linked) {
  if (linked.has("custom_model")) return null;
  const custom = String(values.custom_model ?? "").trim();
  if (custom) return custom;
  return linked.has("model") ? null : String(values.model ?? "");
}

function entryOf(node, values, linked) {
  const id = modelId(values, linked);
  return node.models.find((model) => model.id === id) ?? null;
}

/** The model whose fields are known; null for one that takes whatever is set, or is not known here. */
export function modelOf(node, values, linked) {
  const entry = entryOf(node, values, linked);
  return entry?.listed ? entry : null;
}

/** What the user should know of the chosen model before a run: "unlisted", "missing", "new", "elsewhere" or null. */
export function markOf(catalogue, node, values, linked) {
  if (!node.models.length) return null; // a node that asks no model
  const entry = entryOf(node, values, linked);
  if (entry) return entry.mark ?? (entry.site === catalogue.site ? null : "elsewhere");
  const isWritten = String(values.custom_model ?? "").trim() !== "";
  return modelId(values, linked) === null || isWritten ? null : "unlisted";
}

/** The picture inputs that a model has no place for. */
export function unusedPictures(node, model) {
  return model ? node.pictures.slice(model.images.length) : [];
}

/**
 * What an input is for a model: { shown } and, where the model narrows what the node declares,
 * { choices } or { minimum, maximum, step }.
 */
export function ruleOf(catalogue, model, name, values) {
  const input = catalogue.inputs[name];
  if (!model || !input) return AS_DECLARED;
  if (SIDES.includes(name)) return sideRule(model, name, values);
  if (name === "image_size") return sizeRule(input, model);
  if (input.unset === null) return AS_DECLARED; // the node's own business, for any model
  const field = model.fields[name];
  return field ? { shown: true, ...limitsOf(field, input.unset) } : HIDDEN;
}

function sizeRule(input, model) {
  const field = model.fields.image_size;
  const own = hasSides(model) ? { choices: [], custom: true } : null; // sides are its way to say "custom"
  const made = field ?? own;
  return made ? { shown: true, choices: [input.unset, ...made.choices, ...(made.custom ? [CUSTOM] : [])] } : HIDDEN;
}

function sideRule(model, name, values) {
  const takesAny = model.fields.image_size?.custom || hasSides(model);
  if (!takesAny || values.image_size !== CUSTOM) return HIDDEN;
  return { shown: true, ...limitsOf(model.fields[name] ?? {}) };
}

function hasSides(model) {
  return SIDES.every((side) => side in model.fields);
}

function limitsOf(field, unset) {
  if (field.choices?.length) return { choices: [...new Set([unset, ...field.choices])] };
  if (!isNumber(field.minimum) || !isNumber(field.maximum)) return {};
  const minimum = isNumber(unset) ? Math.min(unset, field.minimum) : field.minimum;
  return { minimum, maximum: field.maximum, ...(field.step ? { step: field.step } : {}) };
}

function isNumber(value) {
  return typeof value === "number";
}

/** Whether a value may stand under a rule. */
export function fits(rule, value) {
  if (rule.choices) return rule.choices.includes(value);
  if (!isNumber(rule.minimum)) return true;
  return value >= rule.minimum && value <= rule.maximum && !(rule.step && value % rule.step);
}

/** What stands in for a value that does not fit: the model's own choice, or the nearest number. */
function standIn(rule, value) {
  if (rule.choices) return rule.choices[0];
  const step = rule.step ?? 1;
  const nearest = rule.step ? Math.round(value / step) * step : value;
  return Math.min(Math.max(nearest, rule.minimum), rule.maximum);
}

/**
 * Gives the values that a model offers, and what is kept for the next model.
 *
 * `kept` holds by input `{ wanted, standsIn }`: what the user chose, newest first, and no longer
 * stands in the widget; and whether the widget's present value is no choice of the user. A wanted
 * value comes back with the first model that offers it.
 */
export function settle(catalogue, node, model, values, kept) {
  const now = { ...values };
  const left = { ...kept };
  for (const name of node.inputs.filter((input) => input in values)) {
    const rule = ruleOf(catalogue, model, name, now);
    if (!rule.shown) continue;
    const { value, memory } = choose(rule, now[name], kept[name]);
    now[name] = value;
    if (memory) left[name] = memory;
    else delete left[name];
  }
  return { values: now, kept: left };
}

function choose(rule, current, memory = { wanted: [], standsIn: false }) {
  const wishes = memory.standsIn ? memory.wanted : [current, ...memory.wanted.filter((wish) => wish !== current)];
  const wanted = isNumber(current) ? wishes.slice(0, 1) : wishes; // of numbers, only the last one typed
  const found = wanted.find((wish) => fits(rule, wish));
  const rest = wanted.filter((wish) => wish !== found);
  const value = found === undefined ? standIn(rule, wanted[0]) : found;
  return { value, memory: rest.length ? { wanted: rest, standsIn: found === undefined } : null };
}

/** Notes that the user changed an input: what stands there now is a choice of theirs. */
export function chosen(kept, name) {
  return name in kept ? { ...kept, [name]: { ...kept[name], standsIn: false } } : kept;
}
