/** The composer: the message box, its limit, its draft and the button that sends. @module */

import { byId, setText } from './dom.js';
import { clean, countCharacters, fault, MOST_CHARACTERS, NEAR_LIMIT } from './text.js';

/** @typedef {import('./types.js').Kind} Kind */

/** Where there is no keyboard to press Shift on, Enter must start a new line. */
const hasKeyboard = () => window.matchMedia('(hover: hover) and (pointer: fine)').matches;

export class Composer {
  #form = /** @type {HTMLFormElement} */ (byId('composer'));
  #box = /** @type {HTMLTextAreaElement} */ (byId('message'));
  #store;

  /**
   * @param {import('./store.js').Store} store keeps the draft
   * @param {(message: string, type: Kind) => void} send
   */
  constructor(store, send) {
    this.#store = store;
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#submit(send);
    });
    this.#box.addEventListener('keydown', (event) => {
      // While an input method is composing, Enter picks a word.
      if (event.key !== 'Enter' || event.shiftKey || event.isComposing || event.keyCode === 229 || !hasKeyboard()) return;
      event.preventDefault();
      this.#form.requestSubmit();
    });
    this.#form.addEventListener('input', () => this.#changed());
    window.addEventListener('resize', () => this.#fit());
    this.restore();
  }

  /**
   * Put a text in the box, ready to be changed.
   * @param {string} text
   * @param {string} type
   */
  fill(text, type) {
    this.#box.value = text;
    this.#kind = type;
    this.#changed();
    this.focus();
  }

  focus() {
    this.#box.focus();
  }

  get #kind() {
    return String(new FormData(this.#form).get('type'));
  }

  set #kind(type) {
    for (const radio of this.#form.querySelectorAll('input')) radio.checked = radio.value === type;
  }

  /** @param {(message: string, type: Kind) => void} send */
  #submit(send) {
    const message = clean(this.#box.value);
    const wrong = fault(message);
    this.#complain(wrong);
    if (wrong === null) {
      send(message, /** @type {Kind} */ (this.#kind));
      this.#box.value = '';
      this.#changed();
    }
    this.focus();
  }

  #changed() {
    this.#store.draft = { text: this.#box.value, type: this.#kind };
    this.#complain(null);
    this.#showCount();
    this.#fit();
  }

  /** Show the stored draft. What is in the box goes first, unless it is somebody else's: `anew`. */
  restore({ anew = false } = {}) {
    const { text, type } = this.#store.draft;
    if (anew) {
      this.#box.value = '';
      this.#kind = 'chat';
      this.#complain(null);
    }
    // A browser may already have put back what was typed before this ran.
    if (this.#box.value === '') this.#box.value = text;
    if (type === 'chat' || type === 'summarize') this.#kind = type;
    this.#showCount();
    this.#fit();
  }

  #showCount() {
    const counter = byId('composer-count');
    const { length } = this.#box.value;
    const left = length < MOST_CHARACTERS - NEAR_LIMIT ? Infinity : MOST_CHARACTERS - countCharacters(clean(this.#box.value));
    counter.hidden = left > NEAR_LIMIT;
    counter.dataset.over = String(left < 0);
    if (!counter.hidden) setText(counter, left < 0 ? `${(-left).toLocaleString('en')} too many` : `${left.toLocaleString('en')} left`);
  }

  /** @param {string|null} wrong */
  #complain(wrong) {
    setText(byId('composer-error'), wrong ?? '');
    if (wrong === null) this.#box.removeAttribute('aria-invalid');
    else this.#box.setAttribute('aria-invalid', 'true');
  }

  /** Grow with the text; the style sheet says how far. */
  #fit() {
    this.#box.style.height = 'auto';
    this.#box.style.height = `${this.#box.scrollHeight}px`;
  }
}
