/**
 * The store: this browser's messages and its draft, in localStorage, so that a reload loses neither.
 *
 * Several tabs may be open. Every change therefore reads the list anew, changes one entry and writes it
 * back in one go. Where localStorage is refused (private windows, blocked cookies) or full beyond help, the
 * list lives in memory until the page closes, and `lasting` says so.
 *
 * Each user has a list and a draft of their own, and guests have one together, for a browser may be shared.
 * @module
 */

import { FINAL } from './statuses.js';

/** @typedef {import('./types.js').Entry} Entry */

const LIST_KEY = 'parley.jobs.v1';
const DRAFT_KEY = 'parley.draft.v1';
export const MOST_ENTRIES = 50;

export class Store {
  /** @type {Storage|null} */
  #storage;
  /** @type {Entry[]} */
  #entries = [];
  /** @type {string|null} what `#entries` was read from or written as */
  #raw = null;
  /** @type {string|null} */
  #whose;

  /**
   * @param {string|null} whose a user's id; null: guests'
   * @param {() => Storage} open may throw, as reading `window.localStorage` may
   */
  constructor(whose = null, open = () => window.localStorage) {
    this.#whose = whose;
    try {
      this.#storage = open();
      this.#storage.setItem('parley.try', '');
      this.#storage.removeItem('parley.try');
    } catch {
      this.#storage = null;
    }
  }

  /** Whether what is stored survives a reload. */
  get lasting() {
    return this.#storage !== null;
  }

  /** Where the list is kept. */
  get listKey() {
    return keyOf(LIST_KEY, this.#whose);
  }

  /** From now on be the store of this user, or of guests. @param {string|null} whose */
  turnTo(whose) {
    this.#whose = whose;
    [this.#entries, this.#raw] = [[], null];
  }

  /** Be a user's store, who has gone on as a guest until now: what is here becomes theirs. @param {string} whose */
  moveTo(whose) {
    const [moved, draft] = [this.list(), this.draft];
    this.wipe();
    this.turnTo(whose);
    if (draft.text !== '') this.draft = draft;
    const kept = new Set(this.list().map((entry) => entry.id));
    for (const entry of moved) if (!kept.has(entry.id)) this.add(entry);
  }

  /** Keep nothing of this user, or of guests, any more. */
  wipe() {
    this.#write([]);
    try {
      this.#storage?.removeItem(this.listKey);
      this.#storage?.removeItem(keyOf(DRAFT_KEY, this.#whose));
    } catch {
      // What cannot be removed was not stored either.
    }
  }

  /** Every entry, oldest first. The entries are the store's own: change them only through `patch`. */
  list() {
    const raw = this.#read(this.listKey);
    if (this.#storage !== null && raw !== this.#raw) {
      this.#raw = raw;
      this.#entries = parseEntries(raw);
    }
    return this.#entries;
  }

  /** @param {string} id */
  get(id) {
    return this.list().find((entry) => entry.id === id) ?? null;
  }

  /** @param {string} jobId */
  byJob(jobId) {
    return this.list().find((entry) => entry.jobId === jobId) ?? null;
  }

  /**
   * Add an entry at the end; old ones leave when there are too many, unsent ones never.
   * @param {Entry} entry
   * @returns {Entry[]} those that left
   */
  add(entry) {
    const entries = [...this.list(), entry];
    /** @type {Entry[]} */
    const left = [];
    while (entries.length > MOST_ENTRIES) {
      const index = leastMissed(entries);
      if (index < 0) break;
      left.push(...entries.splice(index, 1));
    }
    this.#write(entries);
    return left;
  }

  /**
   * Change one entry.
   * @param {string} id
   * @param {Partial<Entry>} changes
   * @returns {Entry|null} as it is now, or null when another tab has removed it
   */
  patch(id, changes) {
    const current = this.get(id);
    if (current === null) return null;
    const changed = { ...current, ...changes };
    this.#write(this.#entries.map((entry) => (entry.id === id ? changed : entry)));
    return changed;
  }

  /** @param {string} id */
  remove(id) {
    this.#write(this.list().filter((entry) => entry.id !== id));
  }

  /** @returns {{text: string, type: string}} */
  get draft() {
    try {
      const { text, type } = JSON.parse(this.#read(keyOf(DRAFT_KEY, this.#whose)) ?? '');
      return { text: String(text ?? ''), type: String(type ?? '') };
    } catch {
      return { text: '', type: '' };
    }
  }

  /** A draft that does not fit is not worth an error: it is still in the box. */
  set draft(draft) {
    try {
      this.#storage?.setItem(keyOf(DRAFT_KEY, this.#whose), JSON.stringify(draft));
    } catch {
      // Full: the list matters more.
    }
  }

  /** @param {string} key */
  #read(key) {
    try {
      return this.#storage?.getItem(key) ?? null;
    } catch {
      this.#storage = null;
      return null;
    }
  }

  /**
   * Write the list. When it does not fit, finished jobs give up what was seen of them, oldest first: their
   * answers are still at the server.
   * @param {Entry[]} entries
   */
  #write(entries) {
    this.#entries = entries;
    while (this.#storage !== null) {
      try {
        const raw = JSON.stringify(this.#entries);
        this.#storage.setItem(this.listKey, raw);
        this.#raw = raw;
        return;
      } catch {
        const index = this.#entries.findIndex((entry) => entry.job !== null);
        if (index < 0) this.#storage = null;
        this.#entries = this.#entries.map((entry, at) => (at === index ? { ...entry, job: null } : entry));
      }
    }
  }
}

/**
 * @param {string} key
 * @param {string|null} whose
 */
function keyOf(key, whose) {
  return whose === null ? key : `${key}.${whose}`;
}

const EMPTY = { addedAt: 0, jobId: null, refusal: null, job: null, gone: false };

/**
 * @param {Entry[]} entries
 * @returns {number} the index of the oldest finished entry, else of the oldest sent one, else -1
 */
function leastMissed(entries) {
  const finished = entries.findIndex((entry) => entry.gone || FINAL.has(entry.job?.status ?? ''));
  return finished >= 0 ? finished : entries.findIndex((entry) => entry.jobId !== null || entry.refusal !== null);
}

/**
 * @param {string|null} raw
 * @returns {Entry[]} without whatever is not an entry
 */
function parseEntries(raw) {
  try {
    const list = JSON.parse(raw ?? '[]');
    return Array.isArray(list) ? list.filter(isEntry).map((entry) => ({ ...EMPTY, ...entry })) : [];
  } catch {
    return [];
  }
}

/** @param {any} entry */
function isEntry(entry) {
  return ['id', 'key', 'message', 'type'].every((name) => typeof entry?.[name] === 'string');
}
