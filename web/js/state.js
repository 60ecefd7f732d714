/** The pack's settings as the page last heard of them: one copy, read when somebody looks. */

import { api } from "/scripts/api.js";

import { Refusal, getSettings, listen, setSettings } from "./api.js";
import { Living } from "./logic/living.js";

let latest = null;
let reading = null;
/** Who wants to be told of every change. */
export const watchers = new Living();

/** The settings; asked for once, and again after somebody changed them. */
export async function settings() {
  if (latest) return latest;
  return (reading ??= ask());
}

/** What was asked before a change is no news any more once it comes. */
function ask() {
  const asked = getSettings().then((answer) => (reading === asked ? accept(answer) : settings()));
  const over = () => reading === asked && (reading = null);
  asked.then(over, over);
  return asked;
}

/** Takes an answer of a route as the newest truth and tells everybody on show. */
export function accept(answer) {
  latest = answer;
  watchers.forEach((tell) => tell(latest));
  return answer;
}

/** Changes one or more settings; throws the server's refusal. */
export const change = async (values) => accept(await setSettings(values));

/** Calls back now and after every change, as long as the element is on the page; gives what ends it before. */
export function watch(element, callback) {
  const end = watchers.add(element, callback);
  if (latest) queueMicrotask(() => latest && callback(latest));
  else settings().catch((error) => callback(null, error));
  return end;
}

/** Other pages, and other programs, may change the settings too. Asked anew only if somebody looks. */
export function follow() {
  listen("settings", readAnew);
  api.addEventListener("reconnected", readAnew);
}

async function readAnew() {
  [latest, reading] = [null, null];
  if (!watchers.size) return;
  try {
    await settings();
  } catch (error) {
    if (!(error instanceof Refusal || error instanceof TypeError)) throw error;
  }
}
