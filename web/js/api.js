/** Requests to the pack's routes, and its events. An error response is thrown as an ApiError. */

/** @import { Account, Balance, Catalogue, ErrorBody, Events, Hop, InputFile, JobList, Spend } from "./types" */
/** @import { LocalizedText, Settings, Site, Stored, WaitingRun } from "./types" */

import { api } from "../../../scripts/api.js";

/** What a route said instead of a result, in every language. */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {ErrorBody["error"]} error
   */
  constructor(status, error) {
    super(error?.message ?? `HTTP ${status}`);
    this.status = status;
    this.kind = error?.kind ?? "";
    const { kind: _kind, message: _message, trace_id: _traceId, ...wordings } = error ?? {};
    /** @type {LocalizedText} */
    this.text = wordings;
    this.traceId = error?.trace_id ?? "";
  }
}

/**
 * @param {"GET" | "POST" | "DELETE"} method
 * @param {string} path
 * @param {object} [content]
 */
async function request(method, path, content) {
  const json = content && { headers: { "Content-Type": "application/json" }, body: JSON.stringify(content) };
  const response = await api.fetchApi(`/siliconflow/${path}`, { method, cache: "no-store", ...json });
  const body = await response.json().catch(() => null);
  if (!response.ok) throw new ApiError(response.status, body?.error);
  return body;
}

/** @returns {Promise<Settings>} */
export const getSettings = () => request("GET", "settings");

/**
 * @param {Partial<Settings["values"]>} values
 * @returns {Promise<Settings>}
 */
export const setSettings = (values) => request("POST", "settings", values);

/**
 * With a site, both are stored or neither.
 * @param {string} key
 * @param {Site} [site]
 * @returns {Promise<Settings>}
 */
export const setKey = (key, site) => request("POST", "key", site ? { key, site } : { key });

/** @returns {Promise<Settings>} */
export const deleteKey = () => request("DELETE", "key", {});

/**
 * Without a key: the stored one.
 * @param {string} [key]
 * @param {Site} [site]
 * @returns {Promise<Account>}
 */
export const testKey = (key, site) => request("POST", "key/test", key ? { key, site } : {});

/**
 * Every hop to the service, with the same key as `testKey`.
 * @param {string} [key]
 * @param {Site} [site]
 * @returns {Promise<{ hops: Hop[] }>}
 */
export const testConnection = (key, site) => request("POST", "connection/test", key ? { key, site } : {});

/** @returns {Promise<Balance>} */
export const getBalance = () => request("GET", "balance");

/** @returns {Promise<Spend>} */
export const getSpend = () => request("GET", "spend");

/**
 * Who cancels is asked again.
 * @param {string[]} contents those of the question
 */
export const forgetQuestions = (contents) => request("DELETE", "questions", { contents });

/**
 * What the user was asked about has been read, and goes ahead when it is queued again.
 * @param {string[]} contents those of the question
 * @param {number} runs for how many prompts that holds
 */
export const answerQuestions = (contents, runs) => request("POST", "questions", { contents, runs });

/**
 * What waits in the background; and what was lost in a restart and is to be asked about, until there was an answer.
 * @param {boolean} ask
 * @returns {Promise<{ runs: WaitingRun[], ask: string[], now: number }>}
 */
export const getBackground = (ask) => request("GET", `background${ask ? `?ask=${api.clientId || "page"}` : ""}`);

/** @param {boolean} isWished whether to go on with what was asked about; else it is stopped */
export const answerBackground = (isWished) => request("POST", "background", { go_on: isWished });

/**
 * Queues a workflow again that waits in the background.
 * @param {string} id
 * @param {boolean} mayPay whether what is missing is sent, and charged, again
 */
export const goOn = (id, mayPay = false) => request("POST", `background/${encodeURIComponent(id)}`, { may_pay: mayPay });

/** @param {string} id */
export const giveUp = (id) => request("DELETE", `background/${encodeURIComponent(id)}`, {});

/**
 * A part of the list of all jobs: the first one, or the one that begins `before`.
 * @param {{ limit: string, before?: string, search?: string, state?: string, task?: string }} query
 * @returns {Promise<JobList>}
 */
export const getJobs = (query) => request("GET", `jobs?${new URLSearchParams(query)}`);

/**
 * Copies an image of a job into ComfyUI's input folder.
 * @param {string} id
 * @param {number} place
 * @returns {Promise<InputFile>}
 */
export const loadImage = (id, place) => request("POST", `jobs/${encodeURIComponent(id)}/${place}/load`, {});

/**
 * @param {string} id
 * @returns {Promise<Comfy.Workflow>}
 */
export const getWorkflow = (id) => request("GET", `jobs/${encodeURIComponent(id)}/workflow`);

/**
 * Stores an image in ComfyUI's input folder, by ComfyUI's own route, which finds it a free name. Not in a folder there:
 * the lists of Load Image nodes have none of its files, and what is on no list is marked as missing after a reload.
 * @param {Blob} content
 * @param {string} name
 * @returns {Promise<InputFile>}
 */
export async function uploadImage(content, name) {
  const body = new FormData();
  body.append("image", content, name);
  const response = await api.fetchApi("/upload/image", { method: "POST", body });
  if (!response.ok) throw new ApiError(response.status, undefined);
  return response.json();
}

/** @returns {Promise<Stored>} */
export const getStored = () => request("GET", "stored");

/** @returns {Promise<Stored>} */
export const clearStored = () => request("DELETE", "stored", {});

/** @returns {Promise<Catalogue>} */
export const getCatalogue = () => request("GET", "catalogue");

/** @returns {Promise<Catalogue>} */
export const refreshModels = () => request("POST", "models/refresh", {});

/**
 * Calls back with the content of each event of the pack that has this name.
 * @template {keyof Events} Name
 * @param {Name} name
 * @param {(content: Events[Name]) => void} callback
 */
export function onEvent(name, callback) {
  // ComfyUI's types know only its own events.
  /** @type {EventTarget} */ (api).addEventListener(`siliconflow.${name}`, (event) =>
    callback(/** @type {CustomEvent<Events[Name]>} */ (event).detail),
  );
}
