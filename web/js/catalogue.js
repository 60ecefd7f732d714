/** The pack's catalogue of models, fetched once, and again whenever it may have changed. Does nothing on import. */

import { api } from "/scripts/api.js";

const listeners = new Set();
let known = null;

/** The catalogue as the pack last gave it, or null when it could not be had: then nodes show all they have. */
export const current = () => known;

/** Calls back whenever there is another catalogue. */
export const onChange = (callback) => listeners.add(callback);

/** Takes a catalogue that another route answered with. */
export function accept(catalogue) {
  known = catalogue;
  listeners.forEach((callback) => callback(catalogue));
}

/** Asks the pack. Never throws: without an answer the nodes work as they are declared. */
export async function load() {
  try {
    const answer = await api.fetchApi("/siliconflow/catalogue", { cache: "no-store" });
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    accept(await answer.json());
  } catch (error) {
    console.warn("SiliconFlow: no catalogue, so every node shows all of its inputs.", error);
  }
}

/** Keeps up with settings (another site has other models) and with a server that was restarted. */
export function watch() {
  api.addEventListener("siliconflow.settings", load);
  api.addEventListener("reconnected", load);
}
