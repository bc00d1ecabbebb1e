/** Search: titles at once, and what was said as soon as the server has looked. @module */

import { byId, h, setText } from '../dom.js';
import { formText } from '../wording.js';
import { nameOf } from './directory.js';
import { brief } from './times.js';

/** @typedef {import('./types.js').Chat} Chat */
/** @typedef {import('./types.js').Message} Message */

const PAUSE_MS = 350;

export class Search {
  #box = /** @type {HTMLInputElement} */ (byId('search'));
  #found = byId('found');
  #usual = byId('usual');
  #asked = 0;
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  #timer;
  #deeds;

  /** @param {{chats: () => Chat[], find: (words: string) => Promise<import('./types.js').Answer>, open: (chatId: string, seq: number|null) => void}} deeds */
  constructor(deeds) {
    this.#deeds = deeds;
    this.#box.addEventListener('input', () => this.#changed());
    this.#box.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape' || this.#box.value === '') return;
      event.stopPropagation();
      this.clear();
    });
  }

  clear() {
    this.#box.value = '';
    this.#changed();
  }

  #changed() {
    const words = this.#box.value.trim();
    clearTimeout(this.#timer);
    this.#asked += 1;
    this.#usual.hidden = words !== '';
    this.#found.hidden = words === '';
    if (words === '') return;
    const wanted = words.toLowerCase();
    const chats = this.#deeds.chats().filter((chat) => nameOf(chat).toLowerCase().includes(wanted)).slice(0, 20);
    const messages = h('div', {}, h('p', { class: 'side__note', role: 'status' }, 'Looking through messages…'));
    this.#found.replaceChildren(
      section('Chats', chats.length === 0 ? [h('p', { class: 'side__note' }, 'No title like that.')] : [list(chats.map((chat) => this.#row({ title: nameOf(chat) }, () => this.#open(chat.chatId, null))))]),
      section('Messages', [messages]));
    const number = this.#asked;
    this.#timer = setTimeout(async () => {
      const answer = await this.#deeds.find(words);
      if (number === this.#asked) this.#show(messages, answer);
    }, PAUSE_MS);
  }

  /** @param {HTMLElement} place @param {import('./types.js').Answer} answer */
  #show(place, answer) {
    const note = h('p', { class: 'side__note', role: 'status' });
    if (answer.kind !== 'ok') setText(note, formText(answer));
    else if (answer.data.items.length === 0) setText(note, 'Nothing was said like that. Whole words are looked for.');
    else {
      const names = new Map(this.#deeds.chats().map((chat) => [chat.chatId, nameOf(chat)]));
      const rows = /** @type {Message[]} */ (answer.data.items).map((message) => this.#row(
        { title: names.get(message.chatId) ?? 'A chat', time: brief(message.createdAt, Date.now()), text: message.content }, () => this.#open(message.chatId, message.seq)));
      place.replaceChildren(list(rows));
      return;
    }
    place.replaceChildren(note);
  }

  /** @param {string} chatId @param {number|null} seq */
  #open(chatId, seq) {
    this.clear();
    this.#deeds.open(chatId, seq);
  }

  /** @param {{title: string, time?: string, text?: string}} shown @param {() => void} onclick */
  #row({ title, time = '', text = '' }, onclick) {
    return h('li', {}, h('button', { type: 'button', class: 'hit', onclick },
      h('span', { class: 'hit__head' }, h('span', { class: 'hit__title', dir: 'auto' }, title), time === '' ? null : h('span', { class: 'hit__time' }, time)),
      text === '' ? null : h('span', { class: 'hit__text', dir: 'auto' }, text.slice(0, 200))));
  }
}

/** @param {string} title @param {Node[]} body */
function section(title, body) {
  return h('section', {}, h('h2', { class: 'side__title' }, title), ...body);
}

/** @param {HTMLElement[]} rows */
function list(rows) {
  return h('ul', {}, ...rows);
}
