/** What went wrong, at once and in full: a few cards in a corner, or the key dialog. */

/** @import { Failure, FailureEntry, FailureList, NodeError, RejectionEntry, TextKey } from "./types" */

import { app } from "../../../scripts/app.js";
import { api } from "../../../scripts/api.js";
import { onEvent } from "./api.js";
import { showJobs } from "./jobs.js";
import { openKeyDialog } from "./key_dialog.js";
import {
  NO_FAILURES,
  ReportedNodes,
  chargedKey,
  isAbout,
  messageLines,
  rejectionsIn,
  remedy,
  visibleCards,
  withFailure,
  withTimes,
  withoutFailure,
  withoutRepeats,
} from "./logic/failures.js";
import { shortModel } from "./logic/format.js";
import { button, copyButton, h, icon, language, localized, openSettings, symbolButton, t } from "./page.js";

const COMFYUI_DIALOG = '[aria-labelledby="global-execution-error"]';

/** @type {FailureList} */
let failures = NO_FAILURES;
/**
 * What our nodes refused when a graph was last queued. A run that begins does not remove it: it may be of that graph.
 * @type {RejectionEntry[]}
 */
let rejections = [];
/** What ComfyUI need not report any more. */
const reported = new ReportedNodes();

/** @typedef {FailureEntry | RejectionEntry} Entry */

/** @param {Failure} failure */
function onFailure(failure) {
  reported.add(failure);
  if (failure.kind === "MissingKey") return void openKeyDialog("MissingKey");
  failures = withFailure(failures, failure, Date.now() / 1000);
  draw();
}

/**
 * Queueing again removes what was rejected before. What a node says comes in one language.
 * @param {Record<string, NodeError> | undefined} nodeErrors
 */
function onNodeErrors(nodeErrors) {
  const before = rejections;
  const found = rejectionsIn(nodeErrors).map((rejection) => ({
    ...rejection,
    title: { [language()]: t("failure.refused") },
    message: { [language()]: rejection.said },
  }));
  rejections = withTimes(found, before, Date.now() / 1000);
  if (before.length || rejections.length) draw();
}

/** Where the cards are. There from the beginning: screen readers read what is put into a region, not a new region. */
const region = h("div", { class: "sf-failures", role: "region" });
/** The line below the cards. */
const more = h("div", { class: "sf-more" });
/**
 * The cards by what they show.
 * @type {Map<Entry, HTMLElement>}
 */
let cards = new Map();

/** Only what is new is put in: a screen reader reads that aloud, and nothing a second time. */
function draw() {
  const before = cards;
  const { cards: visible, hiddenFailures, hiddenRejections } = visibleCards(failures, rejections);
  const entries = /** @type {Entry[]} */ (visible);
  cards = new Map(entries.map((entry) => [entry, before.get(entry) ?? card(entry)]));
  for (const [entry, element] of before) if (!cards.has(entry)) element.remove();
  [...cards.values()].forEach((element, at) => {
    if (!element.isConnected) region.insertBefore(element, region.children[at] ?? null);
  });
  more.hidden = !hiddenFailures && !hiddenRejections;
  more.replaceChildren();
  if (hiddenRejections) more.append(h("span", {}, t("failure.more_refused", { n: hiddenRejections })));
  if (hiddenFailures) {
    more.append(
      h("span", {}, t("failure.more", { n: hiddenFailures })),
      button(t("failure.show_jobs"), showJobs, { kind: "text" }),
    );
  }
}

/** @param {Entry} entry */
function card(entry) {
  const message = localized(entry.message);
  const title = localized(entry.title, message.split("\n")[0]);
  const count = "count" in entry ? entry.count : 1;
  return h(
    "article",
    { class: "sf-failure", tabindex: "-1", role: "alert" },
    h(
      "header",
      {},
      icon("times-circle"),
      h("h3", {}, title),
      count > 1 && h("span", { class: "sf-times" }, t("failure.times", { n: count })),
      symbolButton("times", t("action.close"), () => dismiss(entry)),
    ),
    h(
      "div",
      { class: "sf-failure-body" },
      messageLines(message, title, entry).map((line) => h("p", {}, line)),
    ),
    facts(entry),
    actions(entry),
  );
}

