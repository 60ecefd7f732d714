/** The catalogue of models, fetched once, and again whenever it may have changed. Does nothing on import. */

/** @import { Catalogue } from "./types" */

import { api } from "../../../scripts/api.js";
import { getCatalogue, onEvent } from "./api.js";

/** @type {Set<(catalogue: Catalogue) => void>} */
const listeners = new Set();
/** @type {Catalogue | null} */
let latest = null;

/** The catalogue as last received; null if it could not be fetched, and then nodes show all of their inputs. */
export const current = () => latest;

/**
 * Calls back with every new catalogue.
 * @param {(catalogue: Catalogue) => void} callback
 */
export const onChange = (callback) => listeners.add(callback);

/**
 * Takes a catalogue that another route answered with.
 * @param {Catalogue} catalogue
 */
export function accept(catalogue) {
  latest = catalogue;
  listeners.forEach((callback) => callback(catalogue));
}

/** Never throws: without a catalogue the nodes work as they are declared. */
export async function load() {
  try {
    accept(await getCatalogue());
  } catch (error) {
    console.warn("SiliconFlow: no catalogue, so every node shows all of its inputs.", error);
  }
}

/** Follows the settings (the other site has other models), the account's list, and a server that was restarted. */
export function watch() {
  onEvent("settings", load);
  onEvent("models", load);
  api.addEventListener("reconnected", load);
}
