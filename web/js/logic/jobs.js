/** The list of jobs: how events change it and what is shown of it. Does nothing on import. */

import { formatCountdown, isSameDay } from "./format.js";

const UNDER_WAY = new Set(["running", "waiting"]);
const MOST = 500;

/** The list with one job added or replaced, newest first, bounded. */
export function withJob(jobs, job) {
  const rest = jobs.filter((each) => each.id !== job.id);
  return sorted([...rest, job]).slice(0, MOST);
}

/** The list as a route gave it; what arrived by events meanwhile is kept if it is newer than the answer. */
export function withAnswer(jobs, answer, arrived = new Set()) {
  const kept = jobs.filter((job) => arrived.has(job.id));
  return kept.reduce(withJob, sorted(answer).slice(0, MOST));
}

export function isUnderWay(job) {
  return UNDER_WAY.has(job.state);
}

/** Whether anything on the list changes with the seconds. */
export function needsClock(jobs) {
  return jobs.some(isUnderWay);
}

/** Seconds a job has taken so far, or took. `now` is the server's clock. */
export function secondsOf(job, now) {
  return isUnderWay(job) ? Math.max(0, now - job.at) : job.seconds;
}

/** "0:24" until the limit lets the job on; "" when nobody knows. */
export function countdown(job, now) {
  if (job.state !== "waiting" || !job.waits_until) return "";
  return formatCountdown(Math.ceil(job.waits_until - now));
}

/** Which sentence names the state, and with what in it. */
export function stateText(job, now) {
  const left = countdown(job, now);
  return left ? ["state.waiting_for", { countdown: left }] : [`state.${job.state}`, {}];
}

/** How many there are; a list that is open at midnight has some of yesterday. */
export function counts(jobs, now) {
  const today = jobs.filter((job) => isSameDay(job.at, now)).length;
  return { total: jobs.length, today, underWay: jobs.filter(isUnderWay).length };
}

/** The pictures that can be put on the canvas. */
export function picturesHere(job) {
  return (job.pictures ?? []).filter((picture) => picture.is_here);
}

/** What the arrow keys, Home and End do to the place of the focus. */
export function nextPlace(key, place, count) {
  const moves = { ArrowDown: place + 1, ArrowUp: place - 1, Home: 0, End: count - 1 };
  return key in moves && count ? Math.min(Math.max(moves[key], 0), count - 1) : null;
}

function sorted(jobs) {
  return [...jobs].sort((a, b) => b.at - a.at || String(b.id).localeCompare(String(a.id)));
}
