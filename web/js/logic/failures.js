/**
 * Failures on show: the same one once, never more than a few. Failures of runs come by events; rejections are
 * what nodes of ours refused when the graph was queued. Does nothing on import.
 */

/** @import { Failure, FailureEntry, FailureList } from "../types" */
/** @import { NodeError, OpenQuestion, Rejection, Remedies, Remedy, RemedyName, ValidationError } from "../types" */

import { isOwn } from "./own_nodes.js";

const MOST_SHOWN = 3;
const SAME_EVENT_SECONDS = 5;

/**
 * What may help against a kind of failure, besides what the server offers for this one.
 * @type {Record<string, { setting?: string, remedies?: RemedyName[] }>}
 */
const BY_KIND = {
  MissingKey: { remedies: ["key"] },
  InvalidKey: { remedies: ["key"] },
  InvalidSettings: { remedies: ["settings"] },
  UploadTooLarge: { setting: "upload_side" },
  WaitTooLong: { setting: "longest_wait", remedies: ["again"] },
  InsufficientBalance: { remedies: ["top_up", "again"] },
  RateLimited: { remedies: ["again"] },
  Overloaded: { remedies: ["again"] },
  NotConnected: { remedies: ["again"] },
  ServerError: { remedies: ["again"] },
  GatewayTimeout: { remedies: ["again"] },
  ConnectionLost: { remedies: ["again"] },
  ReadTimeout: { remedies: ["again"] },
  BrokenStream: { remedies: ["again"] },
  BadAnswer: { remedies: ["again"] },
  Unusable: { remedies: ["again"] },
  DownloadFailed: { remedies: ["again"] },
  ResultMissing: { remedies: ["panel"] },
};

/** @type {FailureList} */
export const NO_FAILURES = { shown: [], hidden: 0 };

/**
 * The list after a failure: `at` in seconds tells an event that came twice from a second failure.
 * @param {FailureList} list
 * @param {Failure} failure
 * @param {number} at
 * @returns {FailureList}
 */
export function withFailure(list, failure, at) {
  const known = list.shown.find((each) => isAlike(each, failure));
  if (known && isSameEvent(known, failure, at)) return list;
  const entry = { ...failure, at, count: (known?.count ?? 0) + 1 };
  const shown = [entry, ...list.shown.filter((each) => each !== known)];
  return { shown: shown.slice(0, MOST_SHOWN), hidden: list.hidden + Math.max(0, shown.length - MOST_SHOWN) };
}

/**
 * @param {FailureList} list
 * @param {FailureEntry} failure
 * @returns {FailureList}
 */
export function withoutFailure(list, failure) {
  const shown = list.shown.filter((each) => each !== failure);
  return shown.length ? { ...list, shown } : NO_FAILURES;
}

/**
 * What stands on the page, newest first, and how many failures and rejections have no room. They are counted
 * apart: a failure is in the list of jobs too, a rejection is not.
 * @template {{ at: number }} Rejected
 * @param {FailureList} list
 * @param {Rejected[]} rejections
 */
export function visibleCards(list, rejections) {
  const all = [...rejections, ...list.shown].sort((a, b) => b.at - a.at);
  const rest = all.slice(MOST_SHOWN);
  const isRejection = new Set(/** @type {{ at: number }[]} */ (rejections));
  const hiddenRejections = rest.filter((each) => isRejection.has(each)).length;
  const hiddenFailures = list.hidden + rest.length - hiddenRejections;
  return { cards: all.slice(0, MOST_SHOWN), hiddenFailures, hiddenRejections };
}

/**
 * What the user can do about it, the best first, with what it is to be done with. With the seed of a run that may
 * have been paid, to run again is to get what was.
 * @param {{ kind: string, cause?: string, remedies?: Remedies }} failure
 * @returns {Remedy[]}
 */
export function remediesOf({ kind, cause = kind, remedies: { seed, site, models = [], setting } = {} }) {
  const { setting: own, remedies = [] } = BY_KIND[cause] ?? {};
  /** @type {Remedy[]} */
  const list = models.slice(0, 1).map((model) => ["model", model]);
  if (site) list.push(["site", site]);
  if (setting ?? own) list.push(["setting", setting ?? own]);
  for (const name of remedies) if (!(name === "key" && site) && !(name === "again" && seed !== undefined)) list.push([name]);
  if (seed !== undefined) list.push(["again", seed]);
  return list;
}

/**
 * Whether a failure belongs on the page while this workflow is open; where either is unknown it does.
 * @param {{ workflow?: string }} failure
 * @param {string} open id of the workflow
 */
export const isOf = ({ workflow }, open) => !workflow || !open || workflow === open;

/**
 * Which sentence says whether it was charged.
 * @param {boolean | null | undefined} charged
 */
export function chargedKey(charged) {
  if (charged === null || charged === undefined) return "failure.maybe_charged";
  return charged ? "failure.charged" : "failure.not_charged";
}

/**
 * The message line by line, without what the card shows elsewhere: the title that the first line
 * begins with, the model and the trace id.
 * @param {string} message
 * @param {string} title
 * @param {{ model?: string, trace_id?: string }} failure
 */
