/**
 * Nodes show what the chosen model takes.
 *
 * Nothing here runs per frame: work is done when a model, a size or a link changes, when a node is
 * created or loaded, and when the catalogue changes. Hidden widgets are saved and sent as ever.
 */

/** @import { Memory, Model, NodeEntry, Notice, OwnPrices, Rule, Settings, Source, TextKey, Values } from "./types" */

import { app } from "../../../scripts/app.js";
import { api } from "../../../scripts/api.js";
import * as catalogue from "./catalogue.js";
import { besideDivider, isDivider, modelChoices, modelLabel, sizeLabel } from "./logic/choices.js";
import { shortModel } from "./logic/format.js";
import { isOwn } from "./logic/own_nodes.js";
import { framesOf, priceLabel } from "./logic/price.js";
import { adapt, afterChange, markOf, modelOf, noticeOf, ruleOf, unusedInputs } from "./logic/widgets.js";
import { graphNodes } from "./nodes.js";
import { isVue, t } from "./page.js";
import { watch } from "./settings_store.js";
import { onOuterChange, outerOf } from "./subgraphs.js";
import { TEXTS } from "./texts.js";
import { voiceName } from "./voices.js";

/** In the node's properties, so that it is saved, copied and undone with the node. */
const MEMORY_PROPERTY = "siliconflow_kept";
const MODEL_INPUTS = ["model", "custom_model"];
const DECIDING_INPUTS = new Set([...MODEL_INPUTS, "image_size"]);
/** How the ID of a voice begins that the account uploaded. */
const OWN_VOICE = "speech:";
const LONGEST_WAIT_MILLISECONDS = 3000;
const [READABLE_HEIGHT, LARGEST_HEIGHT] = [110, 400];
const BADGE_COLORS = { fgColor: "#ffd9a0", bgColor: "#5a3a10" };
/** A price looks as those of ComfyUI's own paid nodes do. */
const PRICE_COLORS = { fgColor: "#fff", bgColor: "#8d6932" };
const FREE_COLORS = { fgColor: "#d5e8d4", bgColor: "#2b4433" };
/** Nothing that is seen; without any text there would be no badge. */
const NO_TEXT = "\u200b";
/** Outputs that few connect: small beside what the node is for. */
const QUIET_OUTPUTS = ["seed", "info"];
const QUIET_OPACITY = 0.6;

/** @typedef {ReturnType<typeof limitsIn>} Limits */

/**
 * What is known of a node besides its own properties.
 * @typedef {object} State
 * @property {Map<Comfy.Widget, Limits>} declared what its definition allows, by widget
 * @property {Map<string, string | undefined>} labels of its inputs, as translated, by name
 * @property {Map<Comfy.Widget, string | undefined>} widgetLabels the same of its widgets that are marked
 * @property {Comfy.Widget["value"]} chosen the model that was chosen last
 * @property {Comfy.Badge | { text: string }} badge
 * @property {ReturnType<typeof priceBadge>} price the badge with our mark
 * @property {Model | null} [model] the one that it shows
 * @property {ReturnType<typeof outerOf>} outer what subgraphs set its promoted inputs to, as it was last seen
 * @property {boolean} isChanging whether it is this script that changes its widgets
 */

/** @type {WeakMap<Comfy.Node, State>} */
const states = new WeakMap();
/** @type {Settings["values"] | null} */
let preferences = null;
/** Whether it is this script that changes widgets of subgraphs. */
let isFollowing = false;
/** The prices of collapsed nodes, by node, and the timer that writes them. */
const collapsedPrices = new CSSStyleSheet();
/** @type {ReturnType<typeof setTimeout> | undefined} */
let writesCollapsed;
/** What marks our nodes, beside the price; null until it is there to be drawn. @type {HTMLImageElement | null} */
let mark = null;

