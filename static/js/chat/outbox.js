/**
 * The outbox: what was written leaves it only when the server has it.
 *
 * A message is kept in the browser's database, by the name (`clientMsgId`) that it will have at the server, before its
 * first byte is sent. Every try carries that name, so a lost answer, a reload in the middle, a second tab or a closing
 * page may repeat it and there is still one message. In each chat one is sent after the other, in the order of writing.
 * @module
 */

import { uuid } from '../keys.js';
import { afterFailure } from '../schedule.js';
import { refusalText, troubleText } from '../wording.js';

/** @typedef {import('./types.js').Unsent} Unsent */
/** @typedef {import('./types.js').Message} Message */
/** @typedef {import('./types.js').Answer} Answer */

/** The chat that a first message makes is called so until it is there. */
export const LOCAL = 'new:';

/**
 * @typedef {Object} Line the messages of one chat, one behind the other
 * @property {boolean} busy
 * @property {number} failures in a row
 * @property {number} dueAt of the next try, if the server has said so
 * @property {ReturnType<typeof setTimeout>|undefined} timer
 */

export class Outbox {
  /** @type {Map<string, Unsent>} */
  #entries = new Map();
  /** @type {Map<string, Line>} */
  #lines = new Map();
  #database;
  #post;
  #make;
  #heard;
  #random;

  /**
   * @param {import('./database.js').Database} database
   * @param {{post: (entry: Unsent) => Promise<Answer>, make: (name: string) => Promise<Answer>}} server
   * @param {{changed: (chatId: string) => void, sent: (entry: Unsent, message: Message) => void,
   *   made: (local: string, chatId: string) => void, failed: (entry: Unsent) => void}} heard
   * @param {() => number} [random]
   */
  constructor(database, { post, make }, heard, random = Math.random) {
    this.#database = database;
    this.#post = post;
    this.#make = make;
    this.#heard = heard;
    this.#random = random;
  }

  /** Take up what an earlier visit has left. */
  async load() {
    const leftOver = /** @type {Unsent[]} */ (this.#database.leftOver());
    await Promise.all(leftOver.map((entry) => this.#database.keep(entry)));
    const kept = /** @type {Unsent[]} */ (await this.#database.all('outbox'));
    for (const entry of kept.sort((one, other) => one.addedAt - other.addedAt)) {
      if (this.#entries.has(entry.clientMsgId)) continue;
      this.#entries.set(entry.clientMsgId, { ...entry, state: entry.state === 'failed' ? 'failed' : 'queued' });
    }
    this.wake();
  }

  /** @param {{chatId: string, content: string, replyTo: number|null}} message */
  add({ chatId, content, replyTo }) {
    /** @type {Unsent} */
    const entry = { clientMsgId: uuid(), chatId, content, replyTo, addedAt: Date.now(), state: 'queued' };
    this.#entries.set(entry.clientMsgId, entry);
    this.#database.keep(entry);
    this.#heard.changed(chatId);
    this.#flush(chatId);
    return entry;
  }

  /** @param {string|null} chatId @returns {Unsent[]} in the order of writing */
  of(chatId) {
    return [...this.#entries.values()].filter((entry) => entry.chatId === chatId);
  }

  /** All that is still to be sent; not what was refused. */
  get waiting() {
    return [...this.#entries.values()].filter((entry) => entry.state !== 'failed');
  }

  /** Send it once more, as it is. @param {string} clientMsgId */
  retry(clientMsgId) {
    const entry = this.#entries.get(clientMsgId);
    if (entry === undefined) return;
    const line = this.#line(entry.chatId);
    [line.failures, line.dueAt] = [0, 0];
    this.#mark(entry, 'queued');
    this.#flush(entry.chatId);
  }

  /** @param {string} clientMsgId @returns {Unsent|null} what it was */
  discard(clientMsgId) {
    const entry = this.#entries.get(clientMsgId) ?? null;
    if (entry === null) return null;
    this.#entries.delete(clientMsgId);
    this.#database.remove('outbox', clientMsgId);
    this.#heard.changed(entry.chatId);
    return entry;
  }

  /** Try at once: the network is back, or somebody is looking. A wait that the server has asked for is kept. */
  wake() {
    for (const chatId of new Set(this.waiting.map((entry) => entry.chatId))) {
      if (Date.now() >= this.#line(chatId).dueAt) this.#flush(chatId);
    }
  }

  /** Send nothing more. */
  clear() {
    for (const line of this.#lines.values()) clearTimeout(line.timer);
    this.#lines.clear();
    this.#entries.clear();
  }

  /** @param {string} chatId */
  #line(chatId) {
    const line = this.#lines.get(chatId) ?? { busy: false, failures: 0, dueAt: 0, timer: undefined };
    this.#lines.set(chatId, line);
    return line;
  }

  /** @param {string} chatId */
  async #flush(chatId) {
    const line = this.#line(chatId);
    const entry = this.of(chatId).find(({ state }) => state !== 'failed');
    if (line.busy || entry === undefined) return;
    clearTimeout(line.timer);
    line.busy = true;
    this.#mark(entry, 'sending');
    const answer = await this.#deliver(entry);
    line.busy = false;
    if (this.#lines.get(entry.chatId) !== line) return;
    if (answer.kind === 'trouble') {
      if (this.#entries.has(entry.clientMsgId)) this.#wait(entry, line, answer);
      return;
    }
    [line.failures, line.dueAt] = [0, 0];
    if (answer.kind === 'ok') this.#sent(entry, answer.data.message);
    else this.#refused(entry, answer);
    this.#flush(entry.chatId);
  }

  /** @param {Unsent} entry @returns {Promise<Answer>} */
  async #deliver(entry) {
    if (entry.chatId.startsWith(LOCAL)) {
      const made = await this.#make(entry.chatId);
      if (made.kind !== 'ok') return made;
      this.#rename(entry.chatId, made.data.chat_id);
    }
    return this.#post(entry);
  }

  /** @param {string} local @param {string} chatId */
  #rename(local, chatId) {
    const line = this.#line(local);
    this.#lines.delete(local);
    this.#lines.set(chatId, line);
    for (const entry of this.of(local)) {
      entry.chatId = chatId;
      this.#database.put('outbox', entry);
    }
    this.#heard.made(local, chatId);
  }

  /** @param {Unsent} entry @param {Message} message */
  #sent(entry, message) {
    this.#entries.delete(entry.clientMsgId);
    this.#database.remove('outbox', entry.clientMsgId);
    this.#heard.sent(entry, message);
  }

  /** @param {Unsent} entry @param {import('../types.js').Refusal} refusal */
  #refused(entry, refusal) {
    entry.why = refusalText(refusal).reasons.join(' ') || 'The server did not take this message.';
    this.#mark(entry, 'failed');
    this.#database.put('outbox', entry);
    this.#heard.failed(entry);
  }

  /** @param {Unsent} entry @param {Line} line @param {import('../types.js').Trouble} trouble */
  #wait(entry, line, trouble) {
    line.failures += 1;
    const delay = afterFailure({ failures: line.failures, retryAfterMs: trouble.retryAfterMs, random: this.#random });
    line.dueAt = trouble.retryAfterMs === null ? 0 : Date.now() + delay;
    entry.why = troubleText(trouble);
    this.#mark(entry, 'waiting');
    line.timer = setTimeout(() => this.#flush(entry.chatId), delay);
  }

  /** @param {Unsent} entry @param {Unsent['state']} state */
  #mark(entry, state) {
    entry.state = state;
    this.#heard.changed(entry.chatId);
  }
}
