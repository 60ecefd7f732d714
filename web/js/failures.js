/** What went wrong, at once and in full: a few cards in a corner, or the key dialog. */

import { app } from "/scripts/app.js";
import { api } from "/scripts/api.js";
import { listen } from "./api.js";
import { showJobs } from "./jobs.js";
import { openKeyDialog } from "./key_dialog.js";
import {
  NOTHING,
  Told,
  chargedKey,
  heardAt,
  isAbout,
  linesOf,
  onShow,
  refusalsIn,
  remedy,
  toldOnce,
  withFailure,
  without,
} from "./logic/failures.js";
import { shortModel } from "./logic/format.js";
import { button, copyButton, h, icon, language, openSettings, said, symbolButton, t } from "./page.js";

const HOST_DIALOG = '[aria-labelledby="global-execution-error"]';

let state = NOTHING;
/** What our nodes refused when a graph was last queued. A run that begins leaves it: it may be of that same graph. */
let refusals = [];
let region = null;
/** What ComfyUI need not say any more. */
const told = new Told();

function hear(failure) {
  told.add(failure);
  if (failure.kind === "MissingKey") return openKeyDialog("MissingKey");
  state = withFailure(state, failure, Date.now() / 1000);
  draw();
}

/** Queueing again takes away what was refused before. What a node says comes in one language. */
function hearRefusals(nodeErrors) {
  const before = refusals;
  const inUse = (text) => ({ [language()]: text });
  const found = refusalsIn(nodeErrors).map((each) => ({
    ...each,
    title: inUse(t("failure.refused")),
    message: inUse(each.said),
  }));
  refusals = heardAt(found, before, Date.now() / 1000);
  if (before.length || refusals.length) draw();
}

/** What stands in the region: the line below the cards, and the cards by what they show. */
const more = h("div", { class: "sf-more" });
let cards = new Map();

/** Only what is new is put in: a reader for the blind reads that aloud, and nothing a second time. */
function draw() {
  const before = cards;
  const { shown, hidden, refused } = onShow(state, refusals);
  cards = new Map(shown.map((failure) => [failure, before.get(failure) ?? card(failure)]));
  for (const [failure, element] of before) if (!cards.has(failure)) element.remove();
  [...cards.values()].forEach((element, at) => element.isConnected || region.insertBefore(element, region.children[at]));
  more.hidden = !hidden && !refused;
  more.replaceChildren(...moreRefused(refused), ...moreFailed(hidden));
}

const moreRefused = (n) => (n ? [h("span", {}, t("failure.more_refused", { n }))] : []);

const moreFailed = (n) =>
  n ? [h("span", {}, t("failure.more", { n })), button(t("failure.show_jobs"), showJobs, { kind: "text" })] : [];

/** There from the beginning, and empty: what is put into a region that just came is not read aloud. */
function makeRegion() {
  const name = { role: "region", "aria-label": t("failure.region") };
  region = document.body.appendChild(h("div", { class: "sf-failures", ...name }, more));
  draw();
}

function card(failure) {
  const message = said(failure.message);
  const title = said(failure.title, message.split("\n")[0]);
  return h(
    "article",
    { class: "sf-failure", tabindex: "-1", role: "alert" },
    h(
      "header",
      {},
      icon("times-circle"),
      h("h3", {}, title),
      failure.count > 1 && h("span", { class: "sf-times" }, t("failure.times", { n: failure.count })),
      symbolButton("times", t("action.close"), () => dismiss(failure)),
    ),
    h(
      "div",
      { class: "sf-failure-body" },
      linesOf(message, title, failure).map((line) => h("p", {}, line)),
    ),
    facts(failure),
    actions(failure),
  );
}

function facts(failure) {
  const charged = h("span", { class: `sf-charged sf-charged-${failure.charged}` }, t(chargedKey(failure.charged)));
  const model = failure.model && h("span", { title: failure.model }, shortModel(failure.model));
  const trace =
    failure.trace_id &&
    h(
      "span",
      { class: "sf-trace" },
      h("code", { title: t("failure.trace") }, failure.trace_id),
      copyButton(failure.trace_id, t("action.copy_trace")),
    );
  return h("div", { class: "sf-facts" }, charged, model, trace);
}

function actions(failure) {
  const offers = {
    key: ["action.set_key", () => openKeyDialog(failure.kind)],
    settings: ["action.open_settings", openSettings],
  };
  const [label, act] = offers[remedy(failure)] ?? [];
  return (
    act &&
    h(
      "footer",
      {},
      button(t(label), () => (dismiss(failure), act()), { kind: "primary" }),
    )
  );
}

function dismiss(failure) {
  if (refusals.includes(failure)) refusals = refusals.filter((each) => each !== failure);
  else state = without(state, failure);
  draw();
}

/** Whether the queue has run empty since the last run began. */
let wasIdle = true;

/**
 * A run that begins after the queue was empty makes what went wrong before a thing of the past. The
 * runs of one batch do not: nobody has read yet why the first of them failed.
 */
function begin() {
  told.forget();
  if (wasIdle && state !== NOTHING) {
    state = NOTHING;
    draw();
  }
  wasIdle = false;
}

function hearQueue({ detail }) {
  if (detail?.exec_info?.queue_remaining === 0) wasIdle = true;
}

/**
 * Older frontends open a dialog with the exception and its traceback. The card has said it already,
 * and better, so that dialog is closed: one failure, one message. Never one about anything else.
 */
function hushHost({ detail }) {
  if (told.takes(detail)) setTimeout(() => closeDialogAbout(detail), 0);
}

function closeDialogAbout(error) {
  const dialog = document.querySelector(HOST_DIALOG);
  if (dialog && isAbout(dialog.textContent, error)) dialog.querySelector(".p-dialog-close-button")?.click();
}

/**
 * What ComfyUI answers when a graph is queued is told by cards, and reaches the page with each of our refusals
 * once. Not an async function: this script would stand in the trace of errors that are none of its own.
 */
function hearAnswers() {
  const queue = api.queuePrompt;
  api.queuePrompt = function (...rest) {
    return queue.apply(this, rest).then(heardAnswer, (error) => {
      heardAnswer(error?.response);
      throw error;
    });
  };
}

function heardAnswer(answer) {
  hearRefusals(answer?.node_errors);
  if (answer?.node_errors) answer.node_errors = toldOnce(answer.node_errors);
  return answer;
}

app.registerExtension({
  name: "SiliconFlow.Failures",
  setup() {
    makeRegion();
    hearAnswers();
    listen("failed", hear);
    api.addEventListener("execution_error", hushHost);
    api.addEventListener("execution_start", begin);
    api.addEventListener("status", hearQueue);
  },
});