export function messageLines(message, title, failure) {
  const elsewhere = [failure.model, failure.trace_id].filter(Boolean);
  /** @param {string} line */
  const isElsewhere = (line) => elsewhere.includes(/^[^:：]{1,20}[:：]\s*(\S+)$/.exec(line)?.[1]);
  const [first = "", ...rest] = message.split("\n").map((line) => line.trim());
  return [withoutTitle(first, title), ...rest].filter((line) => line && !isElsewhere(line));
}

/**
 * "Refused (HTTP 400): bad size", "Refused" -> "HTTP 400: bad size".
 * @param {string} line
 * @param {string} title
 */
function withoutTitle(line, title) {
  if (!title || !line.startsWith(title)) return line;
  const rest = line.slice(title.length).trim();
  return rest.replace(/^[(（]([^)）]*)[)）]/, "$1").replace(/^[:：.。]\s*/, "");
}

/**
 * @param {Failure} a
 * @param {Failure} b
 */
function isAlike(a, b) {
  return a.kind === b.kind && a.model === b.model && a.message?.en?.split("\n")[0] === b.message?.en?.split("\n")[0];
}

/**
 * @param {FailureEntry} known
 * @param {Failure} failure
 * @param {number} at
 */
function isSameEvent(known, failure, at) {
  return known.node === failure.node && known.trace_id === failure.trace_id && at - known.at < SAME_EVENT_SECONDS;
}

/**
 * The nodes whose failure has a card, so that ComfyUI's own report of it is not needed. ComfyUI names one node
 * of a run that failed: the others must not outlive the run, or they would hide what a later run reports.
 */
export class ReportedNodes {
  /** @type {Set<string>} */
  #nodes = new Set();

  /**
   * A mistake of the pack itself keeps ComfyUI's report: whoever mends it wants the traceback.
   * @param {Pick<Failure, "kind" | "node">} failure
   */
  add({ kind, node }) {
    if (kind !== "Unforeseen") this.#nodes.add(String(node));
  }

  clear() {
    this.#nodes.clear();
  }

  /**
   * Whether a card says what ComfyUI reports now; true once for each card.
   * @param {{ node_id: string | number, node_type?: string }} error
   */
  take({ node_id: node, node_type: type }) {
    return isOwn(type) && this.#nodes.delete(String(node));
  }
}

/**
 * Whether a dialog's text is about this error of ComfyUI, and not about another one that nobody has read yet.
 * @param {string} text
 * @param {{ exception_message?: string }} error
 */
export function isAbout(text, { exception_message: message = "" }) {
  const first = message.trim().split("\n")[0]?.trim();
  return Boolean(first) && text.includes(String(first));
}

const CUSTOM_VALIDATION = "custom_validation_failed";

/**
 * What our nodes refused in a queued graph, one for each node. Nothing was sent, so nothing was charged.
 * @param {Record<string, NodeError> | undefined} nodeErrors
 * @returns {Rejection[]}
 */
export function rejectionsIn(nodeErrors) {
  return Object.entries(nodeErrors ?? {}).flatMap(([node, entry]) => {
    if (!isOurs(entry)) return [];
    const messages = entry.errors.filter(isRejection).map(messageOf);
    const said = [...new Set(messages)].join("\n");
    return said ? [{ node, kind: "InvalidInput", said, charged: false }] : [];
  });
}

/**
 * The rejections with the time they came; of those that a batch repeats the earlier one stays, so that it is not
 * read aloud again.
 * @template {Pick<Rejection, "node" | "said">} Rejected
 * @param {Rejected[]} rejections
 * @param {(Rejected & { at: number })[]} before
 * @param {number} at
 */
export function withTimes(rejections, before, at) {
  return rejections.map((rejection) => {
    const known = before.find((old) => old.node === rejection.node && old.said === rejection.said);
    return known && at - known.at < SAME_EVENT_SECONDS ? known : { ...rejection, at };
  });
}

/**
 * Whether a node itself refused an input.
 * @param {ValidationError} error
 */
export const isRejection = ({ type }) => type === CUSTOM_VALIDATION;

/** @param {NodeError} node */
const isOurs = ({ class_type: type, errors }) => isOwn(type) && Array.isArray(errors);

/**
 * What a node said, without the input that ComfyUI wrote before it.
 * @param {ValidationError} error
 */
const messageOf = ({ details }) => details.split(" - ").slice(1).join(" - ");

/**
 * The question of a prompt that was stopped, in place of the one that is open: with the prompts that wait for the same
 * answer, and what of the open one is asked no more.
 * @param {OpenQuestion | null} open
 * @param {string} prompt
 * @param {readonly string[]} contents
 * @returns {OpenQuestion & { forgotten: string[] }}
 */
export function withQuestion(open, prompt, contents) {
  const before = open?.contents ?? [];
  const isShared = before.some((content) => contents.includes(content));
  const prompts = [...new Set([...(isShared && open ? open.prompts : []), prompt])];
  return { prompts, contents, forgotten: before.filter((content) => !contents.includes(content)) };
}
