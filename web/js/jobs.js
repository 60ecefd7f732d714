/** The sidebar tab with the jobs of today: read once, then kept up to date by events. */

import { app } from "/scripts/app.js";
import { api } from "/scripts/api.js";
import { getJobs, listen } from "./api.js";
import { balanceLine } from "./badge.js";
import { jobCard } from "./job_card.js";
import { openKeyDialog } from "./key_dialog.js";
import { counts, needsClock, nextPlace, stateText, withAnswer, withJob } from "./logic/jobs.js";
import { shortModel } from "./logic/format.js";
import { JOBS_TAB, button, h, icon, reason, run, t } from "./page.js";
import { settings, watch } from "./state.js";

const TOGGLE = `Workspace.ToggleSidebarTab.${JOBS_TAB}`;
const PAGE = 60;
const LATER_MILLISECONDS = 150;

let jobs = [];
/** Server's clock minus the browser's, in seconds. */
let ahead = 0;
let read = false;
let problem = null;
/** Several users, one ledger: there is nothing to show, and nothing went wrong. */
let isShared = false;
/** Ids that events brought while the list was asked for. */
let loading = null;
/** What is on show, or null while the tab is closed. */
let view = null;

const listed = () => (isShared ? [] : jobs);
const now = () => Date.now() / 1000 + ahead;

/** Shows the tab; does nothing if it is on show. */
export function showJobs() {
  if (app.extensionManager.sidebarTab?.activeSidebarTabId !== JOBS_TAB) run(TOGGLE);
}

export const toggleJobs = () => run(TOGGLE);

async function load() {
  const arrived = new Set();
  loading = arrived;
  try {
    isShared = (await settings()).read_only;
    if (!isShared) take(await getJobs(), arrived);
    problem = null;
  } catch (error) {
    problem = error;
  }
  if (loading === arrived) loading = null;
  showCount();
  draw();
}

function take(answer, arrived) {
  ahead = answer.now - Date.now() / 1000;
  jobs = withAnswer(jobs, answer.jobs, arrived);
  read = true;
}

function hear({ job }) {
  loading?.add(job.id);
  const before = jobs.find((each) => each.id === job.id);
  jobs = withJob(jobs, job);
  if (view && !isShared && before?.state !== job.state) announce(job);
  showCount();
  drawSoon();
}

/** Whether the list is on show, or its number is: what happened while nobody told would stay there. */
const isOfUse = () => Boolean(view || counts(jobs, now()).underWay);

/** The number of jobs under way, on the icon of the tab. */
function showCount() {
  const tab = app.extensionManager.getSidebarTabs?.().find((each) => each.id === JOBS_TAB);
  const { underWay } = counts(jobs, now());
  if (tab && !Object.isFrozen(tab)) tab.iconBadge = underWay ? String(underWay) : null;
}

function announce(job) {
  const [key, values] = stateText({ ...job, waits_until: null }, now());
  view.live.textContent = t("jobs.announce", { model: shortModel(job.model), state: t(key, values) });
}

/** Many events in a moment become one drawing. */
function drawSoon() {
  if (view && !view.later) view.later = setTimeout(draw, LATER_MILLISECONDS);
}

function render(container) {
  destroy();
  const summary = h("span", { class: "sf-muted" });
  const header = h(
    "header",
    { class: "sf-jobs-header" },
    h("div", {}, h("h2", {}, t("jobs.title")), summary),
    balanceLine(),
  );
  const list = h("ul", { class: "sf-jobs-list", role: "list", "aria-label": t("jobs.list"), onkeydown: moveFocus });
  const [rest, live] = [h("div", { class: "sf-jobs-rest" }), h("div", { class: "sf-off-screen", role: "status" })];
  const root = h("section", { class: "sf-jobs" }, header, h("div", { class: "sf-jobs-body" }, list, rest), live);
  view = { root, summary, list, rest, live, cards: new Map(), shown: PAGE, focus: null, clock: null, later: null };
  container.replaceChildren(root);
  view.unwatch = watch(root, (known) => {
    if (view?.root !== root) return;
    view.known = known;
    if (known) isShared = known.read_only;
    draw();
  });
  draw();
  load();
}

function destroy() {
  if (!view) return;
  view.unwatch?.();
  clearInterval(view.clock);
  clearTimeout(view.later);
  view = null;
}

