import assert from "node:assert/strict";
import { test } from "node:test";
import * as jobs from "../../web/js/logic/jobs.js";

const job = (id, at, more = {}) => ({ id, at, state: "running", pictures: [], ...more });
const ids = (list) => list.map((each) => each.id);

test("a new job comes first, and a job heard of again stays where it is", () => {
  const list = jobs.withJob(jobs.withJob([], job("a", 1)), job("b", 2));
  assert.deepEqual(ids(list), ["b", "a"]);
  const changed = jobs.withJob(list, job("a", 1, { state: "done" }));
  assert.deepEqual(ids(changed), ["b", "a"]);
  assert.equal(changed[1].state, "done");
});

test("a list is never changed in place", () => {
  const list = [job("a", 1)];
  jobs.withJob(list, job("b", 2));
  assert.deepEqual(ids(list), ["a"]);
});

test("a job that a search does not take, or no longer, is not on its list", () => {
  const search = { words: "KITE red", states: "running,waiting", tasks: "" };
  const list = jobs.withJob([], job("a", 1, { prompt: "a red kite", model: "m" }), search);
  assert.deepEqual(ids(list), ["a"]);
  assert.deepEqual(ids(jobs.withJob(list, job("b", 2, { prompt: "a kite", model: "m" }), search)), ["a"]);
  assert.deepEqual(ids(jobs.withJob(list, job("a", 1, { prompt: "a red kite", state: "done" }), search)), []);
});

test("a search looks at the model and the task too", () => {
  const any = { words: "", states: "", tasks: "" };
  const chat = job("a", 1, { model: "Qwen/Qwen3", task: "chat" });
  const taken = [{}, { words: "qwen" }, { tasks: "image,chat" }, { tasks: "chatter" }, { words: "kite" }];
  assert.deepEqual(
    taken.map((search) => jobs.matches(chat, { ...any, ...search })),
    [true, true, true, false, false],
  );
});

test("each day's jobs stand below the day", () => {
  const noon = new Date(2026, 10, 20, 12).getTime() / 1000;
  const rows = jobs.rowsOf([job("a", noon), job("b", noon - 60), job("c", noon - 86400)]);
  assert.deepEqual(
    rows.map((row) => row.job?.id ?? new Date(row.day * 1000).getDate()),
    [20, "a", "b", 19, "c"],
  );
  assert.deepEqual(rows.map((row) => new Date(row.day * 1000).getDate()), [20, 20, 20, 19, 19]);
});

test("a question leaves the list when its node runs or asks again, and never counts as a result", () => {
  const asked = (id, at, node, more) => job(id, at, { state: "asked", node, node_type: "A", prompt: id, ...more });
  const done = (id, at, node, node_type = "A") => job(id, at, { state: "done", node, node_type });
  const shown = (list) => jobs.rowsOf(list).flatMap((row) => (row.job ? [row.key] : []));
  assert.deepEqual(shown([asked("c", 3, "1"), asked("b", 2, "1"), asked("a", 1, "1")]), ["c"]);
  assert.deepEqual(shown([done("c", 3, "1"), asked("b", 2, "1"), done("a", 1, "1")]), ["c", "a"]);
  assert.deepEqual(shown([done("c", 3, "1", "B"), asked("b", 2, "1"), asked("a", 1, "2")]), ["c", "b", "a"]);
  const elsewhere = asked("b", 2, "1", { workflow: "w2" });
  assert.deepEqual(shown([asked("c", 3, "1", { workflow: "w1" }), elsewhere, asked("a", 1, "1", { workflow: "w1" })]), ["c", "b"]);
  assert.equal(jobs.countOf([done("c", 3, "1"), asked("b", 2, "1"), asked("a", 1, "2")]), 1);
});

