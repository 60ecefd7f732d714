/** Workflows that wait for results in the background: their nodes say so, and what can be done stands above the jobs. */

/** @import { WaitingRun } from "./types" */

import { app } from "../../../scripts/app.js";
import { api } from "../../../scripts/api.js";
import { answerBackground, getBackground, giveUp, goOn, onEvent } from "./api.js";
import { MountedElements } from "./logic/mounted.js";
import { oldestOf } from "./logic/waiting.js";
import { openWorkflowId } from "./nodes.js";
import { confirmed, errorText, h, icon, localized, symbolButton, t, toast } from "./page.js";
import { isElsewhere } from "./prompts.js";
import { settings } from "./settings_store.js";
import { announce, showStatus } from "./status.js";

const PAUSE_MILLISECONDS = 100;
const ICONS = { waiting: "hourglass", stopped: "times-circle", lost: "question-circle", queued: "spinner pi-spin" };

/** @type {WaitingRun[]} */
let runs = [];
/** Server's clock minus the browser's, in seconds. */
let clockOffset = 0;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let due;
/** @type {ReturnType<typeof setInterval> | undefined} */
let clock;
/** The ids of those that wait no more: what is read later may be older, and their nodes show other things. */
const ended = new Set();
/** The lists above lists of jobs. @type {MountedElements<HTMLElement>} */
const lists = new MountedElements();

/** A list of what waits, hidden while nothing does. */
export function backgroundList() {
  const list = h("ul", { class: "sf-background", role: "list", "aria-label": t("background.title") });
  lists.add(list, list);
  draw(list);
  return list;
}

/** @param {{ ask?: boolean }} [how] */
async function refresh({ ask = false } = {}) {
  if ((await settings()).read_only) return;
  const received = await getBackground(ask);
  clockOffset = received.now - Date.now() / 1000;
  const before = new Map(runs.map((run) => [run.id, run.state]));
  runs = received.runs;
  for (const run of runs) {
    if (run.state === "stopped" && before.get(run.id) !== "stopped") showOnNodes(run, t("background.node_stopped"));
  }
  lists.forEach(draw);
  clearInterval(clock);
  if (runs.some((run) => run.state === "waiting")) clock = setInterval(tick, 1000);
  tick();
  if (received.ask.length) await askAbout(received.ask);
}

/** @param {string[]} ids of runs that waited when ComfyUI ended */
async function askAbout(ids) {
  const isFree = runs.every((run) => run.is_free || !ids.includes(run.id));
  const message = t(isFree ? "background.ask_free" : "background.ask", { n: ids.length });
  const isWished = await confirmed(t("background.ask_title"), message, "default");
  await act(() => answerBackground(isWished));
  if (!isWished) return;
  for (const id of ids) await act(() => goOn(id));
}

/** @param {HTMLElement} list */
function draw(list) {
  list.hidden = !runs.length;
  list.replaceChildren(...runs.map(row));
}

/** @param {WaitingRun} run */
function row(run) {
  return h(
    "li",
    { "data-run": run.id },
    icon(ICONS[run.state]),
    h("div", {}, h("strong", { title: run.prompt }, run.prompt || t("app.name")), h("span", { class: "sf-muted", title: stateOf(run) }, stateOf(run))),
    run.state !== "queued" && symbolButton("play", t("background.go_on"), () => act(() => goOnNow(run))),
    run.state === "stopped" && run.is_missing && symbolButton("sync", t("background.send_again"), () => sendAgain(run)),
    symbolButton("times", t("background.give_up"), () => act(() => stopWaiting(run))),
  );
}

/**
 * One whose results are not there yet is soon on the list again, as if nothing had happened.
 * @param {WaitingRun} run
 */
async function goOnNow(run) {
  await goOn(run.id);
  if (run.state === "waiting") toast("info", t("app.name"), t("background.goes_on"));
}

/** @param {WaitingRun} run */
async function stopWaiting(run) {
  const { is_under_way } = await giveUp(run.id);
  ended.add(run.id);
  showOnNodes(run, t("background.node_given_up"));
  announce(t("background.node_given_up"));
  toast("success", t("app.name"), t(is_under_way ? "background.given_up" : "background.off_list"));
}

/** @param {WaitingRun} run */
async function sendAgain(run) {
  const isWished = await confirmed(t("background.send_again"), t("background.send_again_message"), "default");
  if (isWished) await act(() => goOn(run.id, true));
}

/** @param {() => Promise<unknown>} work */
async function act(work) {
  try {
    await work();
  } catch (error) {
    toast("error", t("app.name"), errorText(error));
  }
  await refresh();
}

/** @param {WaitingRun} run */
function stateOf(run) {
  if (run.state === "stopped") return t("background.stopped", { reason: localized(run.reason).split("\n")[0] });
  if (run.state === "lost" && run.is_free) return t("background.lost_free");
  return t(`background.${run.state}`, { seconds: secondsOf(run) });
}

/** @param {WaitingRun} run */
const secondsOf = ({ since }) =>
  `${Math.max(0, Math.floor(Date.now() / 1000 + clockOffset - since))} ${t("unit.seconds")}`;

/** Says how long each run has waited, in the lists, and on its nodes: on one of several runs how long the oldest has. */
function tick() {
  const waiting = runs.filter(({ id, state }) => state === "waiting" && !ended.has(id));
  const shown = waiting.map((run) => ({ ...run, nodes: run.nodes.filter((node) => !isElsewhere(run.id, node)) }));
  for (const { run, node, n } of oldestOf(shown)) {
    showOnNodes({ ...run, nodes: [node] }, t("background.node", { n, seconds: secondsOf(run) }));
  }
  for (const run of waiting) {
    lists.forEach((list) => {
      const words = list.querySelector(`[data-run="${CSS.escape(run.id)}"] span`);
      if (words) words.textContent = stateOf(run);
      words?.setAttribute("title", stateOf(run));
    });
  }
}

/**
 * Nodes of other workflows may have the same ids.
 * @param {WaitingRun} run
 * @param {string} text
 */
function showOnNodes(run, text) {
  if (!run.workflow || run.workflow !== openWorkflowId()) return;
  for (const node of run.nodes) if (!isElsewhere(run.id, node)) showStatus(node, text);
}

const refreshQuietly = () => void refresh().catch(console.warn);

app.registerExtension({
  name: "SiliconFlow.Background",
  setup() {
    onEvent("background", ({ id, state }) => {
      if (state !== "waiting") ended.add(id);
      clearTimeout(due);
      due = setTimeout(refreshQuietly, PAUSE_MILLISECONDS);
    });
    refresh({ ask: true }).catch(console.warn);
    api.addEventListener("reconnected", () => void refresh({ ask: true }).catch(console.warn));
  },
});
