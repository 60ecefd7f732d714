import assert from "node:assert/strict";
import { test } from "node:test";
import {
  NO_FAILURES,
  ReportedNodes,
  chargedKey,
  isAbout,
  isOf,
  messageLines,
  rejectionsIn,
  remediesOf,
  visibleCards,
  withFailure,
  withQuestion,
  withTimes,
  withoutFailure,
} from "../../web/js/logic/failures.js";

const failure = (kind, more = {}) => ({
  node: "1",
  kind,
  model: "m",
  trace_id: "t1",
  charged: false,
  message: { en: `${kind}\nDo this.` },
  ...more,
});
const kinds = (state) => state.shown.map((each) => each.kind);

test("an event that is heard twice is one failure", () => {
  const once = withFailure(NO_FAILURES, failure("BadRequest"), 10);
  assert.equal(withFailure(once, failure("BadRequest"), 10.5), once);
});

test("the same failure of another request is counted, not stacked", () => {
  const first = withFailure(NO_FAILURES, failure("InvalidKey"), 10);
  const second = withFailure(first, failure("InvalidKey", { node: "2", trace_id: "t2" }), 10.1);
  assert.equal(second.shown.length, 1);
  assert.equal(second.shown[0].count, 2);
  assert.equal(second.shown[0].trace_id, "t2");
});

test("the same failure of the same node, later, is a second one", () => {
  const later = withFailure(withFailure(NO_FAILURES, failure("BadRequest"), 10), failure("BadRequest"), 60);
  assert.equal(later.shown[0].count, 2);
});

test("three are shown, the newest first, and the others are counted", () => {
  const names = ["A", "B", "C", "D", "E"];
  const state = names.reduce((before, name, at) => withFailure(before, failure(name), at), NO_FAILURES);
  assert.deepEqual(kinds(state), ["E", "D", "C"]);
  assert.equal(state.hidden, 2);
});

test("when the last card is closed nothing is left, the count neither", () => {
  const names = ["A", "B", "C", "D"];
  let state = names.reduce((before, name, at) => withFailure(before, failure(name), at), NO_FAILURES);
  for (const shown of [...state.shown]) state = withoutFailure(state, shown);
  assert.equal(state, NO_FAILURES);
});

test("whether it was paid is never claimed where nobody can know", () => {
  assert.equal(chargedKey(false), "failure.not_charged");
  assert.equal(chargedKey(true), "failure.charged");
  assert.equal(chargedKey(null), "failure.maybe_charged");
  assert.equal(chargedKey(undefined), "failure.maybe_charged");
});

test("a wrong key is mended in the key dialog, a limit at its setting", () => {
  assert.deepEqual(remediesOf(failure("InvalidKey")), [["key"]]);
  assert.deepEqual(remediesOf(failure("GuardStopped", { remedies: { setting: "most_pictures" } })), [
    ["setting", "most_pictures"],
  ]);
  assert.deepEqual(remediesOf(failure("BadRequest")), []);
});

test("of several requests that failed the first error decides what may help", () => {
  assert.deepEqual(remediesOf(failure("PartialFailure", { cause: "InsufficientBalance" })), [["top_up"], ["again"]]);
});

test("what may have been paid is run again with its seed, and only so", () => {
  assert.deepEqual(remediesOf(failure("ServerError", { remedies: { seed: 0 } })), [["again", 0]]);
});

test("for a model of the other site its key is offered, and a model of this site first", () => {
  const remedies = { site: "com", models: ["A/one", "A/two"] };
  assert.deepEqual(remediesOf(failure("InvalidKey", { remedies })), [
    ["model", "A/one"],
    ["site", "com"],
  ]);
});

test("a failure is on the page while its workflow is open", () => {
  assert.equal(isOf({ workflow: "a" }, "b"), false);
  assert.equal(isOf({ workflow: "a" }, "a"), true);
  assert.equal(isOf({ workflow: "" }, "b"), true);
});

test("what the card shows elsewhere is not shown twice: title, model and trace id", () => {
  const message = "Refused (HTTP 400): bad size\nCorrect it.\nModel: m\nTrace ID: t1";
  assert.deepEqual(messageLines(message, "Refused", failure("BadRequest")), ["HTTP 400: bad size", "Correct it."]);
  assert.deepEqual(
    messageLines("请求被拒绝（HTTP 400）：尺寸\n模型：m\n追踪 ID：t1", "请求被拒绝", failure("BadRequest")),
    ["HTTP 400：尺寸"],
  );
  assert.deepEqual(messageLines("Refused\nCorrect it.", "Refused", failure("BadRequest")), ["Correct it."]);
});

test("a message whose beginning is not the title is shown whole", () => {
  assert.deepEqual(messageLines("width: too large", "A node's input is wrong", failure("InvalidInput")), [
    "width: too large",
  ]);
  assert.deepEqual(messageLines("Model: other", "", failure("Other", { model: "" })), ["Model: other"]);
});

const error = (node, type = "SiliconFlowTextToImage") => ({ node_id: node, node_type: type });

test("what ComfyUI says of a node whose failure has a card is not said twice, once", () => {
  const reported = new ReportedNodes();
  reported.add(failure("BadRequest", { node: 7 }));
  assert.equal(reported.take(error("7")), true);
  assert.equal(reported.take(error("7")), false);
});

