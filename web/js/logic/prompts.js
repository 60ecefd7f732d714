/**
 * From which workflow each prompt was queued: what its nodes show belongs there alone, for a node of another
 * workflow may have the same id. Does nothing on import.
 */

/** @import { Origin, QueuedPrompt } from "../types" */

/** @typedef {Origin & { tabs: { graph: string | null, path: string }[] }} Open the workflow that is open, and all tabs */

import { isOwn } from "./own_nodes.js";

const MOST_REMEMBERED = 200;

/**
 * The tab of a workflow, -1 if it has none any more. One that was saved since has another path, which a new workflow
 * may take; two copies of a template have the same id. The id of a tab that was not opened yet is not known.
 * @param {Origin} queued
 * @param {Open["tabs"]} tabs
 */
export function tabOf({ graph, path }, tabs) {
  const own = tabs.findIndex((tab) => tab.path === path && (tab.graph ?? graph) === graph);
  return own < 0 ? tabs.findIndex((tab) => tab.graph === graph) : own;
}

export class QueuedPrompts {
  /** @type {Map<string, QueuedPrompt>} */
  #prompts;

  /** @param {[string, QueuedPrompt][]} remembered */
  constructor(remembered = []) {
    this.#prompts = new Map(remembered);
  }

  /**
   * @param {string} id of the prompt
   * @param {Record<string, { class_type?: string }>} output the nodes of the prompt, as they are queued
   * @param {Origin} from the workflow that is open then
   */
  add(id, output, { graph, path }) {
    const nodes = Object.keys(output).filter((node) => isOwn(output[node]?.class_type));
    this.#prompts.set(id, { graph, path, nodes });
  }

  /**
   * A prompt that waited in the background is queued again, by the server.
   * @param {string} first
   * @param {string} second
   */
  goOn(first, second) {
    const queued = this.#prompts.get(first);
    if (queued) this.#prompts.set(second, { ...queued, goesOn: true });
  }

  /** The last ones, to be remembered when the page is loaded again. */
  get remembered() {
    return [...this.#prompts].slice(-MOST_REMEMBERED);
  }

  /**
   * Whether this is a node of ours in a prompt of another workflow than the one that is open. A prompt that some other
   * script queued is not known: nothing is kept from it.
   * @param {string | null | undefined} prompt
   * @param {string | number | null | undefined} node
   * @param {Open} open
   */
  isElsewhere(prompt, node, open) {
    const home = this.homeOf(prompt, node);
    return home !== null && !this.#isOpen(home, open);
  }

  /**
   * The workflow of a prompt with this node of ours; null if it is not known.
   * @param {string | null | undefined} prompt
   * @param {string | number | null | undefined} node
   * @returns {Origin | null}
   */
  homeOf(prompt, node) {
    const queued = this.#prompts.get(String(prompt));
    return queued?.nodes.includes(String(node)) ? queued : null;
  }

  /**
   * The workflow of a prompt that was queued again by the server, if it is not the one that is open.
   * @param {string} prompt
   * @param {Open} open
   * @returns {Origin | null}
   */
  elsewhereOf(prompt, open) {
    const queued = this.#prompts.get(prompt);
    return queued?.goesOn && !this.#isOpen(queued, open) ? queued : null;
  }

  /**
   * @param {Origin} queued
   * @param {Open} open
   */
  #isOpen(queued, open) {
    if (queued.graph !== open.graph) return false;
    const tab = open.tabs[tabOf(queued, open.tabs)];
    return tab === undefined || tab.path === open.path;
  }
}
