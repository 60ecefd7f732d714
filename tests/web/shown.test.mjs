import assert from "node:assert/strict";
import test from "node:test";

import { MOST_IMAGES, MOST_NODES, ShownByNodes, indexAmong, lastOf } from "../../web/js/logic/shown.js";

const HOME = { graph: "g1", path: "a.json" };
const image = (place, call = 0, node = "3") => ({ url: `${node} ${call} ${place}`, call, place });

function kept() {
  const dropped = [];
  return { shown: new ShownByNodes((url) => dropped.push(url)), dropped };
}

test("images stand in the order of the batch, whenever they come", () => {
  const images = [];
  const arriving = [image(2), image(0), image(0, 1), image(1), image(3), image(1, 1)];
  for (const each of arriving) images.splice(indexAmong(images, each), 0, each);
  const order = ["3 0 0", "3 0 1", "3 0 2", "3 0 3", "3 1 0", "3 1 1"];
  assert.deepEqual(images.map(({ url }) => url), order);
});

test("a node shows its last prompt, in each workflow its own", () => {
  const { shown, dropped } = kept();
  shown.add(shown.of(HOME, "p1", "3"), image(0));
  shown.of({ ...HOME, path: "b.json" }, "p2", "3").text = "elsewhere";
  assert.equal(shown.of(HOME, "p1", "3").images.length, 1);
  assert.deepEqual(dropped, []);
  shown.of(HOME, "p3", "3").text = "new";
  assert.deepEqual(dropped, ["3 0 0"]);
  assert.deepEqual(shown.known.map(({ text, images }) => [text, images.length]), [["elsewhere", 0], ["new", 0]]);
});

test("what an unknown prompt showed comes back nowhere, and a closed workflow is forgotten", () => {
  const { shown, dropped } = kept();
  shown.add(shown.of(null, "p1", "3"), image(0));
  assert.deepEqual(shown.known, []);
  shown.add(shown.of(HOME, "p2", "4"), image(0, 0, "4"));
  shown.of({ ...HOME, path: "b.json" }, "p3", "4");
  shown.close("a.json", [HOME, { ...HOME, path: "b.json" }]);
  assert.deepEqual(shown.known.map(({ prompt }) => prompt), ["p3"]);
  assert.deepEqual(dropped, ["4 0 0"]);
});

test("a workflow that was saved under another path is forgotten with its tab, and not with one that took its path", () => {
  const { shown } = kept();
  const [saved, itsFormerPath] = [{ ...HOME, path: "c.json" }, { graph: "g2", path: "a.json" }];
  shown.of(HOME, "p1", "3").text = "kept";
  shown.close("a.json", [itsFormerPath, saved]);
  assert.equal(shown.known.length, 1);
  shown.close("c.json", [saved]);
  assert.equal(shown.known.length, 0);
});

test("what came before the answer that names the prompt is kept, too", () => {
  const { shown, dropped } = kept();
  shown.add(shown.of(null, "p1", "3"), image(0));
  shown.add(shown.of(HOME, "p1", "3"), image(1));
  assert.deepEqual(shown.known.map(({ images }) => images.length), [2]);
  assert.deepEqual(dropped, []);
});

test("of many images the last ones are kept, and of many nodes those that showed something last", () => {
  const { shown, dropped } = kept();
  const last = MOST_IMAGES + 1;
  for (let place = last; place >= 0; place--) shown.add(shown.of(HOME, "p1", "3"), image(place));
  assert.deepEqual(dropped.sort(), ["3 0 0", "3 0 1"]);
  assert.equal(lastOf(shown.known).dropped, 2);
  for (let node = 0; node < MOST_NODES; node++) shown.of(HOME, "p2", `n${node}`);
  assert.equal(shown.known.length, MOST_NODES);
  assert.equal(dropped.length, last + 1);
});

test("a subgraph shows the last images of its nodes, numbered after all that went before", () => {
  const node = (name, count, dropped) => ({ dropped, images: Array.from({ length: count }, (_, at) => image(at, 0, name)) });
  const { images, dropped } = lastOf([node("3", MOST_IMAGES - 1, 5), node("4", 3, 0)]);
  assert.deepEqual([images.length, images[0].url, images.at(-1).url], [MOST_IMAGES, "3 0 2", "4 0 2"]);
  assert.equal(dropped, 7);
});
