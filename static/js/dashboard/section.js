/** A section of the dashboard that is folded away, and asks for its list when somebody opens it. @module */

import { byId } from '../dom.js';
import { Listing } from './listing.js';

/** @typedef {import('../types.js').Answer} Answer */

export class Section {
  #fold;
  #list;
  /** @type {HTMLFormElement|null} */
  #form;

  /**
   * @param {string} name of its elements in the page
   * @param {(filter: Record<string, string>, cursor: string|null) => Promise<Answer>} ask for a page
   * @param {(item: any, list: Listing) => HTMLElement} row
   * @param {string} empty what to say if there is nothing
   */
  constructor(name, ask, row, empty) {
    this.#fold = byId(name);
    this.#form = /** @type {HTMLFormElement|null} */ (document.getElementById(`${name}-form`));
    this.#list = new Listing((cursor) => ask(this.#filter(), cursor), (item) => row(item, this.#list), empty);
    byId(`${name}-list`).append(this.#list.element);
    this.#fold.addEventListener('toggle', () => this.load());
    this.#form?.addEventListener('submit', (event) => {
      event.preventDefault();
      this.load();
    });
  }

  /** Anew, if it is open. */
  load() {
    if (this.#fold.open) this.#list.load();
  }

  /** Nothing of it is to be seen any more. */
  clear() {
    this.#fold.open = false;
    this.#list.clear();
  }

  /** @returns {Record<string, string>} */
  #filter() {
    const values = this.#form === null ? [] : [...new FormData(this.#form)];
    return Object.fromEntries(values.map(([name, value]) => [name, String(value).trim()]));
  }
}
