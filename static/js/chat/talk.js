/**
 * The talk: the chats of one person, which of them is open, and what happens in it.
 *
 *     composer ─▶ outbox ─▶ server            server ─▶ socket ─▶ live ─▶ room, directory, people
 *                    │                           └────▶ sync (HTTP) ──▶ room, directory, people
 *                    └──▶ thread ◀── rows ◀── room
 *
 * What is shown is drawn from these at most once a frame, whatever has changed, and however often.
 * @module
 */

import { announce } from '../announcer.js';
import { uuid } from '../keys.js';
import { excerpt } from '../text.js';
import { Answers } from './answers.js';
import { chatsApi } from './api.js';
import { Database } from './database.js';
import { Directory } from './directory.js';
import { Listing } from './listing.js';
import { Outbox, LOCAL } from './outbox.js';
import { People } from './people.js';
import { Reading } from './reading.js';
import { Room } from './room.js';
import { openStream } from './stream.js';
import { Sync } from './sync.js';

/** @typedef {import('./types.js').Chat} Chat */
/** @typedef {import('./types.js').Message} Message */
/** @typedef {import('./types.js').Answer} Answer */

/** Rooms that are kept for coming back at once. */
const MOST_ROOMS = 12;
/** Messages of a room that are kept for a time without a network. */
const MOST_KEPT = 100;

export class Talk {
  /** @type {Map<string, Room>} */
  #rooms = new Map();
  /** @type {Map<string, import('./types.js').Unsent>} of other tabs, on their way */
  echoes = new Map();
  /** @type {number|null} */
  unreadFrom = null;
  missed = 0;
  /** What was asked since the chat was opened; an answer about another chat changes nothing. */
  #visit = 0;
  #draw;

