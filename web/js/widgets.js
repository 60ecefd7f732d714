/**
 * Nodes show what the chosen model takes.
 *
 * Nothing here runs per frame: work is done when a model, a size or a link changes, when a node is
 * made or loaded, and when the catalogue changes. Hidden widgets are saved and sent as ever.
 */

import { app } from "/scripts/app.js";
import * as catalogue from "./catalogue.js";
import { chosen, markOf, modelOf, ruleOf, settle, unusedPictures } from "./logic/widgets.js";
import { isVue } from "./page.js";
import { WIDGET_TEXTS } from "./widget_texts.js";

const KEPT = "siliconflow_kept"; // a property of the node, so that it is saved, copied and undone with it
const LEADING = ["model", "custom_model"];
const DECIDING = new Set(["model", "custom_model", "image_size"]);
const LONGEST_WAIT = 3000;
const READABLE_HEIGHT = 110;
const BADGE_COLOURS = { fgColor: "#ffd9a0", bgColor: "#5a3a10" };

/** By node: what its definition says of its widgets and pictures, its badge, and whether we are changing it. */
const followed = new WeakMap();

app.registerExtension({
  name: "SiliconFlow.Widgets",
  async init() {
    // Before the first workflow is opened: else its nodes would grow for widgets that are hidden later.
    await Promise.race([catalogue.load(), new Promise((resolve) => setTimeout(resolve, LONGEST_WAIT))]);
    catalogue.onChange(() => allNodes().forEach(showAnew));
    catalogue.watch();
  },
  nodeCreated(node) {
    if (!isOurs(node)) return;
    followed.set(node, declarationOf(node));
    watchWidgets(node);
    watchNode(node);
    addBadge(node);
    showAnew(node, () => {
      keepReadable(node);
      show(node);
    });
  },
  refreshComboInNodes() {
    // ComfyUI has just put every choice of the definitions back.
    for (const node of allNodes()) {
      for (const [widget, declared] of followed.get(node).widgets) declared.values = widget.options.values;
      showAnew(node);
    }
  },
});

function isOurs(node) {
  const type = String(node.comfyClass ?? "");
  return type.startsWith("SiliconFlow") && Boolean(node.widgets?.some((widget) => widget.name === "model"));
}

function declarationOf(node) {
  return {
    widgets: new Map(node.widgets.map((widget) => [widget, limitsIn(widget.options ?? {})])),
    labels: new Map((node.inputs ?? []).map((input) => [input.name, input.localized_name])),
    badge: null,
    isChanging: false,
  };
}

function limitsIn({ values, min, max, step, step2 }) {
  return { values, min, max, step, step2 };
}

function watchWidgets(node) {
  for (const widget of node.widgets) {
    const told = widget.callback;
    widget.callback = function (...rest) {
      const answer = told?.apply(this, rest);
      changed(node, widget.name);
      return answer;
    };
  }
}

function watchNode(node) {
  chain(node, "onConfigure", () => show(node));
  chain(node, "onConnectionsChange", (_type, _slot, _isConnected, _link, slot) => relinked(node, slot));
}

/**
 * The first text of a node is what it is about: it keeps room for a few lines when a picture or the state of the
 * run takes the room below, and the node grows instead. The classic canvas would leave it two.
 */
function keepReadable(node) {
  const text = node.widgets.find((widget) => widget.element?.tagName === "TEXTAREA");
  if (text?.options) text.options.getMinHeight ??= () => (isVue() ? undefined : READABLE_HEIGHT);
}

function chain(node, name, then) {
  const before = node[name];
  node[name] = function (...rest) {
    const answer = before?.apply(this, rest);
    then(...rest);
    return answer;
  };
}

/** The user, or a control of the page, changed a widget. */
function changed(node, name) {
  if (followed.get(node).isChanging || !isKnown(node)) return;
  keep(node, chosen(keptOf(node), name));
  if (DECIDING.has(name)) follow(node);
}

/** A link came or went; while a workflow is loaded, values are never touched. */
function relinked(node, slot) {
  if (!isKnown(node) || !slot?.widget) return;
  if (app.configuringGraph || !DECIDING.has(slot.widget.name)) showAnew(node);
  else follow(node);
}

/** Brings the values to what the model offers, and shows it. */
function follow(node) {
  const { entry, model, values, linked } = read(node);
  if (LEADING.some((name) => linked.has(name))) return showAnew(node); // nobody knows which model it will be
  const settled = settle(catalogue.current(), entry, model, values, keptOf(node));
  keep(node, settled.kept);
  whileChanging(node, () => {
    for (const widget of node.widgets) {
      if (widget.name in values && values[widget.name] !== settled.values[widget.name]) {
        setValue(node, widget, settled.values[widget.name]);
      }
    }
  });
  showAnew(node);
}

/** Shows what the model takes, in the room that it needs; what the user made larger stays larger. */
function showAnew(node, change = () => show(node)) {
  const before = heightOf(node);
  change();
  const more = heightOf(node) - before;
  if (more && !(node.graph && measuresAlone(node))) node.setSize([node.size[0], node.size[1] + more]);
}

/** Shows what the model takes. Changes no value and no size. */
function show(node) {
  if (!isKnown(node)) return;
  const { entry, model, values, linked } = read(node);
  const rules = new Map(entry.inputs.map((name) => [name, ruleOf(catalogue.current(), model, name, values)]));
  if (linked.has("image_size")) reveal(rules, model);
  rules.set("model", { shown: true, choices: entry.models.map(({ id }) => id) });
  for (const [widget, declared] of followed.get(node).widgets) {
    const rule = rules.get(widget.name);
    if (rule) put(widget, linked.has(widget.name) ? { ...rule, shown: true } : rule, declared);
  }
  labelPictures(node, new Set(unusedPictures(entry, model)));
  mark(node, markOf(catalogue.current(), entry, values, linked));
  tellPage(node);
}

