/** The list: every card in order, oldest first, and where the page is scrolled to. @module */

import { Card } from './card.js';
import { byId, setText } from './dom.js';
import { plural } from './format.js';

/** @typedef {import('./types.js').Entry} Entry */
/** @typedef {import('./types.js').Doing} Doing */

/** Within this many pixels of the end the reader is taken to be following. */
const FOLLOWING_PX = 180;

export class List {
  /** @type {Map<string, Card>} */
  #cards = new Map();
  #list = byId('exchanges');
  #deeds;

  /** @param {import('./card.js').Deeds} deeds */
  constructor(deeds) {
    this.#deeds = deeds;
  }

  /**
   * Show an entry, at the end when it is new. A reader at the end is kept there when the page has grown;
   * a place in the queue that changes every second moves nobody.
   * @param {Entry} entry
   * @param {Doing|null} doing
   */
  show(entry, doing) {
    const { scrollHeight } = document.documentElement;
    const following = this.#following;
    const card = this.#cards.get(entry.id);
    if (card !== undefined) card.update(entry, doing);
    else this.#append(entry, doing);
    if (following && document.documentElement.scrollHeight !== scrollHeight) this.#follow(entry.id);
  }

  /** @param {string} id */
  remove(id) {
    const card = this.#cards.get(id);
    if (card === undefined) return;
    this.#cards.delete(id);
    const [next, focused] = [card.element.nextElementSibling, card.element.contains(document.activeElement)];
    card.element.remove();
    this.#count();
    if (!focused) return;
    if (next instanceof HTMLElement) this.#cards.get(next.dataset.id ?? '')?.focus();
    else byId('message').focus();
  }

  clear() {
    this.#cards.clear();
    this.#list.replaceChildren();
    this.#count();
  }

  get ids() {
    return [...this.#cards.keys()];
  }

  /** Move to a card: the newest message, or the answer that came. @param {string} id */
  reveal(id) {
    this.#follow(id);
  }

  /** @param {string} id */
  focus(id) {
    this.#cards.get(id)?.focus();
  }

  /** Bring the figures that run up to date. */
  tick() {
    for (const card of this.#cards.values()) if (card.running) card.tick();
  }

  /**
   * @param {Entry} entry
   * @param {Doing|null} doing
   */
  #append(entry, doing) {
    const card = new Card(entry, doing, this.#deeds);
    this.#cards.set(entry.id, card);
    this.#list.append(card.element);
    this.#count();
  }

  #count() {
    const count = this.#cards.size;
    byId('empty').hidden = count > 0;
    byId('list-head').hidden = count === 0;
    setText(byId('list-count'), `${plural(count, 'message')}, kept in this browser`);
  }

  get #following() {
    const { scrollHeight, clientHeight } = document.documentElement;
    return scrollHeight - clientHeight - window.scrollY < FOLLOWING_PX;
  }

  /** To the end of the page, or to the start of a newest card that is taller than the window. @param {string} id */
  #follow(id) {
    const element = this.#cards.get(id)?.element;
    if (element === undefined || element !== this.#list.lastElementChild) return;
    const room = window.innerHeight - byId('dock').offsetHeight;
    if (element.offsetHeight > room) element.scrollIntoView({ block: 'start' });
    else window.scrollTo(0, document.documentElement.scrollHeight);
  }
}
