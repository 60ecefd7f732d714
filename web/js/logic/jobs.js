/** The list of jobs: how events change it and what is shown of it. Does nothing on import. */

/** @import { Job, JobSearch, JobState, TextValues } from "../types" */
/** @import { Row } from "./virtual_list.js" */

import { formatCountdown } from "./format.js";

/** What is shorter would read as 0.0: no response comes so soon. */
const LEAST_SECONDS = 0.05;

/**
 * The list with one job added or replaced, newest first; without it, if it is not what is searched for.
 * @param {Job[]} jobs
 * @param {Job} job
 * @param {JobSearch} [search]
 */
export function withJob(jobs, job, search) {
  const rest = jobs.filter((each) => each.id !== job.id);
  return search && !matches(job, search) ? rest : sorted([...rest, job]);
}

/**
 * The list with a part of it that a route gave, but for the jobs that events told of after the request: what is on
 * the list of these is newer, and what is not is there no more.
 * @param {Job[]} jobs
 * @param {Job[]} received
 * @param {Set<string>} updated ids
 */
export function withResponse(jobs, received, updated) {
  const ids = new Set(received.map((job) => job.id));
  const others = jobs.filter((job) => updated.has(job.id) || !ids.has(job.id));
  return sorted([...others, ...received.filter((job) => !updated.has(job.id))]);
}

/**
 * Whether a search takes a job, as the server decides it.
 * @param {Job} job
 * @param {JobSearch} search
 */
export function matches(job, { words, states, tasks }) {
  const texts = `${job.prompt ?? ""}\n${job.model ?? ""}`.toLowerCase();
  /** @param {string} choices @param {string} value */
  const isAmong = (choices, value) => !choices || choices.split(",").includes(value);
  const hasWords = words.toLowerCase().split(/\s+/).every((word) => texts.includes(word));
  return hasWords && isAmong(states, job.state) && isAmong(tasks, job.task);
}

/**
 * How many have results: not those that failed, or are under way.
 * @param {Job[]} jobs
 */
export const countOf = (jobs) => jobs.filter(({ state }) => state === "done" || state === "reused").length;

/**
 * The lines of the list: each day's jobs below the day. Failures that say the same of the same request, one after
 * the other, are one line until that is opened. A question has none any more as soon as its node of the same
 * workflow has run, or asked, again.
 * @param {Job[]} jobs newest first
 * @param {{ has: (key: string) => boolean }} [opened] the lines that are open
 * @returns {Row[]}
 */
export function rowsOf(jobs, opened = new Set()) {
  let midnight = Infinity;
  /** @type {Row[]} */
  const rows = [];
  const nodes = new Set();
  for (const job of jobs) {
    const node = JSON.stringify([job.workflow, job.node_type, job.node]);
    if (job.state === "asked" && nodes.has(node)) continue;
    nodes.add(node);
    const isNewDay = job.at < midnight;
    if (isNewDay) {
      midnight = new Date(job.at * 1000).setHours(0, 0, 0, 0) / 1000;
      rows.push({ key: `day ${midnight}`, day: midnight });
    }
    const last = rows.at(-1);
    if (!isNewDay && last?.job && !opened.has(last.key) && saysTheSame(last.job, job)) last.times += 1;
    else rows.push({ key: job.id, day: midnight, job, times: 1 });
  }
  return rows;
}

/**
 * @param {Job} one
 * @param {Job} other
 */
function saysTheSame(one, other) {
  /** @param {Job} job */
  const said = ({ state, node_type, model, prompt, reason }) => JSON.stringify([state, node_type, model, prompt, reason]);
  return hasFailed(one) && said(one) === said(other);
}

/** @param {Job} job */
export function isUnderWay(job) {
  return job.state === "running" || job.state === "waiting";
}

/**
 * Whether a job brought nothing: it is one line until somebody opens it.
 * @param {Job} job
 */
export function hasFailed(job) {
  return ["failed", "asked", "cancelled"].includes(job.state);
}

/**
 * Seconds that a job has taken so far, or took; null for one that failed before anything was sent. `now` is the
 * server's clock.
 * @param {Job} job
 * @param {number} now
 */
export function secondsOf(job, now) {
  if (isUnderWay(job)) return Math.max(0, now - job.at);
  const isUnsent = job.state === "asked" || (hasFailed(job) && Number(job.seconds) < LEAST_SECONDS);
  return isUnsent ? null : job.seconds;
}

/**
 * The key of the sentence that names the state, and what is filled in; with a countdown to the end of a rate
 * limit if that is known.
 * @param {Pick<Job, "state" | "waits_until">} job
 * @param {number} now
 * @returns {[key: "state.waiting_for" | `state.${JobState}`, values: TextValues]}
 */
export function stateText(job, now) {
  if (job.state !== "waiting" || !job.waits_until) return [`state.${job.state}`, {}];
  return ["state.waiting_for", { countdown: formatCountdown(Math.ceil(job.waits_until - now)) }];
}

/**
 * The images and videos that are still stored, and so can be shown and put on the canvas.
 * @param {Job} job
 */
export function storedImages(job) {
  return job.pictures.filter((image) => image.is_here);
}

/**
 * Where arrow keys, Home and End move the focus in a list; null for other keys.
 * @param {string} key
 * @param {number} index
 * @param {number} count
 */
export function nextIndex(key, index, count) {
  /** @type {Record<string, number | undefined>} */
  const moves = { ArrowDown: index + 1, ArrowUp: index - 1, Home: 0, End: count - 1 };
  const moved = moves[key];
  return moved !== undefined && count ? Math.min(Math.max(moved, 0), count - 1) : null;
}

/** @param {Job[]} jobs */
function sorted(jobs) {
  return [...jobs].sort((a, b) => b.at - a.at || b.id.localeCompare(a.id));
}
