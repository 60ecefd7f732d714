/** What nodes of ours have shown of their last runs, for when their workflow is opened again. Does nothing on import. */

/** @import { Origin } from "../types" */
/** @import { Open } from "./prompts.js" */

import { tabOf } from "./prompts.js";

/** Nodes of all workflows, and images of one of them: a page that is open for days is to stay small. */
export const [MOST_NODES, MOST_IMAGES] = [200, 64];

/**
 * @typedef {object} ShownImage
 * @property {string} url
 * @property {number} call of the node, of several in one run
 * @property {number} place among the images of the call
 */

/**
 * What a node shows. `dropped` is how many images went before these.
 * @typedef {{ prompt: string, node: string, home: Origin | null, text: string, images: ShownImage[], dropped: number }} Shown
 */

/**
 * Where an image goes among those of its node: they stand in the order of the batch.
 * @param {ShownImage[]} images
 * @param {Omit<ShownImage, "url">} image
 */
export function indexAmong(images, { call, place }) {
  const behind = images.findIndex((each) => each.call > call || (each.call === call && each.place > place));
  return behind < 0 ? images.length : behind;
}

/**
 * The last images of some nodes, one node after the other, and how many went before these.
 * @param {Pick<Shown, "images" | "dropped">[]} nodes
 */
export function lastOf(nodes) {
  const images = nodes.flatMap((node) => node.images);
  const more = Math.max(0, images.length - MOST_IMAGES);
  return { images: images.slice(more), dropped: nodes.reduce((sum, node) => sum + node.dropped, more) };
}

/**
 * @param {Origin | null} home
 * @param {string} node
 */
const keyOf = (home, node) => JSON.stringify([home?.graph, home?.path, node]);

export class ShownByNodes {
  /** By workflow and node, those that have shown something last at the end. @type {Map<string, Shown>} */
  #all = new Map();
  #drop;

  /** @param {(url: string) => void} drop is given the address of each image that is shown no more */
  constructor(drop) {
    this.#drop = drop;
  }

  /**
   * What a node shows of a prompt, in place of what it showed of the one before.
   * @param {Origin | null} home the workflow of the prompt, if it is known
   * @param {string} prompt
   * @param {string} node
   */
  of(home, prompt, node) {
    const key = keyOf(home, node);
    let shown = this.#all.get(key);
    if (shown?.prompt !== prompt) {
      this.#forget(key);
      const early = this.#all.get(keyOf(null, node));
      shown = { text: "", images: [], dropped: 0, ...(early?.prompt === prompt && early), prompt, node, home };
      if (early?.prompt === prompt) this.#all.delete(keyOf(null, node)); // it came before its prompt was known
    }
    this.#all.delete(key);
    this.#all.set(key, shown);
    for (const oldest of [...this.#all.keys()].slice(0, -MOST_NODES)) this.#forget(oldest);
    return shown;
  }

  /**
   * Adds an image; of too many the first one goes.
   * @param {Shown} shown
   * @param {ShownImage} image
   */
  add(shown, image) {
    const { images } = shown;
    images.splice(indexAmong(images, image), 0, image);
    for (const { url } of images.splice(0, images.length - MOST_IMAGES)) {
      this.#drop(url);
      shown.dropped += 1;
    }
  }

  /** All that is shown by nodes of known workflows, the newest last. */
  get known() {
    return [...this.#all.values()].filter(({ home }) => home);
  }

  /**
   * Forgets a workflow that was closed; it may have been saved under another path since.
   * @param {string} path of its tab
   * @param {Open["tabs"]} tabs with that one
   */
  close(path, tabs) {
    for (const [key, { home }] of [...this.#all]) {
      if (home && tabs[tabOf(home, tabs)]?.path === path) this.#forget(key);
    }
  }

  /** @param {string} key */
  #forget(key) {
    for (const { url } of this.#all.get(key)?.images ?? []) this.#drop(url);
    this.#all.delete(key);
  }
}
