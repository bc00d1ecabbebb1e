/**
 * Reading: how far somebody has read, and which chat they have open, as the server should know it.
 *
 * Messages are stored as they are sent, so there is nothing to be saved when a chat is left, a new one begun or the page
 * closed. What is told then is which chat is open and how far it was read; the same again is not told twice.
 * @module
 */

import { LOCAL } from './outbox.js';

/** @typedef {import('./types.js').Chat} Chat */

const SOON_MS = 250;
/** Who looks through chats quickly has opened the last of them. */
const SETTLE_MS = 800;
/** All requests of a closing page together. */
const KEEPALIVE_BYTES = 60_000;

export class Reading {
  #talk;
  /** How far was read, as far as this page knows. @type {Map<string, number>} */
  #read = new Map();
  /** @type {string|null} */
  #flushed = null;
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  #flushing;
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  #telling;
  isLive = false;

  /** @param {import('./talk.js').Talk} talk */
  constructor(talk) {
    this.#talk = talk;
  }

  /** The newest message of the open chat is in sight. */
  seen() {
    const { room, chat, current } = this.#talk;
    if (document.hidden || chat === null || !room.loaded || !room.atEnd) return;
    const seq = room.last;
    if (seq <= Math.max(chat.lastReadSeq, this.#read.get(current) ?? 0) && chat.unread === 0) return;
    if (this.#read.get(current) === seq && chat.unread === 0) return;
    this.#read.set(current, seq);
    this.#talk.directory.patch(current, { unread: 0, unreadCapped: false, lastReadSeq: Math.max(seq, chat.lastReadSeq) });
    clearTimeout(this.#telling);
    this.#telling = setTimeout(() => this.#tell(current), SOON_MS);
  }

  /** Say which chat is open, once somebody stays there. @param {string} chatId */
  flush(chatId) {
    clearTimeout(this.#flushing);
    if (chatId === this.#flushed) return;
    this.#flushing = setTimeout(async () => {
      const answer = await this.#talk.api.flush(chatId);
      if (answer.kind === 'ok') this.#flushed = chatId;
    }, SETTLE_MS);
  }

  /** The chat is left: what is still to be told of it is told at once. */
  leave() {
    if (this.#telling === undefined) return;
    this.#tell(this.#talk.current);
  }

  /** The page is closing: what must not wait for the next visit goes out behind its back. */
  farewell() {
    const { outbox, session, current } = this.#talk;
    if (session.token === null) return;
    let left = KEEPALIVE_BYTES;
    /** @param {string} path @param {object} said */
    const send = (path, said) => {
      const body = JSON.stringify(said);
      left -= body.length * 3;
      if (left < 0) return;
      fetch(path, { method: 'POST', keepalive: true, body, headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${session.token}` } }).catch(() => {});
    };
    for (const { chatId, content, clientMsgId, replyTo } of outbox.waiting) {
      if (!chatId.startsWith(LOCAL)) send(`/api/chats/${chatId}/messages`, { content, clientMsgId, ...(replyTo === null ? {} : { replyTo }) });
    }
    if (current.startsWith(LOCAL)) return;
    if (this.#telling !== undefined) send(`/api/chats/${current}/seen`, { seq: this.#read.get(current) ?? 0 });
    if (this.#flushed !== current) send('/chat/data', { chat_id: current, messages: [] });
  }

  /** A chat from the list, without what was read here a moment ago. @param {Chat} chat @returns {Chat} */
  adjusted(chat) {
    const read = this.#read.get(chat.chatId) ?? 0;
    return read >= chat.lastSeq && chat.unread > 0 ? { ...chat, unread: 0, unreadCapped: false, lastReadSeq: read } : chat;
  }

  /** @param {string} chatId */
  async #tell(chatId) {
    clearTimeout(this.#telling);
    this.#telling = undefined;
    const seq = this.#read.get(chatId);
    if (seq === undefined) return;
    const answer = await this.#talk.api.seen(chatId, seq);
    if (answer.kind === 'ok') this.#talk.directory.patch(chatId, answer.data);
    else this.#read.delete(chatId);
  }
}
