/** The title bar: which chat this is, how it and the others stand, and its name to change. @module */

import { byId, h, setText } from '../dom.js';
import { nameOf } from './directory.js';
import { face } from './side.js';

/** @typedef {import('./types.js').Chat} Chat */

const TITLE_CHARACTERS = 120;

export class TitleBar {
  #title = byId('chat-title');
  #subtitle = byId('chat-subtitle');
  #face = byId('chat-face');
  #rename = byId('rename');
  /** @type {Chat|null} */
  #chat = null;
  #heard;
  #sign = '';

  /** @param {{rename: (chat: Chat, title: string) => Promise<string|null>, recap: () => void, details: () => void}} heard `rename` answers what was wrong */
  constructor(heard) {
    this.#heard = heard;
    this.#rename.addEventListener('click', () => this.#edit());
    byId('recap').addEventListener('click', () => heard.recap());
    byId('details').addEventListener('click', () => heard.details());
  }

  /** @param {Chat|null} chat null: one that is still to be made @param {string} subtitle */
  show(chat, subtitle) {
    const name = nameOf(chat);
    this.#chat = chat;
    setText(this.#title, name);
    setText(this.#subtitle, subtitle);
    document.title = chat === null ? 'Parley' : `${name} · Parley`;
    this.#rename.hidden = chat === null || chat.type === '1_to_1' || (chat.type === 'group' && chat.role !== 'admin');
    for (const id of ['recap', 'details']) byId(id).hidden = chat === null;
    const sign = `${chat?.chatId} ${chat?.type} ${name}`;
    if (sign === this.#sign) return;
    this.#sign = sign;
    this.#face.replaceChildren(face(chat ?? /** @type {any} */ ({ type: 'ai', chatId: '', title: null, other: null })));
  }

  #edit() {
    const chat = this.#chat;
    if (chat === null || byId('chat-name').querySelector('input') !== null) return;
    const box = h('input', { class: 'bar__edit', 'aria-label': 'Title of this chat', maxlength: String(TITLE_CHARACTERS), enterkeyhint: 'done' });
    box.value = chat.title ?? '';
    const wrong = h('p', { class: 'visually-hidden', role: 'alert' });
    let over = false;
    const end = () => {
      over = true;
      box.remove();
      wrong.remove();
      this.#title.hidden = false;
      this.#rename.hidden = false;
      this.#rename.focus();
    };
    const save = async () => {
      const title = box.value.trim().replace(/\s+/g, ' ');
      if (over) return;
      if (title === '' || title === chat.title) {
        end();
        return;
      }
      const fault = await this.#heard.rename(chat, title);
      if (fault === null) end();
      else {
        wrong.textContent = fault;
        box.setAttribute('aria-invalid', 'true');
        box.title = fault;
      }
    };
    box.addEventListener('keydown', (event) => {
      if (event.key === 'Enter' && !event.isComposing) save();
      if (event.key === 'Escape') end();
    });
    box.addEventListener('blur', save);
    this.#title.hidden = true;
    this.#rename.hidden = true;
    byId('chat-name').prepend(box, wrong);
    box.select();
  }
}
