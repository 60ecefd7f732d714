/** What a run of a node costs with the node's current settings, in words that a badge has room for. Does nothing on import. */

/** @import { Catalogue, NodeEntry, OwnPrices, Price, PriceLabel, Source, Values } from "../types" */
/** @import { Linked } from "./widgets.js" */

const CURRENCIES = { cn: "CNY", com: "USD" };
/** Of what a batch of images may mean: that it is one request. */
const ONE_EDIT = "references of one edit";
const SIGNS = { CNY: "¥", USD: "$" };
const RATES = /** @type {const} */ (["image", "video", "kilobyte", "input", "output", "input_images"]);

/**
 * 0.3, "CNY" -> "¥0.30"; digits beyond the second stay, for some prices have them.
 * @param {number} amount
 * @param {"CNY" | "USD"} currency
 */
export function formatPrice(amount, currency) {
  const [whole, cents = ""] = String(Number(amount.toFixed(6))).split(".");
  return `${SIGNS[currency]}${whole}.${cents.padEnd(2, "0")}`;
}

/**
 * How many images a node brings, as far as the graph says; else null. `prompt_costs.py` counts them
 * the same way, but those that are repeated once where that is what they cost.
 * @param {Source | null} source
 * @param {Pick<Catalogue, "batches" | "nodes">} catalogue
 * @param {Set<Source["id"]>} passed
 * @returns {number | null}
 */
export function imagesOf(source, catalogue, passed = new Set()) {
  if (!source || passed.has(source.id)) return null;
  const { type, value } = source;
  const { batches } = catalogue;
  const further = new Set([...passed, source.id]);
  /** @param {string | undefined} name */
  const linked = (name) => (name === undefined ? null : imagesOf(source.from(name), catalogue, further));
  const own = catalogue.nodes[type];
  if (own?.task.includes("image")) {
    return product(framesOf(source, own.pictures, catalogue, further), value("batch_size") ?? null);
  }
  if (type in batches.same) return linked(batches.same[type]);
  const prefix = batches.sum[type];
  if (prefix) return sum(source.links.filter((name) => name.startsWith(prefix)).map(linked));
  if (type in batches.fixed) return batches.fixed[type] ?? null;
  const kind = /** @type {const} */ (["counted", "repeated", "cut"]).find((each) => type in batches[each]);
  const number = kind && value(/** @type {string} */ (batches[kind][type]));
  if (kind === "counted") return product(1, number);
  const images = linked(source.links[0]);
  return kind === "cut" && images !== null && typeof number === "number"
    ? Math.min(images, number)
    : product(images, number);
}

/**
 * How many frames a node is given at its inputs for images: each is a request, and so is each mask of one image. One,
 * if nothing is linked.
 * @param {Source} source
 * @param {string[]} names
 * @param {Pick<Catalogue, "batches" | "nodes">} catalogue
 * @param {Set<Source["id"]>} [passed]
 */
export function framesOf(source, names, catalogue, passed = new Set()) {
  if (source.value("batch_means") === ONE_EDIT) return 1;
  const frames = names
    .filter((name) => source.links.includes(name))
    .map((name) => imagesOf(source.from(name), catalogue, passed));
  const masks = source.links.includes("mask") ? imagesOf(source.from("mask"), catalogue, passed) : null;
  return frames.includes(null) ? null : Math.max(masks ?? 1, 1, .../** @type {number[]} */ (frames));
}

/** @param {(number | null)[]} counts */
const sum = (counts) => counts.reduce((total, count) => (total === null || count === null ? null : total + count), 0);

/**
 * @param {number | null} images
 * @param {unknown} times
 */
const product = (images, times) => (images === null || typeof times !== "number" ? null : images * times);

/**
 * The key and the values of a badge's text; null where the page cannot know the model, or there is none.
 * @param {Pick<Catalogue, "site">} catalogue
 * @param {Pick<NodeEntry, "models" | "inputs">} node
 * @param {Values} values
 * @param {Linked} linked
 * @param {OwnPrices} own the user's own prices, by model
 * @param {number | null} frames how many images it is given; null if nobody knows
 * @returns {PriceLabel | null}
 */
export function priceLabel(catalogue, node, values, linked, own, frames = 1) {
  if (!node.models.length || linked.has("model") || linked.has("custom_model")) return null;
  const id = String(values.custom_model ?? "").trim() || String(values.model ?? "");
  const currency = /** @type {"CNY" | "USD"} */ (CURRENCIES[catalogue.site]);
  const rates = ratesOf(own[id], node.models.find((model) => model.id === id)?.price ?? null, currency);
  const known = RATES.filter((name) => rates[name] !== undefined);
  if (!known.length) return { key: "price.unknown", values: {} };
  if (known.every((name) => rates[name] === 0)) return { key: "price.free", values: {} };
  /** @param {number | undefined} amount */
  const money = (amount) => formatPrice(amount ?? 0, currency);
  const each = rates.image ?? rates.video;
  if (each === undefined) {
    if (rates.kilobyte !== undefined) return { key: "price.bytes", values: { price: money(rates.kilobyte) } };
    if (!rates.output) return { key: "price.input", values: { price: money(rates.input) } };
    return { key: "price.tokens", values: { input: money(rates.input), output: money(rates.output) } };
  }
  const count = linked.has("batch_size") || frames === null ? 1 : Number(values.batch_size ?? 1) * frames;
  const price = money(each);
  if (count === 1) return { key: "price.each", values: { price } };
  return { key: "price.total", values: { count, price, total: money(each * count) } };
}

/**
 * @param {number | Partial<Price> | undefined} own
 * @param {Price | null} listed
 * @param {string} currency
 * @returns {Partial<Price>}
 */
function ratesOf(own, listed, currency) {
  if (own !== undefined) return typeof own === "number" ? { image: own } : own;
  return listed?.currency === currency ? listed : {};
}
