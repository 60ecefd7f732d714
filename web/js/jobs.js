/** The sidebar tab with all that was requested: read in parts as one scrolls, and kept up to date by events. */

/** @import { Job, JobSearch, Settings, TextKey } from "./types" */
/** @import { JobCard } from "./job_card.js" */
/** @import { Row } from "./logic/virtual_list.js" */

import { app } from "../../../scripts/app.js";
import { api } from "../../../scripts/api.js";
import { getJobs, onEvent } from "./api.js";
import { backgroundList } from "./background.js";
import { balanceLine } from "./balance.js";
import { dayLine, dayText, jobCard } from "./job_card.js";
import { openKeyDialog } from "./key_dialog.js";
import { openLightbox } from "./lightbox.js";
import { shortModel } from "./logic/format.js";
import { countOf, hasFailed, isUnderWay, nextIndex, rowsOf, stateText, withJob, withResponse } from "./logic/jobs.js";
import { scrollToShow, shownRange, topsOf } from "./logic/virtual_list.js";
import { JOBS_TAB, button, errorText, execute, h, icon, stopPropagation, t } from "./page.js";
import { spendLine } from "./spend.js";
import { settings, watch } from "./settings_store.js";

const TOGGLE_COMMAND = `Workspace.ToggleSidebarTab.${JOBS_TAB}`;
const JOBS_A_PART = 100;
const REDRAW_MILLISECONDS = 150;
const TYPING_MILLISECONDS = 250;
/** How long the list stands still before images are fetched: not those that fly past. */
const REST_MILLISECONDS = 120;
/** Pixels above and below what is on show that are drawn too, and from the end at which more is fetched. */
const [MARGIN, NEAR] = [300, 2000];
const HEIGHTS = { day: 34, card: 132, line: 38, opened: 160 };
/** What the page lists of states: the words, and those that the server knows. @type {[TextKey, string][]} */
const STATES = [
  ["jobs.any_state", ""],
  ["jobs.with_results", "done,reused"],
  ["state.failed", "failed"],
  ["state.cancelled", "cancelled"],
  ["state.running", "running,waiting"],
];
/** @type {[TextKey, string][]} */
const TASKS = [
  ["jobs.any_task", ""],
  ["jobs.images", "text-to-image,image-to-image,image-edit"],
  ["jobs.videos", "text-to-video,image-to-video"],
  ["jobs.texts", "chat,speech-to-text,embedding,rerank"],
  ["jobs.speech", "text-to-speech,voice"],
];

/**
 * The tab while it is open.
 * @typedef {object} View
 * @property {HTMLElement} root
 * @property {HTMLElement} summary
 * @property {HTMLElement} count how many are listed, as far as they were read
 * @property {HTMLElement} body what scrolls
 * @property {HTMLElement} day the day of what is on show, while its own line is not
 * @property {HTMLElement} list as high as all rows are
 * @property {HTMLElement} footer
 * @property {HTMLElement} live what screen readers are told
 * @property {Map<string, JobCard>} cards those on show
 * @property {Map<string, HTMLElement>} days
 * @property {Row[]} rows
 * @property {Float64Array} tops
 * @property {Map<string, number>} opened the failures that are open, with their heights
 * @property {string | null} focus the job whose card the Tab key reaches
 * @property {Settings | null} settings
 * @property {ReturnType<typeof setInterval> | undefined} clock
 * @property {ReturnType<typeof setTimeout> | undefined} redraw
 * @property {ReturnType<typeof setTimeout> | undefined} rest
 * @property {ResizeObserver} observer
 * @property {() => void} unwatch
 */

