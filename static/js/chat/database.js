/**
 * The database: what this browser keeps of somebody's chats, in IndexedDB, so that they can be read without a network
 * and nothing that was to be sent is lost. Each user has one of their own. Where IndexedDB is refused (private windows) or
 * breaks, it lives in memory until the page closes.
 * @module
 */

const PREFIX = 'parley.chat.';
const VERSION = 1;
/** @typedef {'outbox'|'rooms'|'state'} Name */
/** What each kind of record is found by. */
const KEYS = { outbox: 'clientMsgId', rooms: 'chatId', state: 'name' };

export class Database {
  #name;
  /** @type {Promise<IDBDatabase|null>} */
  #opened;
  /** @type {Map<string, any>} */
  #memory = new Map();

  /** @param {string} whose a user's id */
  constructor(whose) {
    this.#name = PREFIX + whose;
    this.#opened = open(this.#name);
  }

  /** @param {Name} store @param {string} key @returns {Promise<any>} undefined: there is none */
  async get(store, key) {
    return this.#do(store, 'readonly', (records) => records.get(key), () => this.#memory.get(`${store}/${key}`));
  }

  /** @param {Name} store @returns {Promise<any[]>} */
  async all(store) {
    return this.#do(store, 'readonly', (records) => records.getAll(), () =>
      [...this.#memory].filter(([key]) => key.startsWith(`${store}/`)).map(([, value]) => value));
  }

  /** @param {Name} store @param {any} value */
  async put(store, value) {
    await this.#do(store, 'readwrite', (records) => records.put(value), () => this.#memory.set(`${store}/${value[KEYS[store]]}`, value));
  }

  /**
   * As `put`, of the outbox; kept also if the page ends before the database has it, because localStorage takes no time.
   * @param {{clientMsgId: string}} entry
   */
  async keep(entry) {
    const name = `${this.#name}/${entry.clientMsgId}`;
    local((storage) => storage.setItem(name, JSON.stringify(entry)));
    await this.put('outbox', entry);
    local((storage) => storage.removeItem(name));
  }

  /** What an earlier page could not give to the database any more. @returns {any[]} */
  leftOver() {
    const kept = local((storage) => this.#leftNames(storage).map((name) => storage.getItem(name))) ?? [];
    return kept.flatMap(entriesOf);
  }

  /** @param {Storage} storage */
  #leftNames(storage) {
    return Object.keys(storage).filter((name) => name.startsWith(`${this.#name}/`));
  }

  /** @param {Name} store @param {string} key */
  async remove(store, key) {
    await this.#do(store, 'readwrite', (records) => records.delete(key), () => this.#memory.delete(`${store}/${key}`));
  }

  /** Let go of it; `erase` leaves nothing of it in this browser. @param {{erase?: boolean}} [how] */
  async close({ erase = false } = {}) {
    (await this.#opened)?.close();
    this.#opened = Promise.resolve(null);
    this.#memory.clear();
    if (!erase) return;
    local((storage) => this.#leftNames(storage).forEach((name) => storage.removeItem(name)));
    globalThis.indexedDB?.deleteDatabase(this.#name);
  }

  /**
   * @param {Name} store
   * @param {IDBTransactionMode} mode
   * @param {(records: IDBObjectStore) => IDBRequest} act
   * @param {() => any} otherwise in memory
   */
  async #do(store, mode, act, otherwise) {
    const database = await this.#opened;
    if (database === null) return otherwise();
    try {
      return await settled(act(database.transaction(store, mode).objectStore(store)));
    } catch {
      // Full, or taken away while the page was open: from here on it is kept in memory.
      this.#opened = Promise.resolve(null);
      return otherwise();
    }
  }
}

/** @param {string} name @returns {Promise<IDBDatabase|null>} */
async function open(name) {
  try {
    const request = globalThis.indexedDB.open(name, VERSION);
    request.onupgradeneeded = () => {
      for (const [store, keyPath] of Object.entries(KEYS)) request.result.createObjectStore(store, { keyPath });
    };
    const database = await settled(request);
    // Another tab erases it when somebody signs out there.
    database.onversionchange = () => database.close();
    return database;
  } catch {
    return null;
  }
}

/** @param {string|null} kept @returns {any[]} none: it was cut off, or is of somebody else; it must not hide the others */
function entriesOf(kept) {
  try {
    const entry = JSON.parse(kept ?? '');
    return ['clientMsgId', 'chatId', 'content'].every((name) => typeof entry[name] === 'string') ? [entry] : [];
  } catch {
    return [];
  }
}

/** @template T @param {(storage: Storage) => T} act @returns {T|null} null: this browser has none for us, or it is full */
function local(act) {
  try {
    return act(globalThis.localStorage);
  } catch {
    return null;
  }
}

/** @template T @param {IDBRequest<T>} request @returns {Promise<T>} */
function settled(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
    if (request instanceof IDBOpenDBRequest) request.onblocked = () => reject(new Error('blocked'));
  });
}
