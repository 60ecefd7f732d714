import assert from "node:assert/strict";
import { test } from "node:test";

import { formatPrice, framesOf, priceLabel } from "../../web/js/logic/price.js";

const model = (id, rates) => ({ id, price: rates && { currency: "CNY", as_of: "2026-07-21", ...rates } });
const NODE = {
  inputs: ["model", "custom_model", "batch_size"],
  models: [
    model("draw", { image: 0.3 }),
    model("free", { image: 0 }),
    model("talk", { input: 8, output: 28 }),
    model("embed", { input: 0.07 }),
    model("speak", { kilobyte: 0.05 }),
    model("film", { video: 2 }),
    model("new", null),
  ],
};
const CN = { site: "cn" };
const NONE = new Set();

const label = (values, { site = CN, linked = NONE, own = {} } = {}) =>
  priceLabel(site, NODE, { model: "draw", custom_model: "", batch_size: 1, ...values }, linked, own);

test("a badge says the price as the model is paid", () => {
  assert.deepEqual(label({}), { key: "price.each", values: { price: "¥0.30" } });
  assert.deepEqual(label({ model: "free" }).key, "price.free");
  assert.deepEqual(label({ model: "new" }).key, "price.unknown");
  assert.deepEqual(label({ model: "talk" }).values, { input: "¥8.00", output: "¥28.00" });
  assert.deepEqual(label({ model: "embed" }), { key: "price.input", values: { price: "¥0.07" } });
  assert.deepEqual(label({ model: "speak" }), { key: "price.bytes", values: { price: "¥0.05" } });
});

test("a batch is multiplied", () => {
  assert.deepEqual(label({ batch_size: 4 }).values, { count: 4, price: "¥0.30", total: "¥1.20" });
  assert.equal(label({ batch_size: 4 }, { linked: new Set(["batch_size"]) }).key, "price.each");
});

test("each frame of a batch is a video, at the price of one", () => {
  const values = { model: "film", custom_model: "" };
  assert.deepEqual(priceLabel(CN, NODE, values, NONE, {}), { key: "price.each", values: { price: "¥2.00" } });
  const total = { count: 3, price: "¥2.00", total: "¥6.00" };
  assert.deepEqual(priceLabel(CN, NODE, values, NONE, {}, 3), { key: "price.total", values: total });
});

test("the price of the other site's currency is unknown", () => {
  assert.equal(label({}, { site: { site: "com" } }).key, "price.unknown");
});

test("a price of the user's own wins, for models that nobody lists as well", () => {
  assert.deepEqual(label({}, { own: { draw: 0.25 } }).values, { price: "¥0.25" });
  assert.deepEqual(label({ custom_model: "x" }, { own: { x: { input: 1, output: 2 } } }).key, "price.tokens");
});

test("a model that another node decides has no badge", () => {
  assert.equal(label({}, { linked: new Set(["model"]) }), null);
});

test("no digit of a price is lost", () => {
  assert.deepEqual([formatPrice(0.0014, "USD"), formatPrice(1.2000000000000002, "CNY")], ["$0.0014", "¥1.20"]);
});

const BATCHES = {
  fixed: { LoadImage: 1 },
  counted: { EmptyImage: "batch_size" },
  repeated: { RepeatImageBatch: "amount" },
  cut: { ImageFromBatch: "length" },
  same: { ImageScale: "image" },
  sum: { ImageBatch: "image", BatchImagesNode: "images." },
};
const KNOWN = { batches: BATCHES, nodes: { Edit: { task: "image-edit", pictures: ["image", "image2"] } } };
let lastId = 0;
const source = (type, values = {}, links = {}) => ({
  id: (lastId += 1),
  type,
  links: Object.keys(links),
  from: (name) => links[name] ?? null,
  value: (name) => (name in links ? undefined : values[name]),
});

test("the frames that a node is given are counted as far as the graph says", () => {
  const load = source("LoadImage");
  const many = source("RepeatImageBatch", { amount: 81 }, { image: load });
  const frames = (links) => framesOf(source("Edit", {}, links), ["image", "image2"], KNOWN);
  assert.equal(frames({}), 1);
  assert.equal(frames({ image: load }), 1);
  assert.equal(frames({ image: load, image2: many }), 81);
  assert.equal(frames({ image: source("ImageScale", {}, { image: many }) }), 81);
  assert.equal(frames({ image: source("ImageFromBatch", { length: 3 }, { image: many }) }), 3);
  assert.equal(frames({ image: source("Edit", { batch_size: 2 }, { image: many }) }), 162);
  assert.equal(frames({ image: source("EmptyImage", { batch_size: 6 }) }), 6);
});

test("the frames of images that are put into one batch are added up", () => {
  const frames = (link) => framesOf(source("Edit", {}, { image: link }), ["image"], KNOWN);
  const load = () => source("LoadImage");
  const three = source("EmptyImage", { batch_size: 3 });
  assert.equal(frames(source("ImageBatch", {}, { image1: load(), image2: load() })), 2);
  assert.equal(frames(source("BatchImagesNode", {}, { "images.image0": load(), "images.image1": three })), 4);
  const twice = load();
  assert.equal(frames(source("ImageBatch", {}, { image1: twice, image2: twice })), 2);
  assert.equal(frames(source("ImageBatch", {}, { image1: load(), image2: source("LoadVideo") })), null);
});

test("each mask of one image is a request, and one that nobody can count is one", () => {
  const load = source("LoadImage");
  const frames = (mask) => framesOf(source("Edit", {}, { image: load, mask }), ["image"], KNOWN);
  assert.equal(frames(source("EmptyImage", { batch_size: 5 })), 5);
  assert.equal(frames(source("Segments")), 1);
});

test("frames that another program or a loop decides are not guessed", () => {
  const frames = (link) => framesOf(source("Edit", {}, { image: link }), ["image"], KNOWN);
  assert.equal(frames(source("LoadVideo")), null);
  assert.equal(frames(null), null);
  assert.equal(frames(source("EmptyImage", {}, { batch_size: source("Other") })), null);
  const loop = source("ImageScale");
  loop.from = () => loop;
  assert.equal(frames(loop), null);
});

test("a badge counts frames, and says the price of each where they are not known", () => {
  const of = (frames) => priceLabel(CN, NODE, { model: "draw", batch_size: 2 }, NONE, {}, frames);
  assert.deepEqual(of(3), { key: "price.total", values: { count: 6, price: "¥0.30", total: "¥1.80" } });
  assert.deepEqual(of(null), { key: "price.each", values: { price: "¥0.30" } });
});

test("references of one edit are one request, however many they are", () => {
  const batch = source("EmptyImage", { batch_size: 3 });
  const edit = (means) => framesOf(source("Edit", { batch_means: means }, { image: batch }), ["image"], KNOWN);
  assert.deepEqual([edit("one edit each"), edit("references of one edit")], [3, 1]);
});
