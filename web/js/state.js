/** The pack's settings as the page last heard of them: one copy, read when somebody looks. */

import { Refusal, getSettings, listen, setSettings } from "./api.js";
import { Living } from "./logic/living.js";

let latest = null;
let reading = null;
/** Who wants to be told of every change. */
export const watchers = new Living();

/** The settings; asked for once, and again after somebody changed them. */
export async function settings() {
  if (latest) return latest;
  reading ??= getSettings()
    .then(accept)
    .finally(() => (reading = null));
  return reading;
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
  listen("settings", async () => {
    latest = null;
    if (!watchers.size) return;
    try {
      await settings();
    } catch (error) {
      if (!(error instanceof Refusal || error instanceof TypeError)) throw error;
    }
  });
}
