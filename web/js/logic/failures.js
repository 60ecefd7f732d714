/** Failures on show: the same one once, never more than a few. Does nothing on import. */

const MOST_SHOWN = 3;
const SAME_EVENT_SECONDS = 5;

/** Kinds that a key mends. */
const KEY_KINDS = new Set(["MissingKey", "InvalidKey"]);
/** Kinds that a setting mends. */
const SETTINGS_KINDS = new Set(["InvalidSettings", "GuardStopped", "WaitTooLong"]);

export const NOTHING = { shown: [], hidden: 0 };

/** What is on show after a failure: `at` in seconds tells an event heard twice from a second failure. */
export function withFailure(state, failure, at) {
  const known = state.shown.find((each) => alike(each, failure));
  if (known && heardTwice(known, failure, at)) return state;
  const entry = { ...failure, at, count: (known?.count ?? 0) + 1 };
  const shown = [entry, ...state.shown.filter((each) => each !== known)];
  return { shown: shown.slice(0, MOST_SHOWN), hidden: state.hidden + Math.max(0, shown.length - MOST_SHOWN) };
}

export function without(state, failure) {
  const shown = state.shown.filter((each) => each !== failure);
  return shown.length ? { ...state, shown } : NOTHING;
}

/**
 * What stands on the page: failures of runs, and `refusals` of the last queueing, newest first. Of what has no
 * room, failures are counted in `hidden`, refusals in `refused`: no list of jobs has those.
 */
export function onShow(state, refusals) {
  const all = [...refusals, ...state.shown].sort((a, b) => b.at - a.at);
  const left = all.slice(MOST_SHOWN);
  const refused = left.filter((each) => refusals.includes(each)).length;
  return { shown: all.slice(0, MOST_SHOWN), hidden: state.hidden + left.length - refused, refused };
}

/** What the user can do about it right here: "key", "settings" or nothing. */
export function remedy(failure) {
  if (KEY_KINDS.has(failure.kind)) return "key";
  return SETTINGS_KINDS.has(failure.kind) ? "settings" : null;
}

/** Which sentence says whether it was paid. */
export function chargedKey(charged) {
  if (charged === null || charged === undefined) return "failure.maybe_charged";
  return charged ? "failure.charged" : "failure.not_charged";
}

/**
 * The message line by line, without what the card shows elsewhere: the title that the first line
 * begins with, the model and the trace id.
 */
export function linesOf(message, title, failure) {
  const elsewhere = [failure.model && /^(model|模型)\s*[:：]/i, failure.trace_id && /^trace id\s*[:：]/i].filter(
    Boolean,
  );
  const [first = "", ...rest] = message.split("\n").map((line) => line.trim());
  return [withoutTitle(first, title), ...rest].filter((line) => line && !elsewhere.some((kind) => kind.test(line)));
}

/** "Refused (HTTP 400): bad size", "Refused" -> "HTTP 400: bad size". */
function withoutTitle(line, title) {
  if (!title || !line.startsWith(title)) return line;
  const rest = line.slice(title.length).trim();
  return rest.replace(/^[(（]([^)）]*)[)）]/, "$1").replace(/^[:：.。]\s*/, "");
}

function alike(a, b) {
  return a.kind === b.kind && a.model === b.model && a.message?.en?.split("\n")[0] === b.message?.en?.split("\n")[0];
}

function heardTwice(known, failure, at) {
  return known.node === failure.node && known.trace_id === failure.trace_id && at - known.at < SAME_EVENT_SECONDS;
}

/**
 * Which of ComfyUI's errors are told by a card already. ComfyUI names one node of a run that failed:
 * what is left of the others must not outlive the run, or it would be taken for what a later run says.
 */
export class Told {
  #nodes = new Set();

  /** A card tells it. A mistake of the pack itself keeps ComfyUI's dialog: whoever mends that wants the traceback. */
  add({ kind, node }) {
    if (kind !== "Unforeseen") this.#nodes.add(String(node));
  }

  /** Another run begins. */
  forget() {
    this.#nodes.clear();
  }

  /** Whether a card has said what ComfyUI says now; once. */
  takes({ node_id: node, node_type: type }) {
    return String(type ?? "").startsWith("SiliconFlow") && this.#nodes.delete(String(node));
  }
}

/** Whether a dialog's text is about this error of ComfyUI, and not about another one that nobody has read yet. */
export function isAbout(text, { exception_message: message }) {
  const [first] = String(message ?? "").trim().split("\n");
  return first !== "" && text.includes(first.trim());
}

const OWN_REFUSAL = "custom_validation_failed";

/** What a node said, without the input that ComfyUI wrote before it. */
const saidIn = ({ details }) => String(details).split(" - ").slice(1).join(" - ");

/** Whether an error stands at the input that it is about: ours begin with "name: " or "label (name): ". */
function isAtItsInput(error) {
  const name = String(error.extra_info?.input_name);
  const [input, ...reason] = saidIn(error).split(/[:：]/);
  return reason.length > 0 && (input === name || input.endsWith(`(${name})`) || input.endsWith(`（${name}）`));
}

/**
 * The errors of a queued graph, by node, each refusal of our nodes once: ComfyUI repeats what a node says for
 * every input that the node looks at itself.
 */
export function toldOnce(nodeErrors) {
  const entries = Object.entries(nodeErrors ?? {}).map(([id, node]) => [id, isOurs(node) ? withoutEchoes(node) : node]);
  return Object.fromEntries(entries);
}

/** What our nodes refused in a queued graph, as failures: one for each node. Nothing was sent, so nothing was paid. */
export function refusalsIn(nodeErrors) {
  const ours = Object.entries(toldOnce(nodeErrors)).filter(([, node]) => isOurs(node));
  return ours.map(([node, { errors }]) => refusal(node, errors)).filter((each) => each.said);
}

function refusal(node, errors) {
  const lines = errors.filter(({ type }) => type === OWN_REFUSAL).map(saidIn);
  return { node, kind: "InvalidInput", said: [...new Set(lines)].join("\n"), charged: false };
}

/** Refusals heard `at`: of those that a batch repeats the first stays, so that it is not read aloud again. */
export function heardAt(refusals, before, at) {
  const isSame = (a, b) => a.node === b.node && a.said === b.said && at - a.at < SAME_EVENT_SECONDS;
  return refusals.map((each) => before.find((old) => isSame(old, each)) ?? { ...each, at });
}

const isOurs = ({ class_type: type, errors }) => String(type).startsWith("SiliconFlow") && Array.isArray(errors);

function withoutEchoes(node) {
  const isEcho = (error) =>
    error.type === OWN_REFUSAL &&
    !isAtItsInput(error) &&
    node.errors.some((other) => other.type === OWN_REFUSAL && saidIn(other) === saidIn(error) && isAtItsInput(other));
  return { ...node, errors: node.errors.filter((error) => !isEcho(error)) };
}
