/**
 * Values that belong to elements, for as long as these are on the page. Nobody tells a row of a dialog
 * that the dialog was closed, so this looks for itself, and keeps no element alive. Does nothing on import.
 */

/** An element is made before it is put on the page; after this long it has been. */
const CHECK_MILLISECONDS = 250;

/** @typedef {{ element: WeakRef<Element>, wasConnected: boolean }} Entry */

/** @template Value */
export class MountedElements {
  /** @type {Set<Entry>} */
  #entries = new Set();
  /** @type {WeakMap<Element, { entry: Entry, value: Value }[]>} */
  #values = new WeakMap();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #check = undefined;

  /**
   * Remembers a value until the element leaves the page. Returns what forgets it at once.
   * @param {Element} element
   * @param {Value} value
   */
  add(element, value) {
    const entry = { element: new WeakRef(element), wasConnected: false };
    this.#values.set(element, [...(this.#values.get(element) ?? []), { entry, value }]);
    this.#entries.add(entry);
    this.sweep();
    clearTimeout(this.#check);
    this.#check = setTimeout(() => this.sweep(), CHECK_MILLISECONDS);
    return () => this.#entries.delete(entry);
  }

  get size() {
    this.sweep();
    return this.#entries.size;
  }

  /**
   * Calls back with each value.
   * @param {(value: Value) => void} callback
   */
  forEach(callback) {
    this.sweep();
    for (const entry of [...this.#entries]) {
      const element = entry.element.deref();
      const found = element && this.#values.get(element)?.find((each) => each.entry === entry);
      if (found && this.#entries.has(entry)) callback(found.value);
    }
  }

  /** Forgets what was on the page and is not any more. */
  sweep() {
    for (const entry of this.#entries) {
      const element = entry.element.deref();
      if (!element || (entry.wasConnected && !element.isConnected)) this.#entries.delete(entry);
      else entry.wasConnected ||= element.isConnected;
    }
  }
}