function draw() {
  if (!view) return;
  clearTimeout(view.later);
  view.later = null;
  const { total, today, underWay } = counts(listed(), now());
  const said = [today && t("jobs.today", { n: today }), underWay && t("jobs.under_way", { n: underWay })];
  view.summary.textContent = said.filter(Boolean).join(" · ");
  drawCards(listed().slice(0, view.shown));
  drawRest(total);
  runClock();
}

/** Keeps the cards whose job is the same as before, so that focus and pictures stay as they are. */
function drawCards(shown) {
  const cards = new Map();
  for (const job of shown) {
    const known = view.cards.get(job.id);
    cards.set(job.id, known?.shows(job) ? known : jobCard(job, now, known));
  }
  const focused = view.list.contains(document.activeElement) ? document.activeElement.closest("li")?.dataset.job : null;
  view.cards = cards;
  arrange(
    view.list,
    [...cards.values()].map((card) => card.element),
  );
  if (!cards.has(view.focus)) view.focus = shown[0]?.id ?? null;
  for (const [id, card] of cards) card.setReachable(id === view.focus);
  if (focused && !view.list.contains(document.activeElement)) cards.get(focused)?.element.focus();
}

/** Moves only what is out of place: a moved element would lose its focus and its scroll. */
function arrange(list, elements) {
  const wanted = new Set(elements);
  for (const element of [...list.children]) if (!wanted.has(element)) element.remove();
  elements.forEach(
    (element, at) => list.children[at] !== element && list.insertBefore(element, list.children[at] ?? null),
  );
}

function drawRest(total) {
  const left = total - view.shown;
  const more = left > 0 && button(t("jobs.more", { n: Math.min(left, PAGE) }), () => ((view.shown += PAGE), draw()));
  view.rest.replaceChildren(...[instead(total), more].filter(Boolean));
}

/** What stands there when there are no jobs to show. */
function instead(total) {
  if (problem) return failed();
  if (isShared) return h("div", { class: "sf-empty" }, icon("users"), h("p", {}, t("jobs.shared")));
  return !total && read && empty();
}

function failed() {
  return h(
    "div",
    { class: "sf-empty", role: "alert" },
    icon("exclamation-circle"),
    h("p", {}, t("jobs.failed_to_load", { reason: reason(problem) })),
    button(t("jobs.load_again"), load),
  );
}

function empty() {
  const keyless = view.known && !view.known.key.is_set;
  const offer = keyless
    ? button(t("action.set_key"), () => openKeyDialog(), { kind: "primary" })
    : button(t("jobs.empty_templates"), () => run("Comfy.BrowseTemplates"));
  return h(
    "div",
    { class: "sf-empty" },
    icon("images"),
    h("h3", {}, t("jobs.empty_title")),
    h("p", {}, t("jobs.empty")),
    keyless && h("p", {}, t("jobs.no_key")),
    offer,
  );
}

/** A clock runs only while something on show changes with the seconds. */
function runClock() {
  const wanted = needsClock(listed().slice(0, view.shown));
  if (wanted && !view.clock) view.clock = setInterval(() => view.cards.forEach((card) => card.tick()), 1000);
  if (!wanted && view.clock) view.clock = clearInterval(view.clock) ?? null;
}

/** Arrow keys, Home and End go from job to job; Tab goes into the one that has the focus. */
function moveFocus(event) {
  const ids = [...view.cards.keys()];
  const place = nextPlace(event.key, ids.indexOf(event.target.closest("li")?.dataset.job), ids.length);
  if (place === null) return;
  event.preventDefault();
  event.stopPropagation();
  view.cards.get(view.focus)?.setReachable(false);
  view.focus = ids[place];
  const card = view.cards.get(view.focus);
  card.setReachable(true);
  card.element.focus();
}

app.registerExtension({
  name: "SiliconFlow.Jobs",
  setup() {
    // `siliconflow` is the balance's: the frontend watches what its tabs hold.
    const texts = { title: t("jobs.tab"), label: t("jobs.label"), tooltip: t("jobs.tooltip") };
    app.extensionManager.registerSidebarTab({
      id: JOBS_TAB,
      icon: "sf-tab-icon",
      ...texts,
      type: "custom",
      render,
      destroy,
      iconBadge: null,
      siliconflow: { badge: null },
    });
    listen("jobs", hear);
    listen("stored", () => isOfUse() && load());
    api.addEventListener("reconnected", () => isOfUse() && load());
  },
});
