/** One job on the list. */

/** @import { Job, JobImage } from "./types" */

import { api } from "../../../scripts/api.js";
import { canLoad, editImage, openWorkflowOf, putOnCanvas, repeatWithNewSeed, useInSelected } from "./canvas.js";
import * as catalogue from "./catalogue.js";
import { messageLines } from "./logic/failures.js";
import { formatClock, formatDay, formatMoment, formatSeconds, shortModel } from "./logic/format.js";
import { hasFailed, isUnderWay, secondsOf, stateText, storedImages } from "./logic/jobs.js";
import { button, copyButton, h, icon, language, localized, symbolButton, t } from "./page.js";

const STATE_ICONS = {
  running: "spinner pi-spin",
  waiting: "hourglass",
  done: "check-circle",
  reused: "replay",
  failed: "times-circle",
  asked: "question-circle",
  cancelled: "ban",
};
/**
 * By state: what stands in place of images, for a job that makes none or has none to show.
 * @type {Partial<Record<Job["state"], string>>}
 */
const PLACEHOLDERS = {
  waiting: "hourglass",
  failed: "exclamation-triangle",
  cancelled: "ban",
};
/**
 * By task, in all other states: what it makes.
 * @type {Record<string, string | undefined>}
 */
const RESULT_ICONS = {
  "chat": "comment",
  "text-to-video": "video",
  "image-to-video": "video",
  "text-to-speech": "volume-up",
  "speech-to-text": "microphone",
  "embedding": "share-alt",
  "rerank": "sort-amount-down",
};

/** Images of a job that have a thumbnail of their own; the last one stands for the others. */
const MOST_THUMBNAILS = 4;

/** @typedef {ReturnType<typeof jobCard>} JobCard */

/**
 * What a card needs besides its job.
 * @typedef {object} Setting
 * @property {() => number} now the server's time
 * @property {boolean} isOpen whether a failure is more than one line
 * @property {number} times how many failures it stands for
 * @property {() => void} onToggle opens or closes a failure
 * @property {(place: number) => void} onImage shows an image whole
 */

/**
 * A card for a job.
 * @param {Job} job
 * @param {Setting} setting
 * @param {{ element: HTMLElement }} [before] the card of the same job as it was
 */
export function jobCard(job, { now, isOpen, times, onToggle, onImage }, before) {
  const shownLanguage = language();
  const shownJob = JSON.stringify(job);
  const state = h("span", { class: "sf-state" });
  const seconds = h("span");
  const stateLine = h("div", { class: "sf-job-state" }, icon(STATE_ICONS[job.state]), state, seconds);
  const element = h("li", { class: `sf-job sf-job-${job.state}`, "data-job": job.id });
  /** What a click on it opens; a card that nothing opens has the focus itself, to be read. */
  const focusable = () => /** @type {HTMLElement} */ (element.querySelector("button.sf-thumb, .sf-job-summary")) ?? element;
  if (hasFailed(job)) {
    element.classList.add("sf-job-line");
    element.append(failureLine(job, { isOpen, times, onToggle }));
    if (isOpen) element.append(h("div", { class: "sf-job-text" }, stateLine, promptOf(job), reasonOf(job), actions(job)));
  } else {
    const head = h(
      "div",
      { class: "sf-job-head" },
      h("strong", { title: job.model }, shortModel(job.model)),
      h("span", { class: "sf-muted" }, formatClock(job.at, shownLanguage)),
    );
    element.append(
      gallery(job, onImage),
      h("div", { class: "sf-job-text" }, head, stateLine, promptOf(job), actions(job)),
    );
  }
  const tick = () => {
    const [key, values] = stateText(job, now());
    state.textContent = job.doing ? localized(job.doing) : t(key, values);
    seconds.textContent = formatSeconds(secondsOf(job, now()), t("unit.seconds"));
  };
  tick();
  if (before?.element.isConnected) {
    const hadFocus = before.element.contains(document.activeElement);
    before.element.replaceWith(element);
    focusable().tabIndex = -1;
    if (hadFocus) focusable().focus();
  }
  return {
    element,
    /** Updates what changes with the seconds. */
    tick: () => isUnderWay(job) && tick(),
    /**
     * @param {Job} other
     * @param {boolean} open
     * @param {number} count
     */
    shows: (other, open, count) =>
      open === isOpen && count === times && JSON.stringify(other) === shownJob && language() === shownLanguage,
    /** Fetches its thumbnails. */
    showImages: () => {
      for (const image of element.querySelectorAll("img")) image.src ||= api.apiURL(image.dataset.src ?? "");
    },
    /** @param {FocusOptions} [options] */
    focus: (options) => focusable().focus(options),
    /**
     * Only the card that has the focus is reached by the Tab key, or a long list would swallow it.
     * @param {boolean} isReachable
     */
    setReachable: (isReachable) => {
      for (const control of [focusable(), ...element.querySelectorAll("button")]) control.tabIndex = isReachable ? 0 : -1;
    },
  };
}

/**
 * The day above what was requested on it.
 * @param {number} day
 * @param {number} now
 */
export const dayLine = (day, now) => h("li", { class: "sf-job-day" }, dayText(day, now));

/**
 * @param {number} day
 * @param {number} now
 */
export const dayText = (day, now) =>
  formatDay(day, language(), now, { today: t("jobs.today"), yesterday: t("jobs.yesterday") });

/** @param {Job} job */
const promptOf = (job) => job.prompt && h("p", { class: "sf-prompt", title: job.prompt }, job.prompt);