app.registerExtension({
  name: "SiliconFlow.Widgets",
  async init() {
    // Before the first workflow is opened: else its nodes would grow for widgets that are hidden later.
    await Promise.race([
      Promise.all([catalogue.load(), loadMark()]),
      new Promise((resolve) => setTimeout(resolve, LONGEST_WAIT_MILLISECONDS)),
    ]);
    catalogue.onChange(() => {
      for (const [node] of allNodes()) update(node);
    });
    catalogue.watch();
    api.addEventListener("graphChanged", showPrices); // other nodes decide how many frames there are
    watch(document.body, (received) => {
      if (!received) return;
      preferences = received.values;
      for (const [node] of allNodes()) update(node);
    });
    onOuterChange(() => allNodes().forEach(([node, state]) => followOuter(node, state)));
  },
  setup() {
    document.adoptedStyleSheets.push(collapsedPrices);
    app.canvas.canvas.addEventListener("litegraph:set-graph", showPrices); // ids are those of the graph on view
  },
  afterConfigureGraph: showPrices,
  nodeCreated(node) {
    if (!isOwn(node.comfyClass)) return;
    translateChoices(node);
    if (!modelWidget(node)) return;
    colorAsPaid(node);
    drawQuietly(node);
    const state = stateOf(node);
    states.set(node, state);
    watchNode(node, state);
    addBadge(node, state);
    translatePlaceholders(node);
    const change = () => {
      keepReadable(node);
      show(node);
    };
    keepSize(node, change, node.computeSize()[1]);
  },
  refreshComboInNodes() {
    // ComfyUI has just put every choice of the definitions back.
    for (const [node, state] of allNodes()) {
      for (const [widget, declared] of state.declared) declared.values = widget.options.values;
      update(node);
    }
  },
});

/** @param {Comfy.Node} node */
const widgetsOf = (node) => /** @type {Comfy.Widget[]} */ (node.widgets ?? []);

/** @param {Comfy.Node} node */
const modelWidget = (node) => widgetsOf(node).find((widget) => widget.name === "model");

/**
 * @param {Comfy.Node} node
 * @returns {State}
 */
function stateOf(node) {
  return {
    declared: new Map(widgetsOf(node).map((widget) => [widget, limitsIn(widget.options ?? {})])),
    labels: new Map((node.inputs ?? []).map((input) => [input.name, input.localized_name])),
    widgetLabels: new Map(),
    chosen: modelWidget(node)?.value,
    badge: makeBadge("", BADGE_COLORS),
    price: priceBadge(node, null),
    outer: new Map(),
    isChanging: false,
  };
}

/** @param {Comfy.WidgetOptions} options */
function limitsIn({ values, min, max, step, step2 }) {
  return { values, min, max, step, step2 };
}

/**
 * The colour that ComfyUI gives its own nodes of paid services; one that the user chose is loaded over it.
 * @param {Comfy.Node} node
 */
function colorAsPaid(node) {
  const paid = window.LGraphCanvas?.node_colors?.yellow;
  if (paid) Object.assign(node, { color: paid.color, bgcolor: paid.bgcolor });
}

/**
 * @param {Comfy.Node} node
 * @param {State} state
 */
function watchNode(node, state) {
  for (const widget of widgetsOf(node)) {
    const { callback } = widget;
    widget.callback = function (...rest) {
      const returned = callback?.apply(this, rest);
      if (widget === modelWidget(node)) skipDivider(node, state);
      if (!state.isChanging) onUserChange(node, widget.name);
      return returned;
    };
  }
  const { onConfigure, onConnectionsChange } = node;
  node.onConfigure = function (...rest) {
    onConfigure?.apply(this, rest);
    drawQuietly(node); // its outputs are others now
    show(node);
  };
  node.onConnectionsChange = function (...rest) {
    onConnectionsChange?.apply(this, rest);
    const slot = rest[4];
    if (slot && "widget" in slot && slot.widget) onLinkChange(node, slot.widget.name);
    else if (slot && !app.configuringGraph) queueMicrotask(() => update(node)); // the page is not done with the slot yet
  };
}

/**
 * A line between the models cannot be chosen.
 * @param {Comfy.Node} node
 * @param {State} state
 */
function skipDivider(node, state) {
  const model = modelWidget(node);
  if (!model) return;
  const choices = /** @type {string[]} */ (model.options.values ?? []);
  if (isDivider(model.value)) {
    setValue(node, model, besideDivider(choices, String(model.value), String(state.chosen), !isVue()));
  }
  state.chosen = model.value;
}

