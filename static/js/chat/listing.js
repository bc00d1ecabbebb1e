/** The listing: the directory as the server has it, and as this browser keeps it. @module */

/** @typedef {import('./types.js').Chat} Chat */

/** Of a hundred chats each: as many as the titles are. */
const MOST_PAGES = 10;
const MOST_KEPT = 200;

export class Listing {
  #talk;

  /** @param {import('./talk.js').Talk} talk */
  constructor(talk) {
    this.#talk = talk;
  }

  /** Read all of it. */
  async read() {
    /** @type {Chat[]} */
    const items = [];
    let cursor = null;
    for (let page = 0; page < MOST_PAGES; page += 1) {
      const answer = await this.#talk.api.list(cursor);
      this.#talk.heard.answered(answer.kind !== 'trouble');
      if (answer.kind !== 'ok') return;
      items.push(...answer.data.items);
      cursor = answer.data.nextCursor;
      if (cursor === null) break;
    }
    this.take(items, true);
  }

  /** @param {Chat[]} items @param {boolean} whole whether there are no others */
  take(items, whole) {
    const { directory, reading } = this.#talk;
    const listed = new Set(items.map(({ chatId }) => chatId));
    const others = whole ? [] : directory.list().filter(({ chatId }) => !listed.has(chatId));
    directory.begin([...items.map((chat) => reading.adjusted(chat)), ...others]);
  }

  keep() {
    const { database, directory } = this.#talk;
    database.put('state', { name: 'list', items: directory.list().slice(0, MOST_KEPT) });
  }
}
