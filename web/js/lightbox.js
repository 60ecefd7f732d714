/** An image or a video of the list, whole, with all that can be done with it; arrow keys go from image to image. */

/** @import { Job, JobImage } from "./types" */

import { api } from "../../../scripts/api.js";
import { openDialog } from "./dialog.js";
import { imageDetails } from "./job_card.js";
import { shortModel } from "./logic/format.js";
import { nextIndex } from "./logic/jobs.js";
import { h, symbolButton, t } from "./page.js";

/** Images left before the end of the list at which more of it is fetched. */
const NEAR = 10;
/** @type {Record<string, string | undefined>} */
const KEYS = { ArrowRight: "ArrowDown", ArrowLeft: "ArrowUp", Home: "Home", End: "End" };

/** @typedef {{ job: Job, image: JobImage }} Shown */

/**
 * @param {{ images: () => Shown[], more: () => Promise<void>, leave: (id: string) => void }} list `leave` gets the job
 *   at which it was closed, if it is another than at first
 * @param {string} id of the job
 * @param {number} place of the image
 */
export function openLightbox(list, id, place) {
  const dialog = openDialog("", () => shown.id !== id && list.leave(shown.id));
  dialog.element.classList.add("sf-lightbox");
  const still = h("img", { class: "sf-lightbox-image", alt: "" });
  const player = h("video", { class: "sf-lightbox-image", controls: true, autoplay: true, loop: true });
  const previous = symbolButton("chevron-left", t("jobs.previous"), () => go("ArrowUp"));
  const next = symbolButton("chevron-right", t("jobs.next"), () => go("ArrowDown"));
  const stage = h("div", { class: "sf-lightbox-stage" }, previous, still, next);
  const showArrows = () => {
    for (const arrow of [previous, next]) arrow.hidden = list.images().length < 2;
  };
  let shown = { id, place };

  /** @param {string} [key] */
  const go = (key) => {
    const images = list.images();
    const at = images.findIndex(({ job, image }) => job.id === shown.id && image.place === shown.place);
    const index = key === undefined ? at : nextIndex(key, at, images.length);
    const entry = images[index ?? at];
    if (!entry) return dialog.close(); // the results were cleared meanwhile
    shown = { id: entry.job.id, place: entry.image.place };
    const n = entry.image.place + 1;
    const { video } = entry.image;
    const alt = t(video ? "jobs.poster" : "jobs.thumbnail", { n, prompt: entry.job.prompt ?? "" });
    const whole = video ? player : still;
    if (video) Object.assign(player, { src: api.apiURL(video), ariaLabel: alt });
    else {
      player.removeAttribute("src"); // or it would go on being fetched
      const path = `/siliconflow/jobs/${encodeURIComponent(entry.job.id)}/${entry.image.place}/image`;
      Object.assign(still, { src: api.apiURL(path), alt });
    }
    if (whole.parentNode !== stage) stage.children[1]?.replaceWith(whole);
    dialog.fill(shortModel(entry.job.model), stage, ...imageDetails(entry.job, entry.image, dialog.close));
    showArrows();
    if ((index ?? at) > images.length - NEAR) void list.more().then(showArrows);
  };
  dialog.element.addEventListener("keydown", (event) => {
    const key = KEYS[event.key];
    if (!key || event.target === player) return; // whose own keys these are
    event.preventDefault();
    go(key);
  });
  go();
}