/** What is listed, as far as it was read. @type {Job[]} */
let jobs = [];
/** Where the list goes on; null at its end. @type {string | null} */
let next = null;
/** @type {JobSearch} */
const search = { words: "", states: "", tasks: "" };
/** The jobs under way, for the number on the tab. @type {Map<string, Job>} */
const underWay = new Map();
/** Ids of jobs that events tell of while those under way are asked for. @type {Set<string> | null} */
let heard = null;
/** Server's clock minus the browser's, in seconds. */
let clockOffset = 0;
let isLoaded = false;
/** The request whose response is awaited; an older one's counts no more. @type {object | null} */
let pending = null;
/** @type {unknown} */
let problem = null;
/** Several users, one ledger: there is nothing to show, and nothing went wrong. */
let isShared = false;
/**
 * Ids of jobs that events told of while the list was fetched.
 * @type {Set<string>}
 */
let updated = new Set();
/** @type {View | null} */
let view = null;

const now = () => Date.now() / 1000 + clockOffset;

/** Opens the tab, if it is not open. */
export function showJobs() {
  if (app.extensionManager.sidebarTab?.activeSidebarTabId !== JOBS_TAB) toggleJobs();
}

export const toggleJobs = () => execute(TOGGLE_COMMAND);

/**
 * Reads the next part of the list; the first one in place of all that is listed.
 * @param {{ anew?: boolean }} [which]
 */
async function load({ anew = false } = {}) {
  if (pending && !anew) return;
  const request = {};
  pending = request;
  updated = new Set();
  const { words, states, tasks } = search;
  try {
    isShared = (await settings()).read_only;
    if (!isShared) {
      const from = anew || next === null ? {} : { before: next };
      const received = await getJobs({ limit: String(JOBS_A_PART), search: words, state: states, task: tasks, ...from });
      if (pending !== request) return;
      clockOffset = received.now - Date.now() / 1000;
      const kept = anew ? jobs.filter((job) => updated.has(job.id)) : jobs;
      jobs = withResponse(kept, received.jobs, updated);
      next = received.next;
      isLoaded = true;
    }
    problem = null;
  } catch (error) {
    if (pending !== request) return;
    problem = error;
  }
  pending = null;
  draw();
}

/** Asks which jobs are under way, wherever they were queued. */
async function countUnderWay() {
  /** @type {Set<string>} */
  const newer = new Set();
  try {
    if ((await settings()).read_only) return;
    heard = newer;
    const received = await getJobs({ limit: String(JOBS_A_PART), state: "running,waiting" });
    const kept = [...underWay.values()].filter((job) => newer.has(job.id));
    underWay.clear();
    for (const job of withResponse(kept, received.jobs, newer)) underWay.set(job.id, job);
  } catch {
    return; // The list says why, as soon as somebody looks at it.
  } finally {
    if (heard === newer) heard = null;
  }
  showCount();
}

/** @param {{ job: Job }} event */
function onJob({ job }) {
  const before = underWay.get(job.id);
  heard?.add(job.id);
  if (isUnderWay(job)) underWay.set(job.id, job);
  else underWay.delete(job.id);
  showCount();
  if (!view || isShared) return;
  updated.add(job.id);
  jobs = withJob(jobs, job, search);
  if (before?.state !== job.state) {
    const [key, values] = stateText({ ...job, waits_until: null }, now());
    view.live.textContent = t("jobs.announce", { model: shortModel(job.model), state: t(key, values) });
  }
  // Many events in a moment become one drawing.
  view.redraw ??= setTimeout(draw, REDRAW_MILLISECONDS);
}

/** The number of jobs under way, on the icon of the tab and above the list. */
function showCount() {
  if (view) view.summary.textContent = underWay.size ? t("jobs.under_way", { n: underWay.size }) : "";
  const tab = app.extensionManager.getSidebarTabs?.().find((each) => each.id === JOBS_TAB);
  if (tab && !Object.isFrozen(tab)) tab.iconBadge = underWay.size ? String(underWay.size) : undefined;
}