/** @param {Entry & Partial<Failure>} entry */
function facts({ charged, model, trace_id }) {
  return h(
    "div",
    { class: "sf-facts" },
    h("span", { class: `sf-charged sf-charged-${charged}` }, t(chargedKey(charged))),
    model && h("span", { title: model }, shortModel(model)),
    trace_id &&
      h(
        "span",
        { class: "sf-trace" },
        h("code", { title: t("failure.trace") }, trace_id),
        copyButton(trace_id, t("action.copy_trace")),
      ),
  );
}

/** @param {Entry} entry */
function actions(entry) {
  const where = remedy(entry);
  if (!where) return null;
  /** @type {[label: TextKey, run: () => unknown]} */
  const [label, run] =
    where === "key"
      ? ["action.set_key", () => openKeyDialog(entry.kind)]
      : ["action.open_settings", openSettings];
  const onPress = () => {
    dismiss(entry);
    return run();
  };
  return h("footer", {}, button(t(label), onPress, { kind: "primary" }));
}

/** @param {Entry} entry */
function dismiss(entry) {
  if ("count" in entry) failures = withoutFailure(failures, entry);
  else rejections = rejections.filter((each) => each !== entry);
  draw();
}

/** Whether the queue has run empty since the last run began. */
let wasIdle = true;

/**
 * A run that begins after the queue was empty makes what went wrong before a thing of the past. The
 * runs of one batch do not: nobody has read yet why the first of them failed.
 */
function onRunStart() {
  reported.clear();
  if (wasIdle && failures !== NO_FAILURES) {
    failures = NO_FAILURES;
    draw();
  }
  wasIdle = false;
}

/**
 * Older frontends open a dialog with the exception and its traceback. The card has said it already,
 * and better, so that dialog is closed: one failure, one message. Never one about anything else.
 * @param {NonNullable<Comfy.ExecutionError>} error
 */
function onExecutionError(error) {
  if (!reported.take(error)) return;
  setTimeout(() => {
    const dialog = document.querySelector(COMFYUI_DIALOG);
    if (!dialog || !isAbout(dialog.textContent ?? "", error)) return;
    /** @type {HTMLElement | null} */ (dialog.querySelector(".p-dialog-close-button"))?.click();
  }, 0);
}

/**
 * What ComfyUI answers when a graph is queued is shown by cards, and reaches the page with each of our rejections
 * once. Not an async function: this script would stand in the trace of errors that it has no part in.
 */
function interceptQueueing() {
  const queuePrompt = api.queuePrompt;
  api.queuePrompt = function (...rest) {
    return queuePrompt.apply(this, rest).then(takeNodeErrors, (error) => {
      takeNodeErrors(error?.response);
      throw error;
    });
  };
}

/**
 * @template {{ node_errors?: Record<string, NodeError> } | undefined} Response
 * @param {Response} response
 */
function takeNodeErrors(response) {
  onNodeErrors(response?.node_errors);
  if (response?.node_errors) response.node_errors = withoutRepeats(response.node_errors);
  return response;
}

app.registerExtension({
  name: "SiliconFlow.Failures",
  setup() {
    region.setAttribute("aria-label", t("failure.region"));
    region.append(more);
    document.body.append(region);
    draw();
    interceptQueueing();
    onEvent("failed", onFailure);
    api.addEventListener("execution_error", ({ detail }) => onExecutionError(detail));
    api.addEventListener("execution_start", onRunStart);
    api.addEventListener("status", ({ detail }) => {
      if (detail?.exec_info?.queue_remaining === 0) wasIdle = true;
    });
  },
});
