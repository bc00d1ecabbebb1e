/** The side: the chats by title, the newest on top, and what is unread in them. @module */

import { byId, h, icon, setText } from '../dom.js';
import { unmarked } from '../text.js';
import { nameOf, TOP, unreadLabel } from './directory.js';
import { brief } from './times.js';

/** @typedef {import('./types.js').Chat} Chat */

const OPEN_KEY = 'parley.side.v1';
const WIDE = window.matchMedia('(min-width: 48rem)');

export class Side {
  #side = byId('side');
  #toggle = byId('side-toggle');
  #shade = byId('shade');
  #list = byId('chats');
  #all = byId('chats-all');
  #whole = false;
  #sign = '';

  /** @param {{open: (chatId: string) => void, create: () => void, seenAll: () => void}} heard */
  constructor(heard) {
    this.heard = heard;
    this.#toggle.addEventListener('click', () => this.#set(!this.isOpen));
    this.#shade.addEventListener('click', () => this.#set(false));
    byId('side-close').addEventListener('click', () => this.#set(false));
    this.#side.addEventListener('keydown', (/** @type {KeyboardEvent} */ event) => {
      if (event.key === 'Escape' && !WIDE.matches) this.#set(false);
    });
    this.#all.addEventListener('click', () => {
      this.#whole = !this.#whole;
      this.#sign = '';
      this.#again();
    });
    byId('new-chat').addEventListener('click', () => heard.create());
    byId('seen-all').addEventListener('click', () => heard.seenAll());
    WIDE.addEventListener('change', () => this.#set(WIDE.matches && wasOpen(), { focus: false }));
    this.#set(WIDE.matches && wasOpen(), { focus: false });
  }

  #again = () => {};

  get isOpen() {
    return document.documentElement.dataset.side === 'open';
  }

  /** On a phone it covers the chat: somebody has chosen one. */
  choose() {
    if (!WIDE.matches) this.#set(false, { focus: false });
  }

  /**
   * @param {Chat[]} chats
   * @param {{current: string|null, people: import('./people.js').People, now: number}} how
   */
  show(chats, { current, people, now }) {
    this.#again = () => this.show(chats, { current, people, now });
    const unread = chats.filter((chat) => chat.unread > 0 && !chat.muted).length;
    byId('side-badge').hidden = unread === 0;
    byId('seen-all').hidden = !chats.some((chat) => chat.unread > 0);
    this.#toggle.setAttribute('aria-label', unread > 0 ? `Chats, ${unread} with unread messages` : 'Chats');
    const at = chats.findIndex(({ chatId }) => chatId === current);
    const shown = this.#whole ? chats : chats.filter((chat, index) => index < TOP || index === at);
    this.#all.hidden = chats.length <= TOP;
    this.#all.setAttribute('aria-expanded', String(this.#whole));
    setText(this.#all.querySelector('span'), this.#whole ? 'Show fewer' : `Show all ${chats.length} chats`);
    byId('chats-none').hidden = chats.length > 0;
    const sign = JSON.stringify(shown.map((chat) => [chat, chat.chatId === current, people.presence(chat.other?.userId)?.online, brief(chat.lastMessageAt, now)]));
    if (sign === this.#sign) return;
    this.#sign = sign;
    const focused = /** @type {HTMLElement|null} */ (document.activeElement)?.dataset?.chat;
    this.#list.replaceChildren(...shown.map((chat) => this.#item(chat, { current, people, now })));
    if (focused) /** @type {HTMLElement|null} */ (this.#list.querySelector(`[data-chat="${focused}"]`))?.focus();
  }

  /**
   * @param {Chat} chat
   * @param {{current: string|null, people: import('./people.js').People, now: number}} how
   */
  #item(chat, { current, people, now }) {
    const [name, label] = [nameOf(chat), unreadLabel(chat)];
    const online = people.presence(chat.other?.userId)?.online ?? false;
    const preview = chat.lastMessagePreview ?? 'Nothing said yet';
    const shown = chat.type === 'ai' ? unmarked(preview) : preview;
    const button = h('button', {
      type: 'button', class: 'chat', 'data-chat': chat.chatId, 'aria-current': chat.chatId === current ? 'true' : null, onclick: () => this.heard.open(chat.chatId),
    },
    face(chat, online),
    h('span', { class: 'chat__name', dir: 'auto' }, name),
    online ? h('span', { class: 'visually-hidden' }, ', online') : null,
    h('span', { class: 'chat__time' }, chat.lastMessagePreview === null ? '' : brief(chat.lastMessageAt, now)),
    h('span', { class: 'chat__preview', dir: 'auto' }, shown || 'This message was deleted.'),
    h('span', { class: 'chat__marks' },
      chat.muted ? h('span', { class: 'chat__muted', role: 'img', 'aria-label': 'muted' }, icon('mute')) : null,
      label === '' ? null : h('span', { class: chat.muted ? 'badge badge--muted' : 'badge' }, label, h('span', { class: 'visually-hidden' }, ' unread'))));
    return h('li', {}, button);
  }

  /** @param {boolean} open @param {{focus?: boolean}} [how] */
  #set(open, { focus = true } = {}) {
    document.documentElement.dataset.side = open ? 'open' : 'closed';
    this.#toggle.setAttribute('aria-expanded', String(open));
    if (WIDE.matches) remember(open);
    // Under the open drawer of a phone nothing else takes the focus.
    byId('room').inert = open && !WIDE.matches;
    this.#side.inert = !open;
    if (!focus) return;
    // On a phone a box that has the focus brings a keyboard up, over the very list.
    if (open) byId(WIDE.matches ? 'search' : 'side-close').focus();
    else this.#toggle.focus();
  }
}

/** @param {Chat} chat @param {boolean} online */
export function face(chat, online = false) {
  const what = chat.type === 'ai' ? icon('spark') : chat.type === 'group' ? icon('people') : initials(nameOf(chat));
  return h('span', { class: `face face--${chat.type === '1_to_1' ? `tone${tone(chat.chatId)}` : chat.type}`, 'aria-hidden': 'true' },
    what, online ? h('span', { class: 'face__dot' }) : null);
}

/** @param {string} name */
function initials(name) {
  return name.split(/\s+/).slice(0, 2).map((word) => [...word][0] ?? '').join('').toUpperCase();
}

/** One of four, the same each time. @param {string} id */
function tone(id) {
  return [...id].reduce((sum, sign) => (sum * 31 + sign.charCodeAt(0)) % 4, 0);
}

function wasOpen() {
  try {
    return localStorage.getItem(OPEN_KEY) !== 'closed';
  } catch {
    return true;
  }
}

/** @param {boolean} open */
function remember(open) {
  try {
    localStorage.setItem(OPEN_KEY, open ? 'open' : 'closed');
  } catch {
    // Then it opens as it usually does.
  }
}