/** Another node decides the size: it may well be "custom". */
function reveal(rules, model) {
  for (const side of ["width", "height"]) {
    if (rules.has(side)) rules.set(side, ruleOf(catalogue.current(), model, side, { image_size: "custom" }));
  }
}

function put(widget, rule, declared) {
  const limits = rule.choices || rule.maximum !== undefined ? limitsOf(rule, declared) : declared;
  const shown = { hidden: !rule.shown, ...limits };
  widget.hidden = shown.hidden;
  for (const options of optionsOf(widget)) {
    for (const [name, value] of Object.entries(shown)) {
      if (options[name] !== value && !(value === undefined && !(name in options))) options[name] = value;
    }
  }
}

function limitsOf({ choices, minimum, maximum, step }, declared) {
  if (choices) return { ...declared, values: choices };
  const steps = step ? { step: step * 10, step2: step } : {}; // "step" is ten times the step, by tradition
  return { ...declared, min: minimum, max: maximum, ...steps };
}

/** Newer pages keep a widget's options in a store of theirs, which may hold an older object than the widget. */
function optionsOf(widget) {
  return new Set([widget._state?.options, widget.options].filter(Boolean));
}

/** Says at an input that the model has no place for its picture. What is connected stays connected. */
function labelPictures(node, unused) {
  const { labels } = followed.get(node);
  const say = words().unused;
  node.inputs.forEach((input, at) => {
    if (input.widget || !labels.has(input.name)) return;
    const plain = labels.get(input.name);
    relabel(node, input, at, unused.has(input.name) ? say(plain ?? input.name) : plain);
  });
}

function relabel(node, input, at, label) {
  if (input.localized_name === label) return;
  input.localized_name = label;
  // Nodes 2.0 redraws a slot only when it is another one.
  if (isVue()) node.inputs.splice(at, 1, new input.constructor(input, node));
}

function mark(node, found) {
  const state = followed.get(node);
  const text = textOf(found, node);
  if (state.badge.text !== text) state.badge = badgeOf(text);
}

function textOf(found, node) {
  if (!found) return "";
  const text = words()[found];
  return typeof text === "string" ? text : text[siteOf(node)];
}

function siteOf(node) {
  const { entry, values } = read(node);
  const id = String(values.custom_model || values.model);
  return entry.models.find((model) => model.id === id)?.site;
}

function addBadge(node) {
  const state = followed.get(node);
  state.badge = badgeOf("");
  if (!window.LGraphBadge || !node.badges) return;
  const model = modelWidget(node);
  // Reading the widget makes Nodes 2.0 ask again when it changes.
  node.badges.push(() => (model.value, model.label, state.badge));
}

function badgeOf(text) {
  return window.LGraphBadge ? new window.LGraphBadge({ text, ...BADGE_COLOURS }) : { text };
}

/** Makes the page look again: Nodes 2.0 sees what changed in its own store, and not what is beside it. */
function tellPage(node) {
  if (isVue()) {
    const model = modelWidget(node);
    const { label } = model;
    model.label = `${label ?? model.name} `; // for the badge, which reads it
    model.label = label;
    whileChanging(node, () => setValue(node, model, model.value)); // pages of 2025 listen to this alone
  }
  node.setDirtyCanvas?.(true, true);
}

const modelWidget = (node) => node.widgets.find((widget) => widget.name === "model");

function setValue(node, widget, value) {
  widget.value = value;
  widget.callback?.(value, app.canvas, node);
}

function whileChanging(node, work) {
  const state = followed.get(node);
  const before = state.isChanging;
  state.isChanging = true;
  try {
    work();
  } finally {
    state.isChanging = before;
  }
}

/** What decides: the node's entry in the catalogue, its model if known, its values, and what other nodes decide. */
function read(node) {
  const entry = catalogue.current().nodes[node.comfyClass];
  const values = Object.fromEntries(node.widgets.map((widget) => [widget.name, widget.value]));
  const linked = new Set(node.inputs.filter((input) => input.widget && input.link != null).map((input) => input.widget.name));
  return { entry, model: modelOf(entry, values, linked), values, linked };
}

function isKnown(node) {
  return Boolean(catalogue.current()?.nodes[node.comfyClass]);
}

function keptOf(node) {
  return node.properties?.[KEPT] ?? {};
}

function keep(node, kept) {
  if (Object.keys(kept).length) node.properties = { ...node.properties, [KEPT]: kept };
  else if (node.properties) delete node.properties[KEPT];
}

/** The least height; a collapsed node has none for its widgets, and so keeps its room. */
const heightOf = (node) => node.computeSize()[1];

/** The first Nodes 2.0 hear of no size that a node was given; to set it would only spoil their undo. */
const measuresAlone = (node) => isVue() && !("_state" in modelWidget(node));

function allNodes() {
  const found = [];
  const walk = (graph) => {
    for (const node of graph?._nodes ?? []) {
      if (followed.has(node)) found.push(node);
      if (node.subgraph) walk(node.subgraph);
    }
  };
  walk(app.rootGraph ?? app.graph);
  return found;
}

function words() {
  const locale = String(app.extensionManager?.setting?.get("Comfy.Locale") ?? navigator.language);
  return WIDGET_TEXTS[locale.toLowerCase().startsWith("zh") ? "zh" : "en"];
}