/** @param {HTMLElement} container */
function render(container) {
  destroy();
  const summary = h("span", { class: "sf-muted", role: "status" });
  const count = h("span", { class: "sf-muted sf-jobs-count" });
  const list = h("ul", {
    class: "sf-jobs-list",
    role: "list",
    "aria-label": t("jobs.list"),
    onkeydown: /** @param {KeyboardEvent} event */ (event) => view && moveFocus(view, event),
  });
  const footer = h("div", { class: "sf-jobs-rest" });
  const day = h("div", { class: "sf-jobs-day", "aria-hidden": "true" });
  const body = h("div", { class: "sf-jobs-body", onscroll: () => drawRows() }, day, list, footer);
  const live = h("div", { class: "sf-off-screen", role: "status" });
  const root = h(
    "section",
    { class: "sf-jobs" },
    h(
      "header",
      { class: "sf-jobs-header" },
      h("div", {}, h("h2", {}, t("jobs.title")), count, summary),
      balanceLine(),
    ),
    spendLine(),
    backgroundList(),
    searchLine(),
    body,
    live,
  );
  container.replaceChildren(root);
  const unwatch = watch(root, (received) => {
    if (view?.root !== root) return;
    view.settings = received;
    if (received) isShared = received.read_only;
    draw();
  });
  const observer = new ResizeObserver(() => drawRows());
  observer.observe(body);
  const empty = { cards: new Map(), days: new Map(), opened: new Map(), rows: [], tops: topsOf([]), focus: null };
  const none = { settings: null, clock: undefined, redraw: undefined, rest: undefined };
  view = { root, summary, count, body, day, list, footer, live, observer, unwatch, ...empty, ...none };
  draw();
  load({ anew: true });
}

function searchLine() {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let typing;
  /** @param {Partial<JobSearch>} changes */
  const change = (changes) => {
    Object.assign(search, changes);
    jobs = [];
    [next, isLoaded] = [null, false];
    if (view) view.body.scrollTop = 0;
    load({ anew: true });
  };
  const field = stopPropagation(
    h("input", {
      type: "search",
      class: "sf-field",
      placeholder: t("jobs.search"),
      "aria-label": t("jobs.search"),
      spellcheck: "false",
      oninput: () => {
        clearTimeout(typing);
        typing = setTimeout(() => change({ words: field.value.trim() }), TYPING_MILLISECONDS);
      },
    }),
  );
  field.value = search.words;
  return h(
    "div",
    { class: "sf-jobs-search", role: "search" },
    field,
    filter(t("jobs.filter_state"), STATES, search.states, (states) => change({ states })),
    filter(t("jobs.filter_task"), TASKS, search.tasks, (tasks) => change({ tasks })),
  );
}

/**
 * @param {string} label
 * @param {[TextKey, string][]} choices
 * @param {string} chosen
 * @param {(value: string) => void} onChoice
 */
function filter(label, choices, chosen, onChoice) {
  const options = choices.map(([key, value]) => h("option", { value, selected: value === chosen }, t(key)));
  const select = h("select", { class: "sf-field sf-select", "aria-label": label }, options);
  select.addEventListener("change", () => onChoice(select.value));
  return stopPropagation(select);
}

function destroy() {
  if (!view) return;
  view.unwatch();
  view.observer.disconnect();
  clearInterval(view.clock);
  clearTimeout(view.redraw);
  clearTimeout(view.rest);
  view = null;
  // It is read again when the tab is opened again; of what happens meanwhile only the number is shown.
  jobs = [];
  [next, isLoaded, pending] = [null, false, null];
}

function draw() {
  if (!view) return;
  clearTimeout(view.redraw);
  view.redraw = undefined;
  const { body, rows, tops } = view;
  const [anchor] = shownRange(tops, body.scrollTop, 0, 0);
  view.rows = isShared ? [] : rowsOf(jobs, view.opened);
  layOut(view);
  const moved = body.scrollTop ? view.rows.findIndex((row) => row.key === rows[anchor]?.key) : -1;
  if (moved >= 0) body.scrollTop += Number(view.tops[moved]) - Number(tops[anchor]);
  showCount();
  const n = isShared ? 0 : countOf(jobs);
  view.count.textContent = n ? t(next === null ? "jobs.count" : "jobs.count_more", { n }) : "";
  drawFooter(view);
  drawRows();
  runClock(view, jobs.some(isUnderWay));
}

