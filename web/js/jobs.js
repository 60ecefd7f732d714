/** The sidebar tab with the jobs of today: fetched once, then kept up to date by events. */

/** @import { Job, Settings } from "./types" */
/** @import { JobCard } from "./job_card.js" */

import { app } from "../../../scripts/app.js";
import { api } from "../../../scripts/api.js";
import { getJobs, onEvent } from "./api.js";
import { balanceLine } from "./balance.js";
import { jobCard } from "./job_card.js";
import { openKeyDialog } from "./key_dialog.js";
import { shortModel } from "./logic/format.js";
import { counts, isUnderWay, nextIndex, stateText, withJob, withResponse } from "./logic/jobs.js";
import { JOBS_TAB, button, errorText, execute, h, icon, t } from "./page.js";
import { spendLine } from "./spend.js";
import { settings, watch } from "./settings_store.js";

const TOGGLE_COMMAND = `Workspace.ToggleSidebarTab.${JOBS_TAB}`;
const CARDS_AT_FIRST = 60;
const REDRAW_MILLISECONDS = 150;

/**
 * The tab while it is open.
 * @typedef {object} View
 * @property {HTMLElement} root
 * @property {HTMLElement} summary
 * @property {HTMLElement} list
 * @property {HTMLElement} footer
 * @property {HTMLElement} live what screen readers are told
 * @property {Map<string, JobCard>} cards
 * @property {number} limit how many cards are shown
 * @property {string | null} focus the job whose card the Tab key reaches
 * @property {Settings | null} settings
 * @property {ReturnType<typeof setInterval> | undefined} clock
 * @property {ReturnType<typeof setTimeout> | undefined} redraw
 * @property {() => void} unwatch
 */

/** @type {Job[]} */
let jobs = [];
/** Server's clock minus the browser's, in seconds. */
let clockOffset = 0;
let isLoaded = false;
/** @type {unknown} */
let problem = null;
/** Several users, one ledger: there is nothing to show, and nothing went wrong. */
let isShared = false;
/**
 * Ids of jobs that events told of while the list was fetched.
 * @type {Set<string> | null}
 */
let updated = null;
/** @type {View | null} */
let view = null;

const now = () => Date.now() / 1000 + clockOffset;

/** Opens the tab, if it is not open. */
export function showJobs() {
  if (app.extensionManager.sidebarTab?.activeSidebarTabId !== JOBS_TAB) toggleJobs();
}

export const toggleJobs = () => execute(TOGGLE_COMMAND);

async function load() {
  /** @type {Set<string>} */
  const updatedMeanwhile = new Set();
  updated = updatedMeanwhile;
  try {
    isShared = (await settings()).read_only;
    if (!isShared) {
      const received = await getJobs();
      clockOffset = received.now - Date.now() / 1000;
      jobs = withResponse(jobs, received.jobs, updatedMeanwhile);
      isLoaded = true;
    }
    problem = null;
  } catch (error) {
    problem = error;
  }
  if (updated === updatedMeanwhile) updated = null;
  showCount();
  draw();
}

/** @param {{ job: Job }} event */
function onJob({ job }) {
  updated?.add(job.id);
  const before = jobs.find((each) => each.id === job.id);
  jobs = withJob(jobs, job);
  if (view && !isShared && before?.state !== job.state) {
    const [key, values] = stateText({ ...job, waits_until: null }, now());
    view.live.textContent = t("jobs.announce", { model: shortModel(job.model), state: t(key, values) });
  }
  showCount();
  // Many events in a moment become one drawing.
  if (view) view.redraw ??= setTimeout(draw, REDRAW_MILLISECONDS);
}

/** The number of jobs under way, on the icon of the tab. */
function showCount() {
  const tab = app.extensionManager.getSidebarTabs?.().find((each) => each.id === JOBS_TAB);
  const { underWay } = counts(jobs, now());
  if (tab && !Object.isFrozen(tab)) tab.iconBadge = underWay ? String(underWay) : undefined;
}

/** @param {HTMLElement} container */
function render(container) {
  destroy();
  const summary = h("span", { class: "sf-muted" });
  const list = h("ul", {
    class: "sf-jobs-list",
    role: "list",
    "aria-label": t("jobs.list"),
    onkeydown: /** @param {KeyboardEvent} event */ (event) => view && moveFocus(view, event),
  });
  const footer = h("div", { class: "sf-jobs-rest" });
  const live = h("div", { class: "sf-off-screen", role: "status" });
  const root = h(
    "section",
    { class: "sf-jobs" },
    h(
      "header",
      { class: "sf-jobs-header" },
      h("div", {}, h("h2", {}, t("jobs.title")), summary),
      balanceLine(),
    ),
    spendLine(),
    h("div", { class: "sf-jobs-body" }, list, footer),
    live,
  );
  container.replaceChildren(root);
  const unwatch = watch(root, (received) => {
    if (view?.root !== root) return;
    view.settings = received;
    if (received) isShared = received.read_only;
    draw();
  });
  const empty = { cards: new Map(), focus: null, settings: null, clock: undefined, redraw: undefined };
  view = { root, summary, list, footer, live, limit: CARDS_AT_FIRST, unwatch, ...empty };
  draw();
  load();
}

function destroy() {
  if (!view) return;
  view.unwatch();
  clearInterval(view.clock);
  clearTimeout(view.redraw);
  view = null;
}

