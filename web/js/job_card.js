/** One job on the list. */

/** @import { Job, JobImage } from "./types" */

import { api } from "../../../scripts/api.js";
import { openWorkflowOf, putOnCanvas } from "./canvas.js";
import { messageLines } from "./logic/failures.js";
import { formatMoment, formatSeconds, shortModel } from "./logic/format.js";
import { isUnderWay, secondsOf, stateText, storedImages } from "./logic/jobs.js";
import { copyButton, h, icon, language, localized, symbolButton, t } from "./page.js";

const STATE_ICONS = {
  running: "spinner pi-spin",
  waiting: "hourglass",
  done: "check-circle",
  reused: "replay",
  failed: "times-circle",
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
  "text-to-speech": "volume-up",
  "speech-to-text": "microphone",
  "embedding": "share-alt",
  "rerank": "sort-amount-down",
};

/** @typedef {ReturnType<typeof jobCard>} JobCard */

/**
 * A card for a job.
 * @param {Job} job
 * @param {() => number} now the server's time
 * @param {{ element: HTMLElement }} [before] the card of the same job as it was
 */
export function jobCard(job, now, before) {
  const shownLanguage = language();
  const shownJob = JSON.stringify(job);
  const state = h("span", { class: "sf-state" });
  const seconds = h("span");
  const element = h(
    "li",
    { class: `sf-job sf-job-${job.state}`, tabindex: "-1", "data-job": job.id },
    gallery(job),
    h(
      "div",
      { class: "sf-job-text" },
      h(
        "div",
        { class: "sf-job-head" },
        h("strong", { title: job.model }, shortModel(job.model)),
        h("span", { class: "sf-muted" }, formatMoment(job.at, shownLanguage, now())),
      ),
      h("div", { class: "sf-job-state" }, icon(STATE_ICONS[job.state]), state, seconds),
      job.prompt && h("p", { class: "sf-prompt", title: job.prompt }, job.prompt),
      job.reason && reasonOf(job),
      actions(job),
    ),
  );
  const tick = () => {
    const [key, values] = stateText(job, now());
    state.textContent = t(key, values);
    seconds.textContent = formatSeconds(secondsOf(job, now()), t("unit.seconds"));
  };
  tick();
  if (before?.element.isConnected) {
    const hadFocus = before.element.contains(document.activeElement);
    before.element.replaceWith(element);
    if (hadFocus) element.focus();
  }
  return {
    element,
    /** Updates what changes with the seconds. */
    tick: () => isUnderWay(job) && tick(),
    /** @param {Job} other */
    shows: (other) => JSON.stringify(other) === shownJob && language() === shownLanguage,
    /**
     * Only the card that has the focus is reached by the Tab key, or a long list would swallow it.
     * @param {boolean} isReachable
     */
    setReachable: (isReachable) => {
      element.tabIndex = isReachable ? 0 : -1;
      for (const control of element.querySelectorAll("button")) control.tabIndex = isReachable ? 0 : -1;
    },
  };
}

/**
 * Why it failed; model and trace id stand elsewhere on the card.
 * @param {Job} job
 */
function reasonOf(job) {
  const text = messageLines(localized(job.reason), "", job).join("\n");
  return h("p", { class: "sf-reason", title: text }, text);
}

/** @param {Job} job */
function gallery(job) {
  const placeholder = PLACEHOLDERS[job.state] ?? RESULT_ICONS[job.task] ?? "image";
  return h(
    "div",
    { class: "sf-gallery" },
    job.pictures.length
      ? job.pictures.map((image) => thumbnail(job, image))
      : h("div", { class: "sf-thumb sf-thumb-none" }, icon(placeholder)),
  );
}

/**
 * @param {Job} job
 * @param {JobImage} image
 */
function thumbnail(job, image) {
  const gone = h("div", { class: "sf-thumb sf-thumb-none", title: t("jobs.gone") }, icon("image"));
  if (!image.is_here) return gone;
  const n = image.place + 1;
  const label = job.pictures.length > 1 ? t("jobs.put_one", { n }) : t("jobs.put");
  const element = h("img", {
    src: api.apiURL(image.thumbnail),
    alt: t("jobs.thumbnail", { n, prompt: job.prompt ?? "" }),
    loading: "lazy",
    decoding: "async",
  });
  const onclick = () => putOnCanvas(job, [image]);
  const press = h("button", { type: "button", class: "sf-thumb", title: label, "aria-label": label, onclick }, element);
  element.addEventListener("error", () => press.replaceWith(gone));
  return press;
}

/** @param {Job} job */
function actions(job) {
  const stored = storedImages(job);
  const buttons = [
    stored.length > 0 && symbolButton("plus-circle", t("jobs.put"), () => putOnCanvas(job, stored)),
    job.has_workflow && symbolButton("sitemap", t("jobs.workflow"), () => openWorkflowOf(job)),
    job.prompt && copyButton(job.prompt, t("jobs.copy_prompt")),
    job.trace_id && copyButton(job.trace_id, t("action.copy_trace"), "hashtag"),
  ];
  return buttons.some(Boolean) && h("div", { class: "sf-job-actions" }, buttons);
}
