import assert from "node:assert/strict";
import { register } from "node:module";
import { before, test } from "node:test";

import { rejectionsIn, ReportedNodes } from "../../web/js/logic/failures.js";
import { isOwn } from "../../web/js/logic/own_nodes.js";
import { QueuedPrompts } from "../../web/js/logic/prompts.js";

/** The ids of another pack's nodes, all of which begin as ours do. */
const RIVALS = ["Flux2Pro", "Flux2Flex", "QwenImage", "ZImage", "Flux1Schnell", "Flux1Dev", "Flux11Pro", "Flux11ProUltra"]
  .concat("Flux1Kontext", "Flux1KontextDev", "Node")
  .map((name) => `SiliconFlow${name}`);

/** Stands in for ComfyUI's scripts, which the page's own are beside when they are served. */
const COMFYUI = `
  const extensions = [];
  const target = new EventTarget();
  export const app = { extensions, registerExtension: (each) => extensions.push(each), ui: {} };
  export const api = Object.assign(target, { dispatchCustomEvent: (...event) => app.dispatched.push(event) });`;
const HOOKS = `
  const comfyui = "data:text/javascript," + encodeURIComponent(${JSON.stringify(COMFYUI)});
  export const resolve = (name, context, next) =>
    name.includes("/scripts/") ? { url: comfyui, shortCircuit: true } : next(name, context);`;

const RUNS = ["widgets", "status", "edit"];
let app;
let api;

before(async () => {
  globalThis.document = { querySelector: () => null };
  globalThis.window = globalThis;
  globalThis.CSSStyleSheet = class {
    replaceSync() {}
  };
  register(`data:text/javascript,${encodeURIComponent(HOOKS)}`);
  for (const name of RUNS) await import(`../../web/js/${name}.js`);
  ({ app, api } = await import("../../../scripts/app.js"));
});

const nodeOf = (comfyClass) => {
  const widgets = ["model", "prompt"].map((name) => ({ name, value: "", options: { values: [] } }));
  const inputs = [{ name: "image", type: "IMAGE", link: null }];
  return { comfyClass, type: comfyClass, widgets, inputs, outputs: [{ name: "image", type: "IMAGE" }], size: [1, 1] };
};

test("a node of another pack is left as it is, whatever its id begins with", () => {
  globalThis.LiteGraph = { vueNodesMode: true };
  const created = app.extensions.filter(({ nodeCreated }) => nodeCreated);
  assert.ok(created.length >= RUNS.length);
  for (const id of RIVALS) {
    const node = nodeOf(id);
    for (const extension of created) extension.nodeCreated(node);
    assert.deepEqual(node, nodeOf(id));
  }
});

test("what its run shows goes on to ComfyUI", () => {
  app.dispatched = [];
  app.graph = { getNodeById: () => nodeOf(RIVALS[0]) };
  app.extensionManager = {};
  const extension = app.extensions.find(({ name }) => name === "SiliconFlow.Status");
  extension.init();
  api.dispatchCustomEvent("progress_text", { nodeId: 1, text: "half" });
  api.dispatchCustomEvent("b_preview_with_metadata", { displayNodeId: 1, blob: {} });
  assert.deepEqual(app.dispatched.map(([type]) => type), ["progress_text", "b_preview_with_metadata"]);
});

test("its failures and its refused inputs are no cards of ours", () => {
  for (const id of RIVALS) {
    assert.equal(isOwn(id), false);
    const reported = new ReportedNodes();
    reported.add({ kind: "RateLimited", node: "1" });
    assert.equal(reported.take({ node_id: 1, node_type: id }), false);
    const errors = [{ type: "custom_validation_failed", message: "", details: "prompt - empty" }];
    assert.deepEqual(rejectionsIn({ 1: { class_type: id, errors } }), []);
    const prompts = new QueuedPrompts();
    prompts.add("p", { 1: { class_type: id } }, { graph: "a", path: null });
    assert.equal(prompts.isElsewhere("p", 1, { graph: "b", path: null, paths: [] }), false);
  }
});