  /**
   * @param {import('../session.js').Session} session
   * @param {string} me
   * @param {{draw: () => void, turned: (chatId: string) => void, renamed: (chatId: string) => void, answered: (answered: boolean) => void}} heard
   */
  constructor(session, me, heard) {
    this.session = session;
    this.me = me;
    this.heard = heard;
    this.current = LOCAL + uuid();
    this.room = new Room(this.current);
    this.#draw = heard.draw;
    this.api = chatsApi((path, ask) => session.send(path, ask));
    this.database = new Database(me);
    this.directory = new Directory(() => {
      this.#draw();
      this.listing.keep();
    });
    this.listing = new Listing(this);
    this.people = new People(() => this.#draw());
    this.reading = new Reading(this);
    this.answers = new Answers((path, how) => openStream(session, path, how), {
      changed: () => this.#draw(), ended: (chatId, speech) => this.#spoken(chatId, speech),
    });
    this.outbox = new Outbox(this.database, { post: (entry) => this.post(entry), make: (name) => this.api.makeByName(name) }, {
      changed: () => this.#draw(), sent: (entry, message) => this.hear(message, { announced: false }),
      made: (local, chatId) => this.#made(local, chatId), failed: (entry) => announce(`${excerpt(entry.content)}: not sent. ${entry.why}`),
    });
    this.sync = new Sync(this.api, {
      room: () => (this.room.chatId.startsWith(LOCAL) ? null : this.room),
      fresh: (room, messages) => messages.forEach((message) => this.#heardOf(room, message, true)),
      changed: (room) => this.#changed(room), list: (items, whole) => this.listing.take(items, whole),
      members: (chatId, members) => this.people.set(chatId, members), lost: (chatId) => this.drop(chatId), answered: heard.answered,
    });
    /** How a message is posted; by the socket while there is one. @type {(entry: import('./types.js').Unsent) => Promise<Answer>} */
    this.post = (entry) => this.postByHttp(entry);
  }

  /** Show what is kept, then what the server says; the chat that was open last, or an empty one. */
  async start() {
    const [kept, last] = await Promise.all([this.database.get('state', 'list'), this.database.get('state', 'current')]);
    if (kept) this.directory.begin(kept.items);
    await this.outbox.load();
    const titles = await this.api.titles();
    this.heard.answered(titles.kind !== 'trouble');
    const active = titles.kind === 'ok' ? titles.data.active_chat_id : last?.chatId ?? -1;
    await Promise.all([this.listing.read(), typeof active === 'string' ? this.open(active) : null]);
    this.#draw();
  }

  /** @param {import('./types.js').Unsent} entry */
  postByHttp({ chatId, content, clientMsgId, replyTo }) {
    return this.api.post(chatId, { content, clientMsgId, ...(replyTo === null ? {} : { replyTo }) });
  }

  get chat() {
    return this.directory.get(this.current);
  }

  /** Another chat, at the newest message or at the one named. Nothing of the former is waited for. @param {string} chatId @param {number|null} [seq] */
  async open(chatId, seq = null) {
    if (chatId === this.current && seq === null) return;
    const visit = this.#turn(chatId, this.#rooms.get(chatId) ?? new Room(chatId));
    const { room } = this;
    this.#rooms.delete(chatId);
    this.#rooms.set(chatId, room);
    for (const [old] of this.#rooms) if (this.#rooms.size > MOST_ROOMS) this.#rooms.delete(old);
    this.reading.flush(chatId);
    if (!room.loaded) {
      const kept = await this.database.get('rooms', chatId);
      if (kept && !room.loaded) room.begin(kept);
      this.#draw();
    }
    if (visit !== this.#visit) return;
    const around = seq !== null && (room.get(seq) === null);
    const whole = around ? this.sync.readAround(room, seq) : room.loaded && room.atEnd ? this.sync.catchUp() : this.sync.readNewest(room);
    const members = this.api.members(chatId).then((answer) => {
      if (answer.kind === 'ok') this.people.set(chatId, answer.data.items);
    });
    if (this.chat === null) this.refresh(chatId);
    await Promise.all([whole, members]);
    if (visit === this.#visit) this.answers.expectIn(room, (jobId) => this.api.job(jobId));
  }

  /** An empty box: its first message makes a chat. */
  openNew() {
    const chatId = LOCAL + uuid();
    this.#turn(chatId, new Room(chatId));
    this.database.remove('state', 'current');
  }

  /** @param {string} content @param {number|null} replyTo */
  send(content, replyTo = null) {
    if (!this.room.atEnd) this.sync.readNewest(this.room);
    this.unreadFrom = null;
    this.outbox.add({ chatId: this.current, content, replyTo });
  }

  /** A message as it is now, from wherever. @param {Message} message @param {{announced?: boolean}} [how] */
  hear(message, { announced = true } = {}) {
    const room = this.#rooms.get(message.chatId) ?? (this.room.chatId === message.chatId ? this.room : null);
    this.echoes.delete(message.clientMsgId);
    if (room !== null && !room.loaded && room === this.room && message.seq === 1) {
      room.begin({ items: [], before: null, after: null, lastChangeSeq: 0 });
    }
    const became = room?.loaded ? room.apply(message) : 'old';
    if (became === 'beyond' && room === this.room) this.sync.catchUp();
    if (message.senderId === this.me && this.outbox.of(message.chatId).some((entry) => entry.clientMsgId === message.clientMsgId)) {
      this.outbox.discard(message.clientMsgId);
    }
    if (became !== 'old' && room) this.#heardOf(room, message, announced && became !== 'changed');
    else this.#said(message);
    if (room) this.#changed(room);
  }

  /** A chat as it is now; null: it is gone. @param {string} chatId */
  async refresh(chatId) {
    const answer = await this.api.chat(chatId);
    if (answer.kind === 'ok') this.directory.put(answer.data);
    else if (answer.kind === 'refused' && answer.status === 404) this.drop(chatId);
  }

  /** One is not in it any more. @param {string} chatId */
  drop(chatId) {
    this.#rooms.delete(chatId);
    this.database.remove('rooms', chatId);
    this.directory.drop(chatId);
    if (this.current === chatId) this.openNew();
  }

  /** Everything anew: the network is back, or a socket. */
  wake() {
    this.outbox.wake();
    this.sync.wake();
  }

  /** Forget all of it in this browser. */
  async erase() {
    this.sync.stop();
    this.outbox.clear();
    await this.database.close({ erase: true });
  }

  /** @param {string} chatId @param {Room} room @returns {number} the number of this visit */
  #turn(chatId, room) {
    this.reading.leave();
    this.answers.clear();
    [this.current, this.room] = [chatId, room];
    const chat = this.chat;
    this.missed = chat === null ? 0 : chat.unread > 0 ? Math.max(0, chat.lastSeq - chat.lastReadSeq) : 0;
    this.unreadFrom = this.missed > 0 && chat !== null ? chat.lastReadSeq + 1 : null;
    this.heard.turned(chatId);
    if (!chatId.startsWith(LOCAL)) this.database.put('state', { name: 'current', chatId });
    this.#draw();
    return (this.#visit += 1);
  }

  /** @param {Room} room @param {Message} message @param {boolean} announced */
  #heardOf(room, message, announced) {
    this.#said(message);
    this.people.types(message.chatId, message.senderId, false);
    if (room !== this.room) return;
    if (message.isAi && message.jobId !== null) this.answers.forget(message.jobId);
    else if (message.jobId !== null) this.answers.expect(room.chatId, message.jobId, { stream: !this.reading.isLive });
    if (!announced || message.senderId === this.me) return;
    announce(`${message.isAi ? 'AI' : this.people.name(room.chatId, message.senderId)}: ${excerpt(message.content)}`);
  }

  /** @param {Message} message */
  #said(message) {
    if (this.directory.get(message.chatId) === null) this.refresh(message.chatId);
    else this.directory.said(message, message.senderId !== this.me);
  }

  /** @param {Room} room */
  #changed(room) {
    this.answers.settle(room);
    this.#draw();
    if (room.loaded && room.atEnd) this.database.put('rooms', room.snapshot(MOST_KEPT));
  }

  /** @param {string} chatId @param {import('./types.js').Speech} speech */
  async #spoken(chatId, speech) {
    if (speech.status === 'failed') announce(`The AI could not answer. ${speech.error ?? ''}`);
    else if (chatId === this.room.chatId) await this.sync.catchUp();
    if (speech.status === 'cancelled') setTimeout(() => this.answers.forget(speech.jobId), 2_500);
  }

  /** @param {string} local @param {string} chatId */
  #made(local, chatId) {
    if (this.current === local) {
      const room = new Room(chatId);
      room.begin({ items: [], before: null, after: null, lastChangeSeq: 0 });
      [this.current, this.room] = [chatId, room];
      this.#rooms.set(chatId, room);
      this.#visit += 1;
      this.database.put('state', { name: 'current', chatId });
      this.heard.renamed(chatId);
    }
    this.refresh(chatId);
  }
}