test("of two of our nodes that fail ComfyUI names one: the other is not held against the next run", () => {
  const reported = new ReportedNodes();
  reported.add(failure("BadRequest", { node: "1" }));
  reported.add(failure("BadRequest", { node: "2" }));
  assert.equal(reported.take(error("1")), true);
  reported.clear();
  assert.equal(reported.take(error("2")), false);
});

test("an error of somebody else's node is read, whatever its number", () => {
  const reported = new ReportedNodes();
  reported.add(failure("BadRequest", { node: "3" }));
  assert.equal(reported.take(error("3", "KSampler")), false);
  assert.equal(reported.take({ node_id: "3" }), false);
});

test("a mistake of the pack keeps ComfyUI's own report", () => {
  const reported = new ReportedNodes();
  reported.add(failure("Unforeseen", { node: "4" }));
  assert.equal(reported.take(error("4")), false);
});

test("only a dialog that says this error is about it", () => {
  const said = { exception_message: "Refused (HTTP 400)\nCorrect it." };
  assert.equal(isAbout("Show report  Refused (HTTP 400) Correct it.", said), true);
  assert.equal(isAbout("No such file: model.safetensors", said), false);
  assert.equal(isAbout("anything", { exception_message: "" }), false);
});

const refused = (input, said) => ({
  type: "custom_validation_failed",
  message: "Custom validation failed for node",
  details: `${input} - ${said}`,
  extra_info: { input_name: input },
});
const inputs = ["model", "prompt", "custom_model"];

const empty = "prompt: must not be empty";
const chat = (...said) => ({ class_type: "SiliconFlowChat", errors: said.flatMap((each) => inputs.map((input) => refused(input, each))) });
const rejections = (...nodes) => nodes.map((node, at) => ({ node, said: empty, at }));

test("what our nodes refuse is a failure each, in their words, and never charged", () => {
  const found = rejectionsIn({ 1: chat(empty), 2: chat(empty) });
  assert.deepEqual(
    found.map(({ node, said, charged }) => [node, said, charged]),
    [
      ["1", empty, false],
      ["2", empty, false],
    ],
  );
});

test("a node that refuses two things, or says no input's name, says each once", () => {
  assert.equal(rejectionsIn({ 1: chat(empty, "broken") })[0].said, `${empty}\nbroken`);
});

test("what is not refused by our nodes gets no card", () => {
  const missing = { type: "required_input_missing", details: "image", extra_info: { input_name: "image" } };
  const theirs = { ...chat(empty), class_type: "Theirs" };
  assert.deepEqual(rejectionsIn({ 1: { class_type: "SiliconFlowChat", errors: [missing] }, 2: theirs }), []);
  assert.deepEqual(rejectionsIn(undefined), []);
});

test("a rejection that a batch repeats stays the same card; later, or in other words, it is a new one", () => {
  const [first] = withTimes([{ node: "1", said: empty }], [], 10);
  assert.equal(withTimes([{ node: "1", said: empty }], [first], 11)[0], first);
  assert.notEqual(withTimes([{ node: "1", said: empty }], [first], 60)[0], first);
  assert.equal(withTimes([{ node: "1", said: "broken" }], [first], 11)[0].said, "broken");
  assert.deepEqual(withTimes([], [first], 11), []);
});

test("rejections and failures share the room, the newest first, and each sort is counted by itself", () => {
  const state = ["A", "B"].reduce((before, name, at) => withFailure(before, failure(name), at), NO_FAILURES);
  const both = visibleCards(state, rejections("1", "2", "3").map((each) => ({ ...each, at: 5 })));
  assert.deepEqual([both.cards.map((each) => each.node), both.hiddenFailures, both.hiddenRejections], [["1", "2", "3"], 2, 0]);
  const later = visibleCards(withFailure(NO_FAILURES, failure("C"), 9), rejections("1", "2", "3"));
  assert.deepEqual([later.cards[0].kind, later.hiddenFailures, later.hiddenRejections], ["C", 0, 1]);
  assert.deepEqual(visibleCards(state, []), { cards: state.shown, hiddenFailures: 0, hiddenRejections: 0 });
});

test("prompts that wait for the same answer go ahead together; what is asked no more is forgotten", () => {
  const first = withQuestion(null, "p1", ["all", "one"]);
  assert.deepEqual(first, { prompts: ["p1"], contents: ["all", "one"], forgotten: [] });
  const second = withQuestion(first, "p2", ["all", "two"]);
  assert.deepEqual(second, { prompts: ["p1", "p2"], contents: ["all", "two"], forgotten: ["one"] });
  assert.deepEqual(withQuestion(second, "p2", ["all", "two"]).prompts, ["p1", "p2"]);
  const other = withQuestion(second, "p3", ["other"]);
  assert.deepEqual(other, { prompts: ["p3"], contents: ["other"], forgotten: ["all", "two"] });
});

test("what is missing in the background is sent again from the panel, not by another run", () => {
  assert.deepEqual(remediesOf({ kind: "ResultMissing" }), [["panel"]]);
});
