/** The directory: the chats of whoever is signed in, the one with the newest message first. @module */

/** @typedef {import('./types.js').Chat} Chat */
/** @typedef {import('./types.js').Message} Message */

const PREVIEW_CHARACTERS = 120;
export const TOP = 5;

export class Directory {
  /** @type {Map<string, Chat>} */
  #chats = new Map();
  #changed;

  /** @param {() => void} changed */
  constructor(changed) {
    this.#changed = changed;
  }

  /** @returns {Chat[]} */
  list() {
    return [...this.#chats.values()].sort((one, other) => Date.parse(other.lastMessageAt) - Date.parse(one.lastMessageAt));
  }

  /** @param {string|null} chatId */
  get(chatId) {
    return chatId === null ? null : this.#chats.get(chatId) ?? null;
  }

  /** These, and no others. @param {Chat[]} chats */
  begin(chats) {
    const before = JSON.stringify([...this.#chats.values()]);
    this.#chats = new Map(chats.map((chat) => [chat.chatId, chat]));
    if (JSON.stringify(chats) !== before) this.#changed();
  }

  /** @param {Chat} chat */
  put(chat) {
    this.#chats.set(chat.chatId, chat);
    this.#changed();
  }

  /** @param {string} chatId @param {Partial<Chat>} changes */
  patch(chatId, changes) {
    const chat = this.#chats.get(chatId);
    if (chat === undefined) return;
    this.#chats.set(chatId, { ...chat, ...changes });
    this.#changed();
  }

  /** @param {string} chatId */
  drop(chatId) {
    if (this.#chats.delete(chatId)) this.#changed();
  }

  /**
   * Somebody has said something there.
   * @param {Message} message
   * @param {boolean} counts as unread
   */
  said(message, counts) {
    const chat = this.#chats.get(message.chatId);
    if (chat === undefined || message.seq <= chat.lastSeq) return;
    const unread = counts ? Math.min(99, chat.unread + 1) : chat.unread;
    this.patch(message.chatId, {
      lastSeq: message.seq, lastMessageAt: message.createdAt, unread,
      unreadCapped: chat.unreadCapped || (counts && chat.unread === 99),
      lastMessagePreview: message.content.replace(/\s+/g, ' ').slice(0, PREVIEW_CHARACTERS),
    });
  }

  /** Chats in which something is unread that one wants to be told of. */
  get unread() {
    return [...this.#chats.values()].filter((chat) => chat.unread > 0 && !chat.muted).length;
  }
}

/** What a chat is called. @param {Chat|null} chat */
export function nameOf(chat) {
  if (chat === null) return 'New chat';
  return chat.other?.displayName ?? chat.title ?? (chat.type === 'ai' ? 'New chat' : 'Untitled');
}

/** @param {Chat} chat */
export function unreadLabel({ unread, unreadCapped }) {
  if (unread === 0) return '';
  return unreadCapped || unread > 99 ? '99+' : String(unread);
}
