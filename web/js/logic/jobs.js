/** The list of jobs: how events change it and what is shown of it. Does nothing on import. */

/** @import { Job, JobState, TextValues } from "../types" */

import { formatCountdown, isSameDay } from "./format.js";

const MOST_JOBS = 500;

/**
 * The list with one job added or replaced: newest first, and never longer than the limit.
 * @param {Job[]} jobs
 * @param {Job} job
 */
export function withJob(jobs, job) {
  const rest = jobs.filter((each) => each.id !== job.id);
  return sorted([...rest, job]).slice(0, MOST_JOBS);
}

/**
 * The list as a route gave it, but for the jobs that events told of after the request: these are newer.
 * @param {Job[]} jobs
 * @param {Job[]} received
 * @param {Set<string>} updated ids
 */
export function withResponse(jobs, received, updated) {
  const newer = jobs.filter((job) => updated.has(job.id));
  return newer.reduce(withJob, sorted(received).slice(0, MOST_JOBS));
}

/** @param {Job} job */
export function isUnderWay(job) {
  return job.state === "running" || job.state === "waiting";
}

/**
 * Seconds that a job has taken so far, or took. `now` is the server's clock.
 * @param {Job} job
 * @param {number} now
 */
export function secondsOf(job, now) {
  return isUnderWay(job) ? Math.max(0, now - job.at) : job.seconds;
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
 * How many jobs there are; a list that is open at midnight has some of yesterday.
 * @param {Job[]} jobs
 * @param {number} now
 */
export function counts(jobs, now) {
  const today = jobs.filter((job) => isSameDay(job.at, now)).length;
  return { total: jobs.length, today, underWay: jobs.filter(isUnderWay).length };
}

/**
 * The images that are still stored, and so can be put on the canvas.
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