/**
 * The first text of a node is what it is about: it keeps room for a few lines when an image or the state of the
 * run takes the room below, and the node grows instead. The classic canvas would leave it two. And no text fills a
 * node that was saved much too high.
 * @param {Comfy.Node} node
 */
function keepReadable(node) {
  const texts = widgetsOf(node).filter((widget) => widget.options && widget.element?.tagName === "TEXTAREA");
  for (const { options } of texts) options.getMaxHeight ??= () => (isVue() ? undefined : LARGEST_HEIGHT);
  if (texts[0]) texts[0].options.getMinHeight ??= () => (isVue() ? undefined : READABLE_HEIGHT);
}

/**
 * ComfyUI writes the name of an input into its empty text box, and translates only the label beside it.
 * @param {Comfy.Node} node
 */
function translatePlaceholders(node) {
  for (const { name, element } of widgetsOf(node)) {
    const label = node.inputs?.find((input) => input.name === name)?.localized_name;
    if (label && element instanceof HTMLTextAreaElement) element.placeholder = label;
  }
}

/**
 * Choices are shown in the page's language, models by their names, sizes with their shapes; they are saved as they are.
 * @param {Comfy.Node} node
 */
function translateChoices(node) {
  for (const { name, options, _state } of widgetsOf(node)) {
    if (!options?.values) continue;
    /** @param {string | null} [value] */
    const getOptionLabel = (value) => choiceLabel(node, name, String(value ?? ""));
    for (const each of new Set([_state?.options, options])) if (each) Object.assign(each, { getOptionLabel });
  }
}

/** @param {"missing" | "elsewhere_cn" | "elsewhere_com" | "retired"} group */
const groupTitle = (group) => t(`models.group_${group}`);

/**
 * @param {Comfy.Node} node
 * @param {string} name of the input
 * @param {string} value
 */
function choiceLabel(node, name, value) {
  const key = `choice.${value}`;
  if (key in TEXTS.en) return t(/** @type {TextKey} */ (key));
  if (name === "image_size") return sizeLabel(value);
  if (value.startsWith(OWN_VOICE)) return t("voices.own", { name: voiceName(value) });
  const entry = catalogue.current()?.nodes[node.comfyClass ?? ""];
  return name === "model" && entry ? modelLabel(entry, value) : value;
}

/**
 * @param {Comfy.Node} node
 * @param {string} name of the input that the user, or a control of the page, changed
 */
function onUserChange(node, name) {
  const known = read(node);
  if (!known) return;
  remember(node, afterChange(known.catalogue, memoryOf(node), name, known.values[name]));
  if (DECIDING_INPUTS.has(name)) adaptValues(node);
  else if (typeof known.values[name] === "number") show(node);
}

/**
 * Subgraphs may have changed what they set promoted inputs to: then the user did. While a workflow is loaded, or
 * another node of the same subgraph adapts, values are only noted.
 * @param {Comfy.Node} node
 * @param {State} state
 */
function followOuter(node, state) {
  if (isFollowing || state.isChanging) return;
  isFollowing = true;
  try {
    const { outer: before } = state;
    const outer = [...outerOf(node)];
    for (const [name, { value }] of outer) {
      if (!before.has(name) || before.get(name)?.value === value) continue;
      const widget = widgetsOf(node).find((each) => each.name === name);
      if (widget) setValue(node, widget, value); // for whoever unpacks the subgraph
      if (!app.configuringGraph) onUserChange(node, name);
    }
    const isStale = outer.some(([name, { widgets }]) =>
      widgets.some(({ widget }) => isNewOuter(state, name, widget) || isReset(widget)),
    );
    if (isStale) show(node);
    state.outer = outerOf(node);
  } finally {
    isFollowing = false;
  }
}

/**
 * Whether a widget of a subgraph was not there when the node was last looked at.
 * @param {State} state
 * @param {string} name
 * @param {Comfy.Widget} widget
 */
const isNewOuter = ({ outer }, name, widget) => !outer.get(name)?.widgets.some((each) => each.widget === widget);

/**
 * Whether the page shows a widget of a subgraph as the one inside again: the newest does when the subgraph is copied.
 * @param {Comfy.Widget} widget
 */
