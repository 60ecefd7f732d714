/** What went wrong, at once and in full: a card where ComfyUI's own message would be, or the key dialog. */

/** @import { Failure, FailureEntry, FailureList, NodeError, OpenQuestion, RejectionEntry, Remedy, Site, TextKey } from "./types" */

import { app } from "../../../scripts/app.js";
import { api } from "../../../scripts/api.js";
import { answerQuestions, forgetQuestions, onEvent } from "./api.js";
import { showJobs } from "./jobs.js";
import { openDialog } from "./dialog.js";
import { openKeyDialog } from "./key_dialog.js";
import {
  NO_FAILURES,
  ReportedNodes,
  chargedKey,
  isAbout,
  isOf,
  isRejection,
  messageLines,
  rejectionsIn,
  remediesOf,
  visibleCards,
  withFailure,
  withQuestion,
  withTimes,
  withoutFailure,
} from "./logic/failures.js";
import { formatMoney, shortModel, timesMoney } from "./logic/format.js";
import { nodeAt, nodesAlong, openWorkflowId, setWidgets, showNode } from "./nodes.js";
import {
  TOP_UP_PAGES,
  button,
  copyButton,
  execute,
  h,
  icon,
  isAppMode,
  language,
  localized,
  openSettings,
  symbolButton,
  t,
} from "./page.js";
import { settings } from "./settings_store.js";
import { deciderAt } from "./subgraphs.js";

const COMFYUI_DIALOG = '[aria-labelledby="global-execution-error"]';
const COMFYUI_OVERLAY = '[data-testid="error-overlay"]';
/** The same in app mode, above the Run button. It has no button to close it: the style sheet hides what is closed. */
const COMFYUI_WARNING = '[data-testid="linear-validation-warning"]';
/** What of the page the card lies over, and below what: of several, the first that is there. */
const AREAS = ['[data-testid="linear-center-panel"]', ".graph-canvas-container"];
const BARS = [`${COMFYUI_OVERLAY}:not([data-sf-closed])`, '[data-testid="action-bar-card"]'];
/** In which ComfyUI shows what it answers to a graph that was not queued. */
const OVERLAY_MILLISECONDS = 100;
const [GAP, BELOW_NO_BAR] = [8, 60];

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
/** @typedef {Parameters<typeof api.queuePrompt>} Queued */

/**
 * What was queued of late, by the id of its prompt: to go ahead is to queue the very same again.
 * @type {Map<string, Queued>}
 */
const queued = new Map();
const MOST_KEPT = 100;

/** @param {Failure} failure */
function onFailure(failure) {
  reported.add(failure);
  if (failure.kind === "MissingKey") return void openKeyDialog("MissingKey");
  if (failure.question) return void askToGoAhead(failure, failure.question);
  failures = withFailure(failures, failure, Date.now() / 1000);
  draw();
}

/**
 * The question that is open: of several prompts that are stopped together, the last one is asked about.
 * @type {OpenQuestion | null}
 */
let openQuestion = null;
/** Closes the dialog; its question is over then, and not cancelled. */
let closeQuestion = () => {};
/** Says how many prompts the open question is of: ComfyUI may stop one before it has answered that it is queued. */
let countQuestion = () => {};

/**
 * A run that is large enough to be asked about: to go ahead is to queue the same again, if it is still on view.
 * Elsewhere it cannot be answered: the next run of that workflow is asked about again.
 * @param {Failure} failure
 * @param {NonNullable<Failure["question"]>} question
 */
function askToGoAhead(failure, question) {
  const { forgotten, ...asked } = withQuestion(openQuestion, failure.prompt, question.contents);
  closeQuestion();
  openQuestion = asked;
  if (forgotten.length) forgetQuestions(forgotten).catch(console.warn);
  const isOnView = () => isOf(failure, openWorkflowId());
  const message = localized(question.message);
  const sentBefore = () =>
    asked.prompts.flatMap((prompt) => {
      const sent = queued.get(prompt);
      return sent ? [sent] : [];
    });
  let isOver = false; // otherwise it was cancelled, and the next run is asked about again
  const onClose = () => {
    if (openQuestion === asked) openQuestion = null;
    if (!isOver) forgetQuestions(question.contents).catch(console.warn);
  };
  const { close, fill } = openDialog(localized(failure.title, message), onClose);
  closeQuestion = () => {
    isOver = true;
    openQuestion = null;
    close();
  };
  const goAhead = async () => {
    closeQuestion();
    if (!isOnView()) return;
    const all = sentBefore();
    await answerQuestions(question.contents, Math.max(1, all.length));
    try {
      if (!all.length) await app.queuePrompt(0, 1);
      for (const sent of all) await api.queuePrompt(...sent);
    } catch (error) {
      await forgetQuestions(question.contents); // or runs to come would use up the answer
      throw error;
    }
  };
  countQuestion = () => {
    const n = sentBefore().length;
    fill(
      localized(failure.title, message),
      ...message.split("\n").map((line) => h("p", {}, line)),
      n > 1 && h("p", {}, eachRun(question, n)),
      h(
        "footer",
        {},
        button(t("action.cancel"), close),
        isOnView() && button(n > 1 ? t("action.go_ahead_all", { n }) : t("action.go_ahead"), goAhead, { kind: "primary" }),
      ),
    );
  };
  countQuestion();
}

