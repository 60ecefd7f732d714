/** One job on the list. */

import { addressOf } from "./api.js";
import { openWorkflowOf, putOnCanvas } from "./canvas.js";
import { linesOf } from "./logic/failures.js";
import { formatMoment, formatSeconds, shortModel } from "./logic/format.js";
import { isUnderWay, picturesHere, secondsOf, stateText } from "./logic/jobs.js";
import { copyButton, h, icon, language, said, symbolButton, t } from "./page.js";

const SYMBOLS = {
  running: "spinner pi-spin",
  waiting: "hourglass",
  done: "check-circle",
  reused: "replay",
  failed: "times-circle",
  cancelled: "ban",
};
/** What stands where pictures would, for a job that brings none or has none to show. */
const PLACEHOLDERS = {
  waiting: "hourglass",
  failed: "exclamation-triangle",
  cancelled: "ban",
};
/** By task: what the others of them bring. */
const BRINGS = {
  "chat": "comment",
  "text-to-speech": "volume-up",
  "speech-to-text": "microphone",
  "embedding": "share-alt",
  "rerank": "sort-amount-down",
};

/** A card for a job: {element, shows, tick, setReachable}. `now` gives the server's time. */
export function jobCard(job, now, before) {
  const spoken = language();
  const state = h("span", { class: "sf-state" });
  const seconds = h("span", {});
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
        h("span", { class: "sf-muted" }, formatMoment(job.at, spoken, now())),
      ),
      h(
        "div",
        { class: "sf-job-state" },
        h("i", { class: `pi pi-${SYMBOLS[job.state]}`, "aria-hidden": "true" }),
        state,
        seconds,
      ),
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
  const same = JSON.stringify(job);
  tick();
  if (before?.element.isConnected) takePlaceOf(before.element, element);
  return {
    element,
    tick: () => isUnderWay(job) && tick(),
    shows: (other) => JSON.stringify(other) === same && language() === spoken,
    setReachable: (yes) => setReachable(element, yes),
  };
}

/** Why it failed: model and trace id stand elsewhere on the card. */
function reasonOf(job) {
  const text = linesOf(said(job.reason), "", job).join("\n");
  return h("p", { class: "sf-reason", title: text }, text);
}

function takePlaceOf(old, element) {
  const focused = old.contains(document.activeElement);
  old.replaceWith(element);
  if (focused) element.focus();
}

/** Only the card that has the focus is in the order of the Tab key, or a long list would swallow it. */
function setReachable(element, yes) {
  element.tabIndex = yes ? 0 : -1;
  for (const control of element.querySelectorAll("button")) control.tabIndex = yes ? 0 : -1;
}

function gallery(job) {
  const pictures = job.pictures ?? [];
  const box = h("div", { class: "sf-gallery" });
  if (!pictures.length) box.append(h("div", { class: "sf-thumb sf-thumb-none" }, icon(PLACEHOLDERS[job.state] ?? BRINGS[job.task] ?? "image")));
  else box.append(...pictures.map((picture) => thumbnail(job, picture)));
  return box;
}

function thumbnail(job, picture) {
  if (!picture.is_here) return h("div", { class: "sf-thumb sf-thumb-none", title: t("jobs.gone") }, icon("image"));
  const n = picture.place + 1;
  const label = job.pictures.length > 1 ? t("jobs.put_one", { n }) : t("jobs.put");
  const image = h("img", {
    src: addressOf(picture.thumbnail),
    alt: t("jobs.thumbnail", { n, prompt: job.prompt ?? "" }),
    loading: "lazy",
    decoding: "async",
  });
  const press = h(
    "button",
    {
      type: "button",
      class: "sf-thumb",
      title: label,
      "aria-label": label,
      onclick: () => putOnCanvas(job, [picture]),
    },
    image,
  );
  image.addEventListener("error", () =>
    press.replaceWith(h("div", { class: "sf-thumb sf-thumb-none", title: t("jobs.gone") }, icon("image"))),
  );
  return press;
}

function actions(job) {
  const here = picturesHere(job);
  const buttons = [
    here.length && symbolButton("plus-circle", t("jobs.put"), () => putOnCanvas(job, here)),
    job.has_workflow && symbolButton("sitemap", t("jobs.workflow"), () => openWorkflowOf(job)),
    job.prompt && copyButton(job.prompt, t("jobs.copy_prompt")),
    job.trace_id && copyButton(job.trace_id, t("action.copy_trace"), "hashtag"),
  ].filter(Boolean);
  return buttons.length > 0 && h("div", { class: "sf-job-actions" }, buttons);
}