function draw() {
  if (!view) return;
  clearTimeout(view.redraw);
  view.redraw = undefined;
  const listed = isShared ? [] : jobs;
  const { total, today, underWay } = counts(listed, now());
  const summary = [];
  if (today) summary.push(t("jobs.today", { n: today }));
  if (underWay) summary.push(t("jobs.under_way", { n: underWay }));
  view.summary.textContent = summary.join(" · ");
  const shown = listed.slice(0, view.limit);
  drawCards(view, shown);
  drawFooter(view, total);
  runClock(view, shown.some(isUnderWay));
}

/**
 * Cards whose job is the same as before stay as they are, with their focus and images.
 * @param {View} view
 * @param {Job[]} shown
 */
function drawCards(view, shown) {
  const cards = new Map();
  for (const job of shown) {
    const card = view.cards.get(job.id);
    cards.set(job.id, card?.shows(job) ? card : jobCard(job, now, card));
  }
  const focused = view.list.contains(document.activeElement) ? jobAt(document.activeElement) : undefined;
  view.cards = cards;
  arrange(
    view.list,
    [...cards.values()].map((card) => card.element),
  );
  if (view.focus === null || !cards.has(view.focus)) view.focus = shown[0]?.id ?? null;
  for (const [id, card] of cards) card.setReachable(id === view.focus);
  if (focused && !view.list.contains(document.activeElement)) cards.get(focused)?.element.focus();
}

/**
 * The id of the job in whose card an element is.
 * @param {Element | null} element
 */
const jobAt = (element) => element?.closest("li")?.dataset.job;

/**
 * Moves only what is out of place: a moved element would lose its focus and its scroll position.
 * @param {HTMLElement} list
 * @param {HTMLElement[]} elements
 */
function arrange(list, elements) {
  /** @type {Set<Element>} */
  const wanted = new Set(elements);
  for (const element of [...list.children]) if (!wanted.has(element)) element.remove();
  elements.forEach((element, at) => {
    const there = list.children[at] ?? null;
    if (there !== element) list.insertBefore(element, there);
  });
}

/**
 * What stands below the list, or in its place.
 * @param {View} view
 * @param {number} total
 */
function drawFooter(view, total) {
  const content = [];
  if (problem) content.push(loadingFailed());
  else if (isShared) content.push(h("div", { class: "sf-empty" }, icon("users"), h("p", {}, t("jobs.shared"))));
  else if (!total && isLoaded) content.push(noJobs(view));
  const hidden = total - view.limit;
  if (hidden > 0) {
    const showMore = () => {
      view.limit += CARDS_AT_FIRST;
      draw();
    };
    content.push(button(t("jobs.more", { n: Math.min(hidden, CARDS_AT_FIRST) }), showMore));
  }
  view.footer.replaceChildren(...content);
}

function loadingFailed() {
  return h(
    "div",
    { class: "sf-empty", role: "alert" },
    icon("exclamation-circle"),
    h("p", {}, t("jobs.failed_to_load", { reason: errorText(problem) })),
    button(t("jobs.load_again"), load),
  );
}

/** @param {View} view */
function noJobs(view) {
  const isKeyless = view.settings && !view.settings.key.is_set;
  const offer = isKeyless
    ? button(t("action.set_key"), () => openKeyDialog(), { kind: "primary" })
    : button(t("jobs.empty_templates"), () => execute("Comfy.BrowseTemplates"));
  return h(
    "div",
    { class: "sf-empty" },
    icon("images"),
    h("h3", {}, t("jobs.empty_title")),
    h("p", {}, t("jobs.empty")),
    isKeyless && h("p", {}, t("jobs.no_key")),
    offer,
  );
}

/**
 * The clock runs only while something on show changes with the seconds.
 * @param {View} view
 * @param {boolean} isNeeded
 */
function runClock(view, isNeeded) {
  if (!isNeeded) {
    clearInterval(view.clock);
    view.clock = undefined;
  } else view.clock ??= setInterval(() => view.cards.forEach((card) => card.tick()), 1000);
}

/**
 * Arrow keys, Home and End go from job to job; Tab goes into the one that has the focus.
 * @param {View} view
 * @param {KeyboardEvent} event
 */
function moveFocus(view, event) {
  const ids = [...view.cards.keys()];
  const focused = jobAt(/** @type {Element} */ (event.target));
  const index = nextIndex(event.key, focused === undefined ? -1 : ids.indexOf(focused), ids.length);
  const next = index === null ? undefined : ids[index];
  if (next === undefined) return;
  event.preventDefault();
  event.stopPropagation();
  if (view.focus !== null) view.cards.get(view.focus)?.setReachable(false);
  view.focus = next;
  const card = view.cards.get(next);
  card?.setReachable(true);
  card?.element.focus();
}

app.registerExtension({
  name: "SiliconFlow.Jobs",
  setup() {
    /** @type {Comfy.SidebarTab & { siliconflow: object }} */
    const tab = {
      id: JOBS_TAB,
      icon: "sf-tab-icon",
      title: t("jobs.tab"),
      label: t("app.name"),
      tooltip: t("jobs.tooltip"),
      type: "custom",
      render,
      destroy,
      iconBadge: undefined,
      // The balance's: the frontend watches what its tabs hold.
      siliconflow: { badge: null },
    };
    app.extensionManager.registerSidebarTab(tab);
    onEvent("jobs", onJob);
    // While the tab is closed the list may be out of date, but for the number on the icon.
    const reload = () => {
      if (view || counts(jobs, now()).underWay) load();
    };
    onEvent("stored", reload);
    load(); // for the number on the icon
    api.addEventListener("reconnected", reload);
  },
});
