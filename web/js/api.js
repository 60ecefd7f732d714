/** What the page asks the pack for. Every answer is JSON; a refusal is thrown as a Refusal. */

import { api } from "/scripts/api.js";

const JSON_TYPE = { "Content-Type": "application/json" };

/** A route that said no, with its reason in both languages. */
export class Refusal extends Error {
  constructor(status, error) {
    super(error?.message ?? `HTTP ${status}`);
    Object.assign(this, {
      status,
      kind: error?.kind ?? "",
      pair: { en: error?.en ?? "", zh: error?.zh ?? "" },
      traceId: error?.trace_id ?? "",
    });
  }
}

async function ask(method, path, content) {
  const sent = content === undefined ? {} : { headers: JSON_TYPE, body: JSON.stringify(content) };
  const answer = await api.fetchApi(`/siliconflow/${path}`, { method, cache: "no-store", ...sent });
  const body = await answer.json().catch(() => null);
  if (!answer.ok) throw new Refusal(answer.status, body?.error);
  return body;
}

export const getSettings = () => ask("GET", "settings");
export const setSettings = (values) => ask("POST", "settings", values);
/** With a site, key and site are stored in one step: both or neither. */
export const setKey = (key, site) => ask("POST", "key", site ? { key, site } : { key });
export const deleteKey = () => ask("DELETE", "key", {});
/** Without arguments: the key that is stored. */
export const testKey = (key, site) => ask("POST", "key/test", key ? { key, site } : {});
export const getBalance = () => ask("GET", "balance");
export const getJobs = () => ask("GET", "jobs");
export const loadPicture = (id, place) => ask("POST", `jobs/${encodeURIComponent(id)}/${place}/load`, {});
export const getWorkflow = (id) => ask("GET", `jobs/${encodeURIComponent(id)}/workflow`);
export const getStored = () => ask("GET", "stored");
export const clearStored = () => ask("DELETE", "stored", {});
export const refreshModels = () => ask("POST", "models/refresh", {});

/** The address of a path that a route gave, behind whatever base the page is served from. */
export const addressOf = (path) => api.apiURL(path);

/** Calls back with the content of each event of this name: failed, jobs, balance, settings. */
export const listen = (name, callback) =>
  api.addEventListener(`siliconflow.${name}`, (event) => callback(event.detail));