/**
 * The one line of a failure: which model, why, when.
 * @param {Job} job
 * @param {Pick<Setting, "isOpen" | "times" | "onToggle">} setting
 */
function failureLine(job, { isOpen, times, onToggle }) {
  const said = job.state === "asked" ? undefined : messageLines(localized(job.reason), "", job)[0];
  const reason = said ?? t(`state.${job.state}`);
  return h(
    "button",
    { type: "button", class: "sf-job-summary", "aria-expanded": String(isOpen), title: reason, onclick: onToggle },
    icon(STATE_ICONS[job.state]),
    h("strong", {}, shortModel(job.model)),
    h("span", { class: "sf-job-why" }, reason),
    times > 1 && h("span", { class: "sf-muted" }, t("failure.times", { n: times })),
    h("span", { class: "sf-muted" }, formatClock(job.at, language())),
    icon(isOpen ? "angle-up" : "angle-down"),
  );
}

/**
 * Why it failed; model and trace id stand elsewhere on the card.
 * @param {Job} job
 */
function reasonOf(job) {
  const text = messageLines(localized(job.reason), "", job).join("\n");
  return text && h("p", { class: "sf-reason" }, text);
}

/**
 * @param {Job} job
 * @param {(place: number) => void} onImage
 */
function gallery(job, onImage) {
  const placeholder = PLACEHOLDERS[job.state] ?? RESULT_ICONS[job.task] ?? "image";
  const more = job.pictures.length - MOST_THUMBNAILS;
  const shown = job.pictures.slice(0, MOST_THUMBNAILS);
  return h(
    "div",
    { class: "sf-gallery" },
    shown.length
      ? shown.map((image, at) => thumbnail(job, image, onImage, at === shown.length - 1 ? more : 0))
      : h("div", { class: "sf-thumb sf-thumb-none" }, icon(placeholder)),
  );
}

/**
 * @param {Job} job
 * @param {JobImage} image
 * @param {(place: number) => void} onImage
 * @param {number} more how many images follow that have no thumbnail
 */
function thumbnail(job, image, onImage, more) {
  const gone = h("div", { class: "sf-thumb sf-thumb-none", title: t("jobs.gone") }, icon("image"));
  if (!image.is_here) return gone;
  const n = image.place + 1;
  const title = t(image.video ? "jobs.play" : "jobs.open", { n });
  const alt = t(image.video ? "jobs.poster" : "jobs.thumbnail", { n, prompt: job.prompt ?? "" });
  // Fetched when the list stands still.
  const element = h("img", { "data-src": image.thumbnail, alt, decoding: "async" });
  const onclick = () => onImage(image.place);
  const press = h(
    "button",
    { type: "button", class: "sf-thumb", title, "aria-label": alt, onclick },
    element,
    image.video && h("span", { class: "sf-thumb-more sf-thumb-play" }, icon("play-circle")),
    more > 0 && h("span", { class: "sf-thumb-more" }, `+${more}`),
  );
  // A video plays, though nothing may be installed that makes its poster.
  element.addEventListener("error", () => (image.video ? element.remove() : press.replaceWith(gone)));
  return press;
}

/**
 * What can be done with a job: the symbol, the words, the work.
 * @param {Job} job
 * @param {JobImage[]} images
 * @returns {[symbol: string, label: string, run: () => unknown][]}
 */
function offers(job, images) {
  const [image] = images;
  const hasSeed = catalogue.current()?.nodes[job.node_type]?.inputs.includes("seed");
  /** @type {(false | undefined | [string, string, () => unknown])[]} */
  const all = [
    image && canLoad(image) && ["plus-circle", t("jobs.put"), () => putOnCanvas(job, images)],
    image && !image.video && ["sign-in", t("jobs.use"), () => useInSelected(job, image)],
    job.has_workflow && hasSeed && ["sync", t("jobs.again"), () => repeatWithNewSeed(job)],
    job.has_workflow && ["sitemap", t("jobs.workflow"), () => openWorkflowOf(job)],
  ];
  return /** @type {[string, string, () => unknown][]} */ (all.filter(Boolean));
}

/** @param {Job} job */
function actions(job) {
  const buttons = [
    ...offers(job, storedImages(job)).map(([symbol, label, run]) => symbolButton(symbol, label, run)),
    job.prompt && copyButton(job.prompt, t("jobs.copy_prompt")),
    job.trace_id && copyButton(job.trace_id, t("action.copy_trace"), "hashtag"),
  ];
  return buttons.some(Boolean) && h("div", { class: "sf-job-actions" }, buttons);
}

/**
 * What the lightbox says of an image or a video, and offers.
 * @param {Job} job
 * @param {JobImage} image
 * @param {() => void} close
 */
export function imageDetails(job, image, close) {
  /** @param {() => unknown} run */
  const closing = (run) => () => {
    close();
    return run();
  };
  return [
    h("p", { class: "sf-muted" }, `${job.model} · ${formatMoment(job.at, language())}`),
    job.prompt && h("div", { class: "sf-lightbox-prompt" }, h("p", {}, job.prompt), copyButton(job.prompt, t("jobs.copy_prompt"))),
    h(
      "footer",
      {},
      offers(job, [image]).map(([symbol, label, run]) => button(label, closing(run), { symbol })),
      !image.video && button(t("edit.menu"), closing(() => editImage(job, image)), { symbol: "pencil" }),
    ),
  ];
}
