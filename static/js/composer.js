/** The composer: the message box, its limit, its draft and the button that sends. @module */

import { byId } from './dom.js';
import { complain, fit, hasKeyboard, showCount } from './message-box.js';
import { clean, fault } from './text.js';

/** @typedef {import('./types.js').Kind} Kind */

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
    window.addEventListener('resize', () => fit(this.#box));
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
    complain(this.#box, wrong);
    if (wrong === null) {
      send(message, /** @type {Kind} */ (this.#kind));
      this.#box.value = '';
      this.#changed();
    }
    this.focus();
  }

  #changed() {
    this.#store.draft = { text: this.#box.value, type: this.#kind };
    complain(this.#box, null);
    showCount(this.#box);
    fit(this.#box);
  }

  /** Show the stored draft. What is in the box goes first, unless it is somebody else's: `anew`. */
  restore({ anew = false } = {}) {
    const { text, type } = this.#store.draft;
    if (anew) {
      this.#box.value = '';
      this.#kind = 'chat';
      complain(this.#box, null);
    }
    // A browser may already have put back what was typed before this ran.
    if (this.#box.value === '') this.#box.value = text;
    if (type === 'chat' || type === 'summarize') this.#kind = type;
    showCount(this.#box);
    fit(this.#box);
  }
}
