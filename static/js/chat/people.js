/** People: who is in a chat, how far they have read, who is there and who is writing. @module */

import { lastSeen } from './times.js';

/** @typedef {import('./types.js').Member} Member */
/** @typedef {import('./types.js').Presence} Presence */

/** Without another word somebody has stopped writing: a client says it every 2 s. */
const TYPING_MS = 4_000;

export class People {
  /** @type {Map<string, Member[]>} */
  #members = new Map();
  /** @type {Map<string, Presence>} */
  #presence = new Map();
  /** @type {Map<string, Map<string, ReturnType<typeof setTimeout>>>} */
  #typing = new Map();
  #changed;

  /** @param {(chatId: string|null) => void} changed null: somebody's presence */
  constructor(changed) {
    this.#changed = changed;
  }

  /** @param {string|null} chatId @returns {Member[]} */
  of(chatId) {
    return this.#members.get(chatId ?? '') ?? [];
  }

  /** @param {string} chatId @param {Member[]} members */
  set(chatId, members) {
    if (JSON.stringify(members) === JSON.stringify(this.#members.get(chatId))) return;
    this.#members.set(chatId, members);
    this.#changed(chatId);
  }

  /** Somebody has read so far. It never goes back. @param {string} chatId @param {string} userId @param {number} seq */
  seen(chatId, userId, seq) {
    const members = this.of(chatId).map((member) =>
      member.userId === userId && member.lastReadSeq < seq ? { ...member, lastReadSeq: seq } : member);
    this.set(chatId, members);
  }

  /** @param {string} chatId @param {string} userId */
  name(chatId, userId) {
    return this.of(chatId).find((member) => member.userId === userId)?.displayName ?? 'Former member';
  }

  /**
   * Who of the others has read a message.
   * @param {string} chatId
   * @param {number} seq
   * @param {string} me
   */
  readers(chatId, seq, me) {
    const others = this.of(chatId).filter(({ userId, isAi }) => userId !== me && !isAi);
    return { others: others.length, readers: others.filter((member) => member.lastReadSeq >= seq) };
  }

  /** @param {{userId: string, online: boolean, lastSeenAt?: string|null}[]} heard */
  present(heard) {
    for (const { userId, online, lastSeenAt = null } of heard) this.#presence.set(userId, { online, lastSeenAt });
    if (heard.length > 0) this.#changed(null);
  }

  /** Nobody knows who is there. */
  forgetPresence() {
    if (this.#presence.size === 0) return;
    this.#presence.clear();
    this.#changed(null);
  }

  /** @param {string|undefined} userId @returns {Presence|null} null: not known */
  presence(userId) {
    return this.#presence.get(userId ?? '') ?? null;
  }

  /** @param {string} chatId @param {string} userId @param {boolean} on */
  types(chatId, userId, on) {
    const typing = this.#typing.get(chatId) ?? new Map();
    this.#typing.set(chatId, typing);
    const was = typing.has(userId);
    clearTimeout(typing.get(userId));
    if (on) typing.set(userId, setTimeout(() => this.types(chatId, userId, false), TYPING_MS));
    else typing.delete(userId);
    if (was !== on) this.#changed(chatId);
  }

  /** Who is writing there, by name. @param {string} chatId */
  typing(chatId) {
    return [...(this.#typing.get(chatId)?.keys() ?? [])].map((userId) => this.name(chatId, userId));
  }

  /**
   * What stands below a chat's title.
   * @param {import('./types.js').Chat} chat
   * @param {number} now
   */
  subtitle(chat, now) {
    const typing = this.typing(chat.chatId);
    if (typing.length > 0) return typingText(typing);
    if (chat.type === 'ai') return 'You and the AI';
    if (chat.other !== null) {
      const presence = this.presence(chat.other.userId);
      if (presence === null) return '';
      return presence.online ? 'online' : lastSeen(presence.lastSeenAt, now);
    }
    const names = this.of(chat.chatId).map(({ displayName }) => displayName);
    return names.length > 6 ? `${names.length} members` : names.join(', ');
  }
}

/** @param {string[]} names */
export function typingText(names) {
  if (names.length === 1) return `${names[0]} is typing…`;
  if (names.length === 2) return `${names[0]} and ${names[1]} are typing…`;
  return 'Several people are typing…';
}