const isReset = ({ hidden, options }) => hidden !== options.hidden;

/**
 * A link came or went. While a workflow is loaded, values are never touched.
 * @param {Comfy.Node} node
 * @param {string} name
 */
function onLinkChange(node, name) {
  if (app.configuringGraph || !DECIDING_INPUTS.has(name)) update(node);
  else adaptValues(node);
}

/**
 * Changes the values to what the model takes, and shows it.
 * @param {Comfy.Node} node
 */
function adaptValues(node) {
  const known = read(node);
  if (!known) return;
  const { entry, model, values, linked, outer } = known;
  if (MODEL_INPUTS.some((name) => linked.has(name))) return update(node); // nobody knows which model it will be
  const adapted = adapt(known.catalogue, entry, model, values, memoryOf(node), states.get(node)?.model);
  remember(node, adapted.memory);
  for (const widget of widgetsOf(node)) {
    const value = adapted.values[widget.name];
    if (values[widget.name] === value) continue;
    setValue(node, widget, value);
    for (const each of outer.get(widget.name)?.widgets ?? []) setValue(node, each.widget, value, each.node);
  }
  update(node);
  const state = states.get(node);
  if (state) state.outer = outerOf(node);
}

/** @param {Comfy.Node} node */
function update(node) {
  keepSize(node, () => show(node));
}

/**
 * Changes a node, in the room that it needs then; what the user made larger stays larger.
 * @param {Comfy.Node} node
 * @param {() => void} change
 * @param {number} [before] the least height that it was made for
 */
function keepSize(node, change, before = leastHeight(node)) {
  change();
  const more = leastHeight(node) - before;
  // The first Nodes 2.0 hear of no size that a node was given; to set it would only spoil their undo.
  // Nor need their subgraphs be told theirs: they grow and shrink with their widgets.
  const isTold = [node, modelWidget(node)].some((each) => each && "_state" in each);
  const measuresItself = node.graph && isVue() && !isTold;
  if (more && !measuresItself) node.setSize([node.size[0], node.size[1] + more]);
}

/**
 * The least height of a node. ComfyUI counts what Nodes 2.0 fold away too: the text boxes would fill that room.
 * A collapsed node has none for its widgets, and so keeps its room.
 * @param {Comfy.Node} node
 */
function leastHeight(node) {
  const showsAll = app.extensionManager?.setting?.get("Comfy.Node.AlwaysShowAdvancedWidgets");
  const isFolded = showsAll === false && isVue() && !node.showAdvanced;
  const folded = isFolded ? widgetsOf(node).filter(({ hidden, options }) => options?.advanced && !hidden) : [];
  for (const widget of folded) widget.hidden = true;
  try {
    return node.computeSize()[1];
  } finally {
    for (const widget of folded) widget.hidden = false;
  }
}

/**
 * Shows what the model takes. Changes no value and no size.
 * @param {Comfy.Node} node
 */
function show(node) {
  const [known, state] = [read(node), states.get(node)];
  if (!known || !state) return;
  const { entry, model, values, linked, outer } = known;
  state.model = model;
  /** @param {string} name */
  const ruleFor = (name) => {
    if (name === "voice" && model) {
      const own = known.catalogue.voices.filter((voice) => voice.model === model.id).map(({ uri }) => uri);
      return { shown: true, choices: [...(model.fields.voice?.choices ?? []), ...own] };
    }
    if (name === "model") return { shown: true, choices: modelChoices(known.catalogue, entry, groupTitle) };
    // If another node decides the size, it may well be "custom".
    const isCustom = linked.has("image_size") && ["width", "height"].includes(name);
    const rule = ruleOf(known.catalogue, model, name, isCustom ? { image_size: "custom" } : values);
    return linked.has(name) ? { ...rule, shown: true } : rule;
  };
  for (const [widget, declared] of state.declared) {
    if (!entry.inputs.includes(widget.name)) continue;
    const rule = ruleFor(widget.name);
    const promoted = outer.get(widget.name)?.widgets ?? [];
    apply(widget, promoted.length ? { ...rule, shown: true } : rule, declared);
    for (const each of promoted) {
      const change = () => apply(each.widget, rule, declared);
      if (isNewOuter(state, widget.name, each.widget)) change(); // as large as it was saved
      else keepSize(each.node, change);
    }
    // The model has a badge.
    const isMarked = widget.name !== "model" && !linked.has(widget.name);
    labelWidget(widget, state, isMarked ? markOf(known.catalogue, rule, widget.name, widget.value) : null);
  }
  labelUnused(node, state, new Set(unusedInputs(entry, model)));
  const text = noticeText(noticeOf(known.catalogue, entry, values, linked), entry, values);
  if (state.badge.text !== text) state.badge = makeBadge(text, BADGE_COLORS);
  showPrice(node, state, known);
  redraw(node);
}

