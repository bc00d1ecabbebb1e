/**
 * The thread: the messages of the chat that is open. It redraws what has changed and nothing else, and whatever is put in
 * above or below, what is being read stays where it is.
 * @module
 */

import { byId, h } from '../dom.js';

/** @typedef {{key: string, sign: string, make: () => HTMLElement}} Row something to show, drawn anew when `sign` changes */

/** This near the end somebody follows the talk, and the page scrolls along. */
const NEAR_PX = 64;

export class Thread {
  #scroller = byId('thread');
  #list = byId('messages');
  #more = byId('load-more');
  #newest = byId('to-newest');
  /** @type {Map<string, {sign: string, element: HTMLElement}>} */
  #drawn = new Map();
  #follows = true;
  #heard;

  /** @param {{more: () => void, newest: () => void, read: () => void}} heard */
  constructor(heard) {
    this.#heard = heard;
    this.#more.addEventListener('click', () => heard.more());
    this.#newest.addEventListener('click', () => heard.newest());
    this.#scroller.addEventListener('scroll', () => this.#scrolled(), { passive: true });
    this.#list.addEventListener('keydown', (/** @type {KeyboardEvent} */ event) => this.#walk(event));
    new ResizeObserver(() => {
      if (this.#follows) this.#toEnd();
    }).observe(this.#scroller);
  }

  /** Whether the end is in sight. */
  get atBottom() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    return scrollHeight - scrollTop - clientHeight < NEAR_PX;
  }

  /**
   * @param {Row[]} rows
   * @param {{more: boolean, beyond: number, atEnd: boolean}} around `beyond`: messages below that are not read
   */
  show(rows, { more, beyond, atEnd }) {
    const anchor = this.#follows && atEnd ? null : this.#anchor();
    this.#more.hidden = !more;
    const kept = new Set(rows.map(({ key }) => key));
    for (const [key, { element }] of this.#drawn) {
      if (kept.has(key)) continue;
      element.remove();
      this.#drawn.delete(key);
    }
    let at = this.#list.firstChild;
    for (const row of rows) {
      const old = this.#drawn.get(row.key)?.element;
      const element = this.#draw(row);
      if (old !== undefined && old !== element) {
        if (old === at) at = old.nextSibling;
        old.remove();
      }
      if (element === at) at = at.nextSibling;
      else this.#list.insertBefore(element, at);
    }
    if (anchor === null) this.#toEnd();
    else this.#hold(anchor);
    this.#rove();
    this.#offer(beyond, atEnd);
  }

  /** Another chat: begin at the end. */
  begin() {
    this.#follows = true;
    this.#drawn.clear();
    this.#list.replaceChildren();
  }

  /** Follow the talk from now on. */
  follow() {
    this.#follows = true;
    this.#toEnd();
  }

  /** Bring a row into view, and mark it for a moment. @param {string} key @param {{mark?: boolean}} [how] */
  reveal(key, { mark = true } = {}) {
    const element = this.#drawn.get(key)?.element;
    if (element === undefined) return;
    this.#follows = false;
    element.scrollIntoView({ block: mark ? 'center' : 'start' });
    if (!mark) return;
    element.classList.add('msg--found');
    element.focus({ preventScroll: true });
    setTimeout(() => element.classList.remove('msg--found'), 2_000);
  }

  /** @param {Row} row */
  #draw({ key, sign, make }) {
    const drawn = this.#drawn.get(key);
    if (drawn?.sign === sign) return drawn.element;
    const element = make();
    element.dataset.key = key;
    if (drawn?.element.contains(document.activeElement)) setTimeout(() => element.focus({ preventScroll: true }));
    this.#drawn.set(key, { sign, element });
    return element;
  }

  /** Put a message back where it stood. It may have been drawn anew. @param {{key: string, top: number}} anchor */
  #hold({ key, top }) {
    const element = this.#drawn.get(key)?.element;
    if (element !== undefined) this.#scroller.scrollTop += element.getBoundingClientRect().top - top;
  }

  /** The first message in sight, and where it stands. */
  #anchor() {
    const { top } = this.#scroller.getBoundingClientRect();
    // A divider is no anchor: that of a day stays on top of all that is put in below it.
    for (const element of /** @type {NodeListOf<HTMLElement>} */ (this.#list.querySelectorAll('article'))) {
      const box = element.getBoundingClientRect();
      if (box.bottom > top) return { key: element.dataset.key ?? '', top: box.top };
    }
    return null;
  }

  #toEnd() {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }

  #scrolled() {
    this.#follows = this.atBottom;
    this.#newest.dataset.near = String(this.#follows);
    if (this.#follows) this.#heard.read();
  }

  /** @param {number} beyond @param {boolean} atEnd */
  #offer(beyond, atEnd) {
    this.#newest.dataset.near = String(atEnd && this.atBottom);
    this.#newest.setAttribute('aria-label', beyond > 0 ? `Go to the newest, ${beyond} new` : 'Go to the newest message');
    this.#newest.querySelector('.badge')?.remove();
    if (beyond > 0) this.#newest.append(h('span', { class: 'badge', 'aria-hidden': 'true' }, beyond > 99 ? '99+' : String(beyond)));
  }

  /** One stop for the Tab key among all messages; the arrows go on from there. */
  #rove() {
    const buttons = this.#list.querySelectorAll('.msg__more');
    const focused = [...buttons].some((button) => button === document.activeElement);
    if (focused) return;
    for (const button of buttons) button.tabIndex = -1;
    const last = /** @type {HTMLElement|undefined} */ (buttons[buttons.length - 1]);
    if (last) last.tabIndex = 0;
  }

  /** @param {KeyboardEvent} event */
  #walk(event) {
    if (event.key !== 'ArrowUp' && event.key !== 'ArrowDown') return;
    const buttons = [...this.#list.querySelectorAll('.msg__more')];
    const here = buttons.indexOf(document.activeElement);
    const there = /** @type {HTMLElement|undefined} */ (buttons[here + (event.key === 'ArrowUp' ? -1 : 1)]);
    if (here < 0 || there === undefined) return;
    event.preventDefault();
    for (const button of buttons) /** @type {HTMLElement} */ (button).tabIndex = -1;
    there.tabIndex = 0;
    there.focus();
  }
}