/** @param {View} shown */
function layOut(shown) {
  shown.tops = topsOf(shown.rows.map((row) => heightOf(shown, row)));
  shown.list.style.height = `${shown.tops.at(-1)}px`;
}

/** @param {View} shown @param {Row} row */
function heightOf({ opened }, row) {
  if (!row.job) return HEIGHTS.day;
  return hasFailed(row.job) ? (opened.get(row.key) ?? HEIGHTS.line) : HEIGHTS.card;
}

/** Draws the rows on show, and no others; asks for more near the end. */
function drawRows() {
  if (!view) return;
  const shown = view;
  const { rows, body, list } = shown;
  const total = Number(shown.tops.at(-1));
  const [first, end] = shownRange(shown.tops, body.scrollTop, body.clientHeight, MARGIN);
  const top = rows[shownRange(shown.tops, body.scrollTop, 0, 0)[0]];
  const day = top?.job ? dayText(top.day, now()) : "";
  if (shown.day.textContent !== day) shown.day.textContent = day;
  const focused = list.contains(document.activeElement) ? jobAt(document.activeElement) : undefined;
  const away = rows.findIndex((row) => row.key === focused);
  const indexes = Array.from({ length: end - first }, (_, at) => first + at);
  if (away >= 0 && (away < first || away >= end)) indexes.push(away); // or the focus would be lost
  drawElements(shown, indexes.sort((a, b) => a - b), focused);
  measureOpened(shown);
  clearTimeout(shown.rest);
  shown.rest = setTimeout(() => shown.cards.forEach((card) => card.showImages()), REST_MILLISECONDS);
  if (next !== null && !problem && total - body.scrollTop - body.clientHeight < NEAR) load();
}

/**
 * Cards whose job is the same as before stay as they are, with their focus and images.
 * @param {View} shown
 * @param {number[]} indexes of rows
 * @param {string | undefined} focused
 */
function drawElements(shown, indexes, focused) {
  const { rows, tops, list } = shown;
  const [cards, days] = [new Map(), new Map()];
  const elements = indexes.map((index) => {
    const row = /** @type {Row} */ (rows[index]);
    if (!row.job) {
      const line = shown.days.get(row.key) ?? dayLine(row.day, now());
      days.set(row.key, line);
      return placed(line, tops[index], HEIGHTS.day);
    }
    const isOpen = shown.opened.has(row.key);
    const before = shown.cards.get(row.key);
    const card = before?.shows(row.job, isOpen, row.times) ? before : makeCard(row.job, isOpen, row.times, before);
    cards.set(row.key, card);
    return placed(card.element, tops[index], isOpen ? null : heightOf(shown, row));
  });
  [shown.cards, shown.days] = [cards, days];
  arrange(list, elements);
  if (shown.focus === null || !cards.has(shown.focus)) shown.focus = [...cards.keys()][0] ?? null;
  for (const [id, card] of cards) card.setReachable(id === shown.focus);
  if (focused && !list.contains(document.activeElement)) cards.get(focused)?.focus();
}

/**
 * @param {HTMLElement} element
 * @param {number | undefined} top
 * @param {number | null} height as high as what is in it, if null
 */
function placed(element, top, height) {
  Object.assign(element.style, { top: `${top}px`, height: height === null ? "" : `${height}px` });
  return element;
}

/**
 * @param {Job} job
 * @param {boolean} isOpen
 * @param {number} times
 * @param {JobCard} [before]
 */
function makeCard(job, isOpen, times, before) {
  const onToggle = () => {
    if (view && !view.opened.delete(job.id)) view.opened.set(job.id, HEIGHTS.opened);
    draw(); // it may stand for others, which are lines of their own beside an open one
  };
  const more = async () => {
    if (next !== null) await load();
  };
  /** @param {number} place */
  const onImage = (place) => openLightbox({ images, more, leave }, job.id, place);
  return jobCard(job, { now, isOpen, times, onToggle, onImage }, before);
}

