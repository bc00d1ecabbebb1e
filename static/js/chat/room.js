/**
 * A room: what is known of one chat's messages, without gaps, from some message up to some other.
 *
 * What happens to a message comes on several ways: a page, changes since, a socket's event, the answer to what was sent
 * from here; in any order, and more than once. `changeSeq` says which of two is newer, and an older one changes nothing.
 * @module
 */

/** @typedef {import('./types.js').Message} Message */
/** @typedef {import('./types.js').MessagesPage} MessagesPage */

/** More than this are let go at the far end: a chat of years must not fill the page. */
export const MOST_HELD = 300;

export class Room {
  /** @type {Map<number, Message>} */
  #messages = new Map();
  #first = 0;
  #last = 0;

  /** @param {string} chatId */
  constructor(chatId) {
    this.chatId = chatId;
    /** Whether a page has been read. */
    this.loaded = false;
    /** Where the page before begins, null: there is none. @type {number|null} */
    this.before = null;
    /** Whether the newest message is among them. */
    this.atEnd = true;
    /** The last change that is known. */
    this.since = 0;
  }

  /** The earliest first. @returns {Message[]} */
  list() {
    const found = [];
    for (let seq = this.#first; seq <= this.#last; seq += 1) {
      const message = this.#messages.get(seq);
      if (message !== undefined) found.push(message);
    }
    return found;
  }

  /** @param {number} seq */
  get(seq) {
    return this.#messages.get(seq) ?? null;
  }

  get last() {
    return this.#last;
  }

  /** Whether a message of this name has come back from the server. @param {string} clientMsgId @param {string} senderId */
  has(clientMsgId, senderId) {
    for (let seq = this.#last; seq >= this.#first && seq > 0; seq -= 1) {
      const message = this.#messages.get(seq);
      if (message?.clientMsgId === clientMsgId && message.senderId === senderId) return true;
    }
    return false;
  }

  /** Begin anew with this page. @param {MessagesPage} page */
  begin(page) {
    const kept = this.#messages;
    this.#messages = new Map();
    [this.#first, this.#last] = [page.items[0]?.seq ?? 0, page.items.at(-1)?.seq ?? 0];
    for (const message of page.items) {
      // What an event has said meanwhile may be newer than the page.
      const known = kept.get(message.seq);
      this.#messages.set(message.seq, known !== undefined && known.changeSeq > message.changeSeq ? known : message);
    }
    this.before = page.before;
    this.atEnd = page.after === null;
    this.since = page.lastChangeSeq;
    this.loaded = true;
  }

  /** Put the page before in front. @param {MessagesPage} page */
  prepend(page) {
    if (page.items.length === 0 || page.items.at(-1)?.seq !== this.#first - 1) {
      this.before = page.items.length === 0 ? null : this.before;
      return;
    }
    for (const message of page.items) this.#messages.set(message.seq, message);
    this.#first = page.items[0].seq;
    this.before = page.before;
    while (this.#messages.size > MOST_HELD) {
      this.#messages.delete(this.#last);
      this.#last -= 1;
      this.atEnd = false;
    }
  }

  /** Put the page after at the end. @param {MessagesPage} page */
  append(page) {
    if (page.items[0]?.seq !== this.#last + 1) {
      if (page.items.length === 0) this.atEnd = true;
      return;
    }
    for (const message of page.items) this.#messages.set(message.seq, message);
    this.#last = page.items.at(-1)?.seq ?? this.#last;
    this.atEnd = page.after === null;
    while (this.#messages.size > MOST_HELD) {
      this.#messages.delete(this.#first);
      this.#first += 1;
      this.before = this.#first;
    }
  }

  /**
   * Take one message as it is now.
   * @param {Message} message
   * @returns {'new'|'changed'|'old'|'beyond'} `beyond`: it does not join on, something between is missing
   */
  apply(message) {
    const known = this.#messages.get(message.seq);
    if (known !== undefined) {
      if (known.changeSeq >= message.changeSeq) return 'old';
      this.#messages.set(message.seq, message);
      return 'changed';
    }
    if (message.seq < this.#first) return 'old';
    if (!this.atEnd) return 'beyond';
    // Also of an empty room: what comes first need not be the first there is.
    if (message.seq !== this.#last + 1) return 'beyond';
    this.#messages.set(message.seq, message);
    if (this.#first === 0) this.#first = message.seq;
    this.#last = message.seq;
    return 'new';
  }

  /**
   * Take what `GET …/changes` answers.
   * @param {{items: Message[], since: number}} changes
   * @returns {{fresh: Message[], gap: boolean}} messages that were not known; whether the newest page must be read anew
   */
  catchUp({ items, since }) {
    /** @type {Message[]} */
    const fresh = [];
    let gap = false;
    for (const message of [...items].sort((one, other) => one.seq - other.seq)) {
      const became = this.apply(message);
      if (became === 'new') fresh.push(message);
      if (became === 'beyond' && this.atEnd) gap = true;
    }
    // With a gap the page says how far it goes; if it cannot be read, the same changes are asked for again.
    if (!gap) this.since = Math.max(this.since, since);
    return { fresh, gap };
  }

  /** What is worth keeping for a time without a network: the newest of it. @param {number} most */
  snapshot(most) {
    const items = this.list().slice(-most);
    const cut = items.length < this.#messages.size;
    return { chatId: this.chatId, items, before: cut ? items[0]?.seq ?? null : this.before, after: null, lastChangeSeq: this.since };
  }
}
