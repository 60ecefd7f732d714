/** The pack's settings as last received: one copy, fetched when somebody looks. */

/** @import { Settings } from "./types" */

import { api } from "../../../scripts/api.js";
import { ApiError, getSettings, onEvent, setSettings } from "./api.js";
import { MountedElements } from "./logic/mounted.js";

/** @type {Settings | null} */
let latest = null;
/** @type {Promise<Settings> | null} */
let pending = null;
/**
 * Who is told of every change.
 * @type {MountedElements<(settings: Settings) => void>}
 */
export const watchers = new MountedElements();

/** The settings; fetched once, and again after somebody changed them. */
export async function settings() {
  return latest ?? (pending ??= fetchSettings());
}

/** A response to a request that was sent before a change is out of date when it comes. */
function fetchSettings() {
  /** @type {Promise<Settings>} */
  const request = getSettings().then((received) => (pending === request ? accept(received) : settings()));
  const finish = () => {
    if (pending === request) pending = null;
  };
  request.then(finish, finish);
  return request;
}

/**
 * Takes what a route answered as the newest settings, and tells everybody on the page.
 * @param {Settings} received
 */
export function accept(received) {
  latest = received;
  watchers.forEach((callback) => callback(received));
  return received;
}

/**
 * Changes one or more settings; throws if the server refuses.
 * @param {Partial<Settings["values"]>} values
 */
export const change = async (values) => accept(await setSettings(values));

/**
 * Calls back now and after every change, for as long as the element is on the page. Returns what ends that
 * earlier. The callback gets an error instead if the settings cannot be fetched.
 * @param {Element} element
 * @param {(settings: Settings | null, error?: unknown) => void} callback
 */
export function watch(element, callback) {
  const stop = watchers.add(element, callback);
  if (latest) queueMicrotask(() => latest && callback(latest));
  else settings().catch((error) => callback(null, error));
  return stop;
}

/** Other pages and programs may change the settings too. They are fetched again only if somebody looks. */
export function follow() {
  onEvent("settings", reload);
  api.addEventListener("reconnected", reload);
}

async function reload() {
  [latest, pending] = [null, null];
  if (!watchers.size) return;
  try {
    await settings();
  } catch (error) {
    if (!(error instanceof ApiError || error instanceof TypeError)) throw error;
  }
}