/**
 * What several runs cost together, if that is known.
 * @param {NonNullable<Failure["question"]>} question
 * @param {number} n
 */
function eachRun({ cost, currency }, n) {
  if (!cost) return t("failure.each_run", { n });
  const total = formatMoney(timesMoney(cost, n), currency, { isWhole: true });
  return t("failure.each_run_total", { n, total });
}

/**
 * Queueing again removes what was rejected before. What a node says comes in one language.
 * @param {Record<string, NodeError> | undefined} nodeErrors
 */
function onNodeErrors(nodeErrors) {
  const before = rejections;
  const found = rejectionsIn(nodeErrors).map((rejection) => ({
    ...rejection,
    workflow: openWorkflowId(),
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
  const open = openWorkflowId();
  const shown = failures.shown.filter((failure) => isOf(failure, open));
  const { cards: visible, hiddenFailures, hiddenRejections } = visibleCards(
    { shown, hidden: shown.length ? failures.hidden : 0 },
    rejections.filter((rejection) => isOf(rejection, open)),
  );
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
  place();
}

/** Puts the region below the bar with the Run button; in app mode beside the panel with the inputs. */
function place() {
  /** @param {string[]} selectors */
  const firstOf = (selectors) =>
    selectors.map((selector) => document.querySelector(selector)?.getBoundingClientRect()).find((box) => box?.width);
  const area = firstOf(AREAS);
  const below = firstOf(BARS)?.bottom ?? (area?.top ?? 0) + BELOW_NO_BAR;
  region.style.top = `${below + GAP}px`;
  region.style.right = `${window.innerWidth - (area?.right ?? window.innerWidth) + GAP}px`;
  region.style.maxHeight = `calc(100vh - ${below + 8 * GAP}px)`;
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

/** @typedef {{ label: string, run: () => unknown, keepsCard?: boolean }} Action The card goes, unless it is to be kept. */

/** @param {Entry} entry */
function actions(entry) {
  /** @param {Remedy} remedy whose widget may be decided elsewhere: then to run again would be to pay again */
  const isPossible = ([name, argument]) =>
    !(name === "model" && !deciderAt(entry.node, "model")) &&
    !(name === "again" && argument !== undefined && !deciderAt(entry.node, "seed"));
  const all = remediesOf(entry).filter(isPossible).map((remedy) => action(entry, remedy));
  const onView = nodesAlong(entry.node).find(({ graph }) => graph === app.canvas.graph);
  if (onView && !isAppMode()) all.push({ label: t("failure.show_node"), run: () => showNode(onView), keepsCard: true });
  return h(
    "footer",
    {},
    all
      .map(({ label, run, keepsCard }, at) => {
        const onPress = () => {
          if (!keepsCard) dismiss(entry);
          return run();
        };
        return button(label, onPress, { kind: at === 0 && !keepsCard ? "primary" : "secondary" });
      })
      .reverse(),
  );
}

/**
 * @param {Entry} entry
 * @param {Remedy} remedy
 * @returns {Action}
 */
function action(entry, [name, argument]) {
  const value = String(argument);
  switch (name) {
    case "key":
      return { label: t("action.set_key"), run: () => openKeyDialog(entry.kind) };
    case "site":
      return {
        label: t("failure.other_site", { site: t(/** @type {TextKey} */ (`site.${value}`)) }),
        run: () => openKeyDialog("", /** @type {Site} */ (value)),
      };
    case "model":
      return {
        label: t("failure.use_model", { model: shortModel(value) }),
        run: () => {
          setDecider(entry.node, "custom_model", "");
          setDecider(entry.node, "model", value);
        },
      };
    case "setting":
      return {
        label: t("failure.setting", { name: t(/** @type {TextKey} */ (`setting.${value}`)) }),
        run: () => openSettings(value),
      };
    case "settings":
      return { label: t("action.open_settings"), run: () => openSettings() };
    case "top_up":
      return { label: t("failure.top_up"), run: openTopUp, keepsCard: true };
    case "panel":
      return { label: t("failure.show_background"), run: showJobs };
    case "again":
      if (argument === undefined) return { label: t("failure.again"), run: () => execute("Comfy.QueuePrompt") };
      return {
        label: t("failure.again_seed", { seed: value }),
        run: () => {
          setDecider(entry.node, "seed", Number(argument));
          setWidgets(nodeAt(entry.node), { control_after_generate: "fixed" });
          return execute("Comfy.QueuePrompt");
        },
      };
  }
}

/**
 * Sets an input of a node where that is decided: on itself, or on a subgraph around it.
 * @param {string} path
 * @param {string} name
 * @param {string | number} value
 */
function setDecider(path, name, value) {
  const decider = deciderAt(path, name);
  if (decider) setWidgets(decider.node, { [decider.widget.name]: value });
}

async function openTopUp() {
  const { values } = await settings();
  window.open(TOP_UP_PAGES[values.site], "_blank", "noopener");
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
  document.querySelector(COMFYUI_WARNING)?.removeAttribute("data-sf-closed");
  if (wasIdle && failures !== NO_FAILURES) {
    failures = NO_FAILURES;
    draw();
  }
  wasIdle = false;
}

/**
 * ComfyUI says that a node failed, older frontends in a dialog with the traceback. The card has said it already, and
 * better, so that is closed: one failure, one message. Never one about anything else.
 * @param {NonNullable<Comfy.ExecutionError>} error
 */
function onExecutionError(error) {
  if (!reported.take(error)) return;
  setTimeout(() => {
    closeOverlay((text) => text.includes(nodeAt(error.node_id)?.title ?? error.node_type));
    const dialog = document.querySelector(COMFYUI_DIALOG);
    if (!dialog || !isAbout(dialog.textContent ?? "", error)) return;
    /** @type {HTMLElement | null} */ (dialog.querySelector(".p-dialog-close-button"))?.click();
  }, 0);
}

/**
 * Closes what newer frontends say of errors, if it is about this one alone.
 * @param {(text: string) => boolean} isAboutIt
 */
function closeOverlay(isAboutIt) {
  const overlay = document.querySelector(COMFYUI_OVERLAY);
  if (overlay && isAboutIt(overlay.textContent ?? "")) {
    /** @type {HTMLElement | null} */ (overlay.querySelector('[data-testid="error-overlay-dismiss"]'))?.click();
    overlay.setAttribute("data-sf-closed", ""); // it takes a moment to go
  }
  const warning = document.querySelector(COMFYUI_WARNING);
  if (warning && isAboutIt(warning.textContent ?? "")) warning.setAttribute("data-sf-closed", "");
  place();
}

/**
 * What ComfyUI answers when a graph is queued is shown by cards. Not an async function: this script would stand in
 * the trace of errors that it has no part in.
 */
function interceptQueueing() {
  const queuePrompt = api.queuePrompt;
  api.queuePrompt = function (...rest) {
    return queuePrompt.apply(this, rest).then((response) => keep(response, rest), (error) => {
      takeNodeErrors(error?.response);
      throw error;
    });
  };
}

/**
 * Keeps what was queued: a part of the workflow, with its seeds and with what of `{a|b}` it is.
 * @template {Parameters<typeof takeNodeErrors>[0] & { prompt_id?: string }} Response
 * @param {Response} response
 * @param {Queued} sent
 */
function keep(response, sent) {
  const id = response?.prompt_id;
  if (id) queued.set(id, sent);
  if (id && openQuestion?.prompts.includes(id)) countQuestion();
  for (const oldest of [...queued.keys()].slice(0, -MOST_KEPT)) queued.delete(oldest);
  return takeNodeErrors(response);
}

/**
 * @template {{ node_errors?: Record<string, NodeError> } | undefined} Response
 * @param {Response} response
 */
function takeNodeErrors(response) {
  onNodeErrors(response?.node_errors);
  const all = Object.values(response?.node_errors ?? {}).flatMap(({ errors }) => errors);
  if (rejections.length && all.every(isRejection)) setTimeout(() => closeOverlay(() => true), OVERLAY_MILLISECONDS);
  return response;
}

app.registerExtension({
  name: "SiliconFlow.Failures",
  afterConfigureGraph: draw,
  setup() {
    region.setAttribute("aria-label", t("failure.region"));
    region.append(more);
    document.body.append(region);
    draw();
    interceptQueueing();
    window.addEventListener("resize", place);
    const canvas = document.querySelector(".graph-canvas-container");
    if (canvas) new ResizeObserver(place).observe(canvas); // app mode hides it
    onEvent("failed", onFailure);
    onEvent("background", ({ first_prompt_id, prompt_id }) => {
      const sent = prompt_id && queued.get(first_prompt_id);
      if (sent) queued.set(prompt_id, sent);
    });
    api.addEventListener("execution_error", ({ detail }) => onExecutionError(detail));
    api.addEventListener("execution_start", onRunStart);
    api.addEventListener("status", ({ detail }) => {
      if (detail?.exec_info?.queue_remaining === 0) wasIdle = true;
    });
  },
});