/**
 * Returns whether the price is another than before.
 * @param {Comfy.Node} node
 * @param {State} state
 * @param {NonNullable<ReturnType<typeof read>>} known
 */
function showPrice(node, state, known) {
  writesCollapsed ??= setTimeout(writeCollapsedPrices); // by then a new node has its id
  const price = priceBadge(node, preferences?.show_price ? priceOf(node, known) : null);
  if (state.price.text === price.text) return false;
  state.price = price;
  return true;
}

/** Of a collapsed node Nodes 2.0 shows the title alone, without badges: the style sheet puts the price there. */
function writeCollapsedPrices() {
  writesCollapsed = undefined;
  const graph = app.canvas.graph ?? app.graph;
  const priced = allNodes().filter(([node, { price }]) => node.graph === graph && price.text !== NO_TEXT);
  const rules = priced.map(([{ id }, { price }]) => {
    const [name, text] = [String(id), price.text].map(CSS.escape); // a workflow may give a node any id
    return `[data-node-id="${name}"] { --sf-collapsed-price: "${text}"; }`;
  });
  collapsedPrices.replaceSync(rules.join("\n"));
}

/** Shows the prices of all nodes. */
function showPrices() {
  for (const [node, state] of allNodes()) {
    const known = read(node);
    if (known && showPrice(node, state, known)) redraw(node);
  }
}

/**
 * @param {Comfy.Widget} widget
 * @param {Rule} rule
 * @param {Limits} declared
 */
function apply(widget, rule, declared) {
  const changes = { hidden: !rule.shown, ...declared, ...limitsOf(rule) };
  widget.hidden = changes.hidden;
  // Newer pages keep a widget's options in a store of theirs, which may hold an older object than the widget.
  for (const options of new Set([widget._state?.options, widget.options])) {
    if (!options) continue;
    const changed = Object.entries(changes).filter(
      ([name, value]) => Reflect.get(options, name) !== value && (value !== undefined || name in options),
    );
    Object.assign(options, Object.fromEntries(changed));
  }
  // The newest page hides a widget of a subgraph by what it made of its options when they were set.
  if (Object.getOwnPropertyDescriptor(widget, "options")?.set) widget.options = widget.options;
}

/**
 * The limits of a rule, where it has any, as options of a widget.
 * @param {Rule} rule
 * @returns {Partial<Limits>}
 */
function limitsOf({ choices, minimum, maximum, step }) {
  if (choices) return { values: choices };
  if (maximum === undefined) return {};
  const steps = step ? { step: step * 10, step2: step } : {}; // "step" is ten times the step, by tradition
  return { min: minimum, max: maximum, ...steps };
}

/**
 * Says at a widget what is to be known of what stands there: see markOf.
 * @param {Comfy.Widget} widget
 * @param {State} state
 * @param {ReturnType<typeof markOf>} mark
 */
function labelWidget(widget, { widgetLabels }, mark) {
  const plain = widgetLabels.has(widget) ? widgetLabels.get(widget) : widget.label;
  const label = mark ? t(`models.${mark}`, { name: plain ?? widget.name }) : plain;
  if (widget.label === label) return;
  if (mark) widgetLabels.set(widget, plain);
  else widgetLabels.delete(widget);
  widget.label = label;
}

/**
 * Says at an input from another node that the model does not use it, with a sign if something is connected. It stays
 * connected.
 * @param {Comfy.Node} node
 * @param {State} state
 * @param {Set<string>} unused
 */