test("failures that say the same one after the other are one line, until it is opened", () => {
  const noon = new Date(2026, 10, 20, 12).getTime() / 1000;
  const failed = (id, at, prompt = "A kite") => job(id, at, { state: "failed", prompt, reason: { en: "No" } });
  const list = [
    ...[failed("a", noon), failed("b", noon - 1), failed("c", noon - 2)],
    ...[failed("d", noon - 3, "A boat"), job("e", noon - 4), job("f", noon - 5), failed("g", noon - 86400, "A boat")],
  ];
  const shown = (opened) => jobs.rowsOf(list, opened).flatMap((row) => (row.job ? [`${row.key}${row.times}`] : []));
  assert.deepEqual(shown(new Set()), ["a3", "d1", "e1", "f1", "g1"]);
  assert.deepEqual(shown(new Set(["a"])), ["a1", "b2", "d1", "e1", "f1", "g1"]);
});

test("what an event told while the list was fetched is not undone by the older response", () => {
  const heard = [job("a", 1, { state: "done" }), job("gone", 0)];
  const list = jobs.withResponse(heard, [job("a", 1), job("b", 2)], new Set(["a"]));
  assert.deepEqual(ids(list), ["b", "a", "gone"]);
  assert.equal(list[1].state, "done");
  assert.deepEqual(ids(jobs.withResponse([], [job("ended", 1), job("b", 2)], new Set(["ended"]))), ["b"]);
});

test("results are counted, and neither failures nor what is under way", () => {
  const states = ["waiting", "running", "done", "reused", "failed", "asked", "cancelled"];
  assert.equal(jobs.countOf(states.map((state) => job(state, 1, { state }))), 2);
});

test("a job is under way while it runs or waits", () => {
  const states = ["waiting", "running", "done", "reused", "failed", "cancelled"];
  assert.deepEqual(
    states.filter((state) => jobs.isUnderWay(job("a", 1, { state }))),
    ["waiting", "running"],
  );
});

test("seconds count up while a job is under way and stand still afterwards", () => {
  assert.equal(jobs.secondsOf(job("a", 100), 104.5), 4.5);
  assert.equal(jobs.secondsOf(job("a", 100), 99), 0);
  assert.equal(jobs.secondsOf(job("a", 100, { state: "done", seconds: 3.2 }), 500), 3.2);
});

test("a job that failed before anything was sent took no time", () => {
  const failed = (seconds, state = "failed") => job("a", 100, { state, seconds });
  assert.equal(jobs.secondsOf(failed(0.01), 500), null);
  assert.equal(jobs.secondsOf(failed(0.3), 500), 0.3);
  assert.equal(jobs.secondsOf(failed(0.3, "asked"), 500), null);
  assert.equal(jobs.secondsOf(failed(0.01, "reused"), 500), 0.01);
});

test("a job that waits for the limit counts down to the moment that it may go on", () => {
  const waiting = job("a", 100, { state: "waiting", waits_until: 160 });
  assert.deepEqual(jobs.stateText(waiting, 135.2), ["state.waiting_for", { countdown: "0:25" }]);
  assert.deepEqual(jobs.stateText(waiting, 200), ["state.waiting_for", { countdown: "0:00" }]);
});

test("a wait whose end nobody knows has no countdown", () => {
  assert.deepEqual(jobs.stateText(job("a", 1, { state: "waiting", waits_until: null }), 5), ["state.waiting", {}]);
});

test("a run that only asked is one line, as a failure is", () => {
  assert.equal(jobs.hasFailed(job("a", 1, { state: "asked" })), true);
});

test("only images that are still stored can be put on the canvas", () => {
  const pictures = [
    { place: 0, is_here: true },
    { place: 1, is_here: false },
  ];
  assert.deepEqual(jobs.storedImages(job("a", 1, { pictures })), [pictures[0]]);
});

test("arrow keys stop at the ends of the list, and other keys do nothing", () => {
  assert.equal(jobs.nextIndex("ArrowDown", 1, 3), 2);
  assert.equal(jobs.nextIndex("ArrowDown", 2, 3), 2);
  assert.equal(jobs.nextIndex("ArrowUp", 0, 3), 0);
  assert.equal(jobs.nextIndex("End", 0, 3), 2);
  assert.equal(jobs.nextIndex("Home", 2, 3), 0);
  assert.equal(jobs.nextIndex("Enter", 0, 3), null);
  assert.equal(jobs.nextIndex("ArrowDown", -1, 0), null);
});