/** All images of the list that are still stored, in its order. */
const images = () =>
  jobs.flatMap((job) => job.pictures.flatMap((image) => (image.is_here ? [{ job, image }] : [])));

/**
 * Opened failures are as high as their texts, which is known once they are drawn.
 * @param {View} shown
 */
function measureOpened(shown) {
  const { opened, cards } = shown;
  let hasChanged = false;
  for (const [id, height] of opened) {
    const drawn = cards.get(id)?.element.offsetHeight ?? height;
    if (drawn === height || !drawn) continue;
    opened.set(id, drawn);
    hasChanged = true;
  }
  if (!hasChanged) return;
  layOut(shown);
  drawRows();
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
  for (const element of [...list.children]) {
    if (wanted.has(element)) continue;
    // What nobody waits for any more is not fetched: it would hold up what is on show.
    for (const image of element.querySelectorAll("img")) if (!image.complete) image.removeAttribute("src");
    element.remove();
  }
  elements.forEach((element, at) => {
    const there = list.children[at] ?? null;
    if (there !== element) list.insertBefore(element, there);
  });
}

/**
 * What stands below the list, or in its place.
 * @param {View} shown
 */
function drawFooter(shown) {
  const content = [];
  const isSearch = Object.values(search).some(Boolean);
  if (problem) content.push(loadingFailed());
  else if (isShared) content.push(h("div", { class: "sf-empty" }, icon("users"), h("p", {}, t("jobs.shared"))));
  else if (!jobs.length && isLoaded && next === null) content.push(isSearch ? noMatch() : noJobs(shown));
  else if (!isLoaded || next !== null) content.push(icon("spinner pi-spin"));
  shown.footer.replaceChildren(...content);
}

const noMatch = () => h("div", { class: "sf-empty" }, icon("search"), h("p", {}, t("jobs.no_match")));

function loadingFailed() {
  return h(
    "div",
    { class: "sf-empty", role: "alert" },
    icon("exclamation-circle"),
    h("p", {}, t("jobs.failed_to_load", { reason: errorText(problem) })),
    button(t("jobs.load_again"), () => load({ anew: !jobs.length })),
  );
}

/** @param {View} shown */
function noJobs(shown) {
  const isKeyless = shown.settings && !shown.settings.key.is_set;
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
 * @param {View} shown
 * @param {boolean} isNeeded
 */
function runClock(shown, isNeeded) {
  if (!isNeeded) {
    clearInterval(shown.clock);
    shown.clock = undefined;
  } else shown.clock ??= setInterval(() => shown.cards.forEach((card) => card.tick()), 1000);
}

/**
 * Arrow keys, Home and End go from job to job; Tab goes into the one that has the focus.
 * @param {View} shown
 * @param {KeyboardEvent} event
 */
function moveFocus(shown, event) {
  const focused = jobAt(/** @type {Element} */ (event.target));
  const ids = shown.rows.filter(({ job }) => job).map(({ key }) => key); // one may stand for several failures
  const index = nextIndex(event.key, ids.indexOf(focused ?? ""), ids.length);
  const id = index === null ? undefined : ids[index];
  if (!id) return;
  event.preventDefault();
  event.stopPropagation();
  focusJob(shown, id);
}

/**
 * @param {View} shown
 * @param {string} id
 */
function focusJob(shown, id) {
  const row = shown.rows.findIndex((each) => each.key === id);
  if (row < 0) return;
  shown.focus = id;
  const { body, tops } = shown;
  body.scrollTop = scrollToShow(tops, row, body.scrollTop, body.clientHeight, HEIGHTS.day);
  drawRows();
  shown.cards.get(id)?.focus({ preventScroll: true });
}

/** The list goes on where the images were left. @param {string} id */
const leave = (id) => view && focusJob(view, id);

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
    const reload = () => {
      countUnderWay();
      if (view) load({ anew: true });
    };
    onEvent("stored", reload);
    countUnderWay();
    api.addEventListener("reconnected", reload);
  },
});
