/** The composer of a chat: the box, what is replied to or edited in it, and a draft for each chat. @module */

import { byId, setText } from '../dom.js';
import { complain, fit, hasKeyboard, showCount } from '../message-box.js';
import { clean, excerpt, fault } from '../text.js';

/** @typedef {import('./types.js').Message} Message */

const DRAFT_KEY = 'parley.draft.chat.v1';
/** Said again while keys are pressed; the receivers forget it after 4 s. */
const TYPING_MS = 2_000;

export class Compose {
  #form = /** @type {HTMLFormElement} */ (byId('composer'));
  #box = /** @type {HTMLTextAreaElement} */ (byId('message'));
  #about = byId('about');
  #heard;
  #whose = '';
  /** @type {string|null} */
  #chatId = null;
  /** @type {{kind: 'reply'|'edit', message: Message}|null} */
  #on = null;
  #typedAt = 0;

  /** @param {{send: (content: string, replyTo: number|null) => void, change: (message: Message, content: string) => void, typing: (on: boolean) => void, last: () => Message|null}} heard */
  constructor(heard) {
    this.#heard = heard;
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#box.addEventListener('keydown', (event) => this.#key(event));
    this.#box.addEventListener('input', () => this.#changed());
    this.#box.addEventListener('blur', () => this.#stopTyping());
    byId('about-close').addEventListener('click', () => this.leave());
    window.addEventListener('resize', () => fit(this.#box));
  }

  /** Turn to a chat: the draft of this one is kept, that of the other stands in the box. @param {string} whose @param {string} chatId */
  turnTo(whose, chatId) {
    this.#stopTyping();
    [this.#whose, this.#chatId, this.#on] = [whose, chatId, null];
    this.#showAbout();
    this.#put(read(this.#draft()));
  }

  /** The chat has an id now. @param {string} chatId */
  rename(chatId) {
    write(this.#draft(), '');
    this.#chatId = chatId;
    this.#keep();
  }

  /** @param {Message} message @param {string} author */
  reply(message, author) {
    this.#on = { kind: 'reply', message };
    this.#showAbout(author);
    this.focus();
  }

  /** @param {Message} message */
  edit(message) {
    this.#on = { kind: 'edit', message };
    this.#showAbout();
    this.#put(message.content);
    this.focus();
  }

  /** Neither reply nor edit any more. */
  leave() {
    const wasEdit = this.#on?.kind === 'edit';
    this.#on = null;
    this.#showAbout();
    if (wasEdit) this.#put(read(this.#draft()));
    this.focus();
  }

  /** @param {string} text */
  fill(text) {
    this.#put(text);
    this.#keep();
    this.focus();
  }

  focus() {
    this.#box.focus();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.key === 'Escape' && this.#on !== null) {
      event.preventDefault();
      this.leave();
      return;
    }
    const last = event.key === 'ArrowUp' && this.#box.value === '' && this.#on === null ? this.#heard.last() : null;
    if (last !== null) {
      event.preventDefault();
      this.edit(last);
      return;
    }
    // While an input method is composing, Enter picks a word.
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing || event.keyCode === 229 || !hasKeyboard()) return;
    event.preventDefault();
    this.#form.requestSubmit();
  }

  #submit() {
    const content = clean(this.#box.value);
    const wrong = fault(content);
    if (content.trim() !== '') complain(this.#box, wrong);
    if (wrong !== null) return;
    this.#stopTyping();
    const on = this.#on;
    this.#on = null;
    this.#put('');
    this.#keep();
    this.#showAbout();
    if (on?.kind === 'edit') this.#heard.change(on.message, content);
    else this.#heard.send(content, on?.message.seq ?? null);
    this.focus();
  }

  #changed() {
    this.#keep();
    complain(this.#box, null);
    showCount(this.#box);
    fit(this.#box);
    if (this.#box.value.trim() === '') this.#stopTyping();
    else if (Date.now() - this.#typedAt >= TYPING_MS) {
      this.#typedAt = Date.now();
      this.#heard.typing(true);
    }
  }

  #stopTyping() {
    if (this.#typedAt === 0) return;
    this.#typedAt = 0;
    this.#heard.typing(false);
  }

  #keep() {
    if (this.#on?.kind !== 'edit') write(this.#draft(), this.#box.value);
  }

  #draft() {
    return `${DRAFT_KEY}.${this.#whose}/${this.#chatId?.startsWith('new:') ? 'new' : this.#chatId}`;
  }

  /** @param {string} text */
  #put(text) {
    this.#box.value = text;
    complain(this.#box, null);
    showCount(this.#box);
    fit(this.#box);
  }

  #showAbout(author = '') {
    this.#about.hidden = this.#on === null;
    if (this.#on === null) return;
    const { kind, message } = this.#on;
    setText(byId('about-what'), kind === 'edit' ? 'Edit message' : `Reply to ${author}`);
    setText(byId('about-text'), excerpt(message.content));
  }
}

/** Leave no draft of a user in this browser. @param {string} whose */
export function wipeDrafts(whose) {
  try {
    for (const key of Object.keys(localStorage)) if (key.startsWith(`${DRAFT_KEY}.${whose}/`)) localStorage.removeItem(key);
  } catch {
    // What cannot be removed was not stored either.
  }
}

/** @param {string} key */
function read(key) {
  try {
    return localStorage.getItem(key) ?? '';
  } catch {
    return '';
  }
}

/** A draft that does not fit is not worth an error: it is still in the box. @param {string} key @param {string} text */
function write(key, text) {
  try {
    if (text === '') localStorage.removeItem(key);
    else localStorage.setItem(key, text);
  } catch {
    // Full, or refused.
  }
}