function labelUnused(node, { labels }, unused) {
  node.inputs.forEach((input, at) => {
    if (input.widget || !labels.has(input.name)) return;
    const plain = labels.get(input.name);
    const key = input.link == null ? "models.unused" : "models.unused_linked";
    const label = unused.has(input.name) ? t(key, { name: plain ?? input.name }) : plain;
    if (input.localized_name === label) return;
    input.localized_name = label;
    // Nodes 2.0 redraws a slot only if it is another object.
    const Slot = /** @type {new (slot: Comfy.Slot, node: Comfy.Node) => Comfy.Slot} */ (input.constructor);
    if (isVue()) node.inputs.splice(at, 1, new Slot(input, node));
  });
}

/**
 * @param {Notice | null} notice
 * @param {NodeEntry} entry
 * @param {Values} values
 */
function noticeText(notice, entry, values) {
  if (!notice) return "";
  const id = String(values.custom_model || values.model);
  const model = entry.models.find((each) => each.id === id);
  if (notice === "retired") {
    return model?.retired ? t("models.retired_on", { date: model.retired }) : t("models.retired");
  }
  if (notice === "guessed") return t("models.guessed", { model: shortModel(model?.guessed_from ?? "") });
  if (notice === "elsewhere") return model ? t(`models.elsewhere_${model.site}`) : "";
  return t(`models.${notice}`);
}

/**
 * @param {Comfy.Node} node
 * @param {NonNullable<ReturnType<typeof read>>} known
 */
function priceOf(node, { catalogue: known, entry, values, linked }) {
  const own = /** @type {OwnPrices} */ (/** @type {unknown} */ (preferences?.prices ?? {}));
  const frames = entry.task.includes("image") ? framesOf(sourceOf(node), entry.pictures, known) : 1;
  return priceLabel(known, entry, values, linked, own, frames);
}

/**
 * @param {Comfy.Node} node
 * @returns {Source}
 */
function sourceOf(node) {
  const inputs = node.inputs ?? [];
  const linked = inputs.filter(({ link }) => link != null);
  return {
    id: node.id,
    type: node.comfyClass ?? node.type ?? "",
    links: linked.map(({ name }) => name),
    from: (name) => {
      const slot = inputs.findIndex((input) => input.name === name);
      const origin = slot < 0 ? null : node.getInputNode(slot);
      return origin && !origin.mode ? sourceOf(origin) : null; // muted and bypassed nodes make nothing
    },
    value: (name) =>
      linked.some((input) => input.name === name)
        ? undefined
        : widgetsOf(node).find((widget) => widget.name === name)?.value,
  };
}

/** The nodes that pay for what they make, those in subgraphs too, as the page knows. */
export function paidNodes() {
  return allNodes()
    .map(([node]) => node)
    .filter((node) => {
      const known = node.mode ? null : read(node);
      return known && priceOf(node, known)?.key !== "price.free";
    });
}

/**
 * @param {Comfy.Node} node
 * @param {State} state
 */
function addBadge(node, state) {
  const model = modelWidget(node);
  if (!window.LGraphBadge || !node.badges || !model) return;
  for (const name of /** @type {const} */ (["badge", "price"])) {
    node.badges.push(() => {
      // Reading the widget makes Nodes 2.0 ask again when it changes.
      void [model.value, model.label];
      return /** @type {Comfy.Badge} */ (state[name]);
    });
  }
}

/**
 * @param {string} text
 * @param {{ fgColor: string, bgColor: string }} colors
 * @param {HTMLImageElement} [image]
 */
function makeBadge(text, colors, image) {
  const iconOptions = image && { image, size: 10 };
  return window.LGraphBadge ? new window.LGraphBadge({ text, iconOptions, ...colors }) : { text };
}

/**
 * The mark with the price, if there is one. Nodes 2.0 makes attributes of what a badge has besides: the style sheet
 * puts it into the title, where ComfyUI has its own prices, and knows by it which outputs are to be small.
 * @param {Comfy.Node} node
 * @param {ReturnType<typeof priceLabel>} label
 */
