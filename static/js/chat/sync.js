/**
 * Sync: what happens at the server comes to this page, whatever is lost in between.
 *
 * A socket tells early, and nothing is taken for granted because of it: all that concerns messages is asked for as changes
 * since the last known one, after each reconnection and now and then besides; and every few seconds while there is no socket.
 * @module
 */

/** @typedef {import('./room.js').Room} Room */
/** @typedef {import('./types.js').Message} Message */
/** @typedef {import('./types.js').Answer} Answer */

const POLL_MS = 2_500;
const HIDDEN_MS = 20_000;
/** With a socket: heals what a lost event has left. */
const SAFETY_MS = 60_000;
/** The list and the members are asked for at every so many looks. */
const LIST_EVERY = 2;

export class Sync {
  #api;
  #heard;
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  #timer;
  #looks = 0;
  #running = false;
  #again = false;
  #isLive = () => false;

  /**
   * @param {ReturnType<typeof import('./api.js').chatsApi>} api
   * @param {{room: () => Room|null, fresh: (room: Room, messages: Message[]) => void, changed: (room: Room) => void,
   *   list: (items: import('./types.js').Chat[], whole: boolean) => void, members: (chatId: string, members: import('./types.js').Member[]) => void,
   *   lost: (chatId: string) => void, answered: (answered: boolean) => void}} heard
   */
  constructor(api, heard) {
    this.#api = api;
    this.#heard = heard;
  }

  /** @param {() => boolean} isLive whether a socket tells what happens */
  start(isLive) {
    this.#isLive = isLive;
    this.#arm();
  }

  stop() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#heard = { ...this.#heard, room: () => null };
  }

  /** Look at everything now. */
  async wake() {
    await Promise.all([this.catchUp(), this.refreshList(), this.#refreshMembers()]);
  }

  /** What has happened in the open chat since. One at a time; asked for meanwhile, it is done once more. */
  async catchUp() {
    this.#again = true;
    if (this.#running) return;
    this.#running = true;
    while (this.#again) {
      this.#again = false;
      await this.#changes();
    }
    this.#running = false;
  }

  async refreshList() {
    const answer = await this.#api.list();
    if (this.#note(answer) && answer.kind === 'ok') this.#heard.list(answer.data.items, answer.data.nextCursor === null);
  }

  /** The newest page, as what the room holds from now on. @param {Room} room */
  async readNewest(room) {
    return this.#read(room, {}, (page) => room.begin(page));
  }

  /** The page before what is held. @param {Room} room */
  async readBefore(room) {
    if (room.before === null) return true;
    return this.#read(room, { before: room.before }, (page) => room.prepend(page));
  }

  /** The page after what is held. @param {Room} room */
  async readAfter(room) {
    return this.#read(room, { after: room.last }, (page) => room.append(page));
  }

  /** A page around a message. @param {Room} room @param {number} seq */
  async readAround(room, seq) {
    return this.#read(room, { before: seq + 25 }, (page) => room.begin({ ...page, lastChangeSeq: room.loaded ? room.since : page.lastChangeSeq }));
  }

  /**
   * @param {Room} room
   * @param {{before?: number, after?: number}} where
   * @param {(page: import('./types.js').MessagesPage) => void} take
   */
  async #read(room, where, take) {
    const answer = await this.#api.messages(room.chatId, where);
    if (!this.#note(answer, room.chatId) || answer.kind !== 'ok') return false;
    take(answer.data);
    this.#heard.changed(room);
    return true;
  }

  async #changes() {
    const room = this.#heard.room();
    if (room === null || !room.loaded) return;
    const answer = await this.#api.changes(room.chatId, room.since);
    if (!this.#note(answer, room.chatId) || answer.kind !== 'ok') return;
    if (answer.data.limited) {
      await this.readNewest(room);
      return;
    }
    const { fresh, gap } = room.catchUp(answer.data);
    if (gap) await this.readNewest(room);
    if (fresh.length > 0) this.#heard.fresh(room, fresh);
    if (answer.data.items.length > 0) this.#heard.changed(room);
  }

  async #refreshMembers() {
    const room = this.#heard.room();
    if (room === null) return;
    const answer = await this.#api.members(room.chatId);
    if (this.#note(answer, room.chatId) && answer.kind === 'ok') this.#heard.members(room.chatId, answer.data.items);
  }

  #arm() {
    clearTimeout(this.#timer);
    const pace = document.hidden ? HIDDEN_MS : this.#isLive() ? SAFETY_MS : POLL_MS;
    // A fifth of it by chance, because every page was opened when the server came back.
    this.#timer = setTimeout(() => this.#look(), pace * (0.9 + 0.2 * Math.random()));
  }

  async #look() {
    this.#looks += 1;
    const wide = this.#isLive() || this.#looks % LIST_EVERY === 0;
    await (wide ? this.wake() : this.catchUp());
    if (this.#timer !== undefined) this.#arm();
  }

  /** The pace has changed: a socket has come or gone. */
  repace() {
    if (this.#timer !== undefined) this.#arm();
  }

  /** Whether an answer is good; what it says of the link, and of the chat, is passed on. @param {Answer} answer @param {string} [chatId] */
  #note(answer, chatId) {
    this.#heard.answered(answer.kind !== 'trouble' || answer.status === 429 || answer.reason === 'signed_out');
    if (answer.kind === 'refused' && answer.problem.code === 'chat_not_found' && chatId !== undefined) this.#heard.lost(chatId);
    return answer.kind === 'ok';
  }
}
