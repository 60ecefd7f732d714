/**
 * What is told to elements of the page for as long as they are there. Nobody tells a row of a dialog
 * that the dialog was closed, so this looks for itself, and holds none of them. Does nothing on import.
 */

/** An element is made before it is put on the page; by then it has been. */
const LOOK_MILLISECONDS = 250;

/** Elements, each with something that belongs to it. */
export class Living {
  #kept = new Set();
  #belongings = new WeakMap();
  #later = null;

  /** Keeps what belongs to an element, until the element leaves the page. Gives what ends that at once. */
  add(element, belonging) {
    const entry = { held: new WeakRef(element), wasThere: false };
    this.#belongings.set(element, [...(this.#belongings.get(element) ?? []), { entry, belonging }]);
    this.#kept.add(entry);
    this.sweep();
    clearTimeout(this.#later);
    this.#later = setTimeout(() => this.sweep(), LOOK_MILLISECONDS);
    this.#later.unref?.(); // Node would wait for it
    return () => this.#kept.delete(entry);
  }

  /** How many there are. */
  get size() {
    this.sweep();
    return this.#kept.size;
  }

  /** Calls back with what belongs to each. */
  forEach(callback) {
    this.sweep();
    for (const entry of [...this.#kept]) {
      const found = this.#belongings.get(entry.held.deref())?.find((each) => each.entry === entry);
      if (found && this.#kept.has(entry)) callback(found.belonging);
    }
  }

  /** Forgets what was on the page and is not any more. */
  sweep() {
    for (const entry of this.#kept) {
      const element = entry.held.deref();
      if (!element || (entry.wasThere && !element.isConnected)) this.#kept.delete(entry);
      else entry.wasThere ||= element.isConnected;
    }
  }
}