function priceBadge(node, label) {
  const text = label ? t(label.key, label.values) : NO_TEXT;
  const badge = makeBadge(text, label?.key === "price.free" ? FREE_COLORS : PRICE_COLORS, mark ?? undefined);
  const quiet = node.outputs.flatMap(({ name }, at) => (QUIET_OUTPUTS.includes(name) ? [at] : []));
  const width = [...text].reduce((sum, letter) => sum + (letter > "\u2000" ? 2 : 1), 0);
  return Object.assign(badge, { class: "sf-price", "data-width": Math.ceil(width / 6), "data-quiet": quiet.join(" ") });
}

async function loadMark() {
  const image = new Image();
  image.src = new URL("../icon.svg", import.meta.url).href;
  await image.decode().then(
    () => (mark = image),
    (error) => console.warn("SiliconFlow: no mark for the nodes.", error), // a canvas does not draw a broken image
  );
}

/**
 * Draws the outputs that few connect small on the classic canvas.
 * @param {Comfy.Node} node
 */
function drawQuietly(node) {
  for (const output of /** @type {Comfy.Output[]} */ (node.outputs)) {
    const { draw } = output;
    if (!QUIET_OUTPUTS.includes(output.name) || Object.hasOwn(output, "draw")) continue;
    output.draw = function (context, options) {
      context.save();
      context.globalAlpha *= QUIET_OPACITY;
      context.font = context.font.replace(/\d+px/, "10px");
      draw.call(this, context, options);
      context.restore();
    };
  }
}

/**
 * Makes the page look again: Nodes 2.0 sees what changed in a store of its own, and not what is beside it.
 * @param {Comfy.Node} node
 */
function redraw(node) {
  const model = modelWidget(node);
  if (isVue() && model) {
    const { label } = model;
    model.label = `${label ?? model.name} `; // for the badge, which reads it
    model.label = label;
    setValue(node, model, model.value); // pages of 2025 listen to this alone
  }
  node.setDirtyCanvas?.(true, true);
}

/**
 * Sets a value as the user would, but for what this script does when the user changes one.
 * @param {Comfy.Node} node
 * @param {Comfy.Widget} widget
 * @param {unknown} value
 * @param {Comfy.Node} [owner] the subgraph that the widget is on
 */
function setValue(node, widget, value, owner = node) {
  const state = states.get(node);
  if (!state) return;
  const before = state.isChanging;
  state.isChanging = true;
  try {
    widget.value = /** @type {Comfy.Widget["value"]} */ (value);
    widget.callback?.(value, app.canvas, owner);
  } finally {
    state.isChanging = before;
  }
}

/**
 * What decides: the node's entry in the catalogue, its model if known, its values, and what other nodes decide.
 * Null while there is no catalogue.
 * @param {Comfy.Node} node
 */
function read(node) {
  const latest = catalogue.current();
  const entry = latest?.nodes[node.comfyClass ?? ""];
  if (!latest || !entry) return null;
  /** @type {Values} */
  const values = Object.fromEntries(widgetsOf(node).map((widget) => [widget.name, widget.value]));
  const linked = new Set(
    node.inputs.flatMap((input) => (input.widget && input.link != null ? [input.widget.name] : [])),
  );
  const outer = outerOf(node);
  for (const [name, { value }] of outer) {
    values[name] = value;
    linked.delete(name);
  }
  return { catalogue: latest, entry, model: modelOf(entry, values, linked), values, linked, outer };
}

/** @param {Comfy.Node} node */
function memoryOf(node) {
  return /** @type {Memory} */ (node.properties?.[MEMORY_PROPERTY] ?? {});
}

/**
 * @param {Comfy.Node} node
 * @param {Memory} memory
 */
function remember(node, memory) {
  if (Object.keys(memory).length) node.properties = { ...node.properties, [MEMORY_PROPERTY]: memory };
  else if (node.properties) delete node.properties[MEMORY_PROPERTY];
}

/**
 * Every node of ours in the workflow, those in subgraphs too, with its state.
 * @returns {[Comfy.Node, State][]}
 */
function allNodes() {
  return graphNodes().flatMap((node) => {
    const state = states.get(node);
    return state ? [/** @type {[Comfy.Node, State]} */ ([node, state])] : [];
  });
}
