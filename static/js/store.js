/**
 * The store: this browser's messages and its draft, in localStorage, so that a reload loses neither.
 *
 * Several tabs may be open. Every change therefore reads the list anew, changes one entry and writes it
 * back in one go. Where localStorage is refused (private windows, blocked cookies) or full beyond help, the
 * list lives in memory until the page closes, and `lasting` says so.
 * @module
 */

import { FINAL } from './statuses.js';

/** @typedef {import('./types.js').Entry} Entry */

export const LIST_KEY = 'parley.jobs.v1';
const DRAFT_KEY = 'parley.draft.v1';
export const MOST_ENTRIES = 50;

export class Store {
  /** @type {Storage|null} */
  #storage;
  /** @type {Entry[]} */
  #entries = [];
  /** @type {string|null} what `#entries` was read from or written as */
  #raw = null;

  /** @param {() => Storage} open may throw, as reading `window.localStorage` may */
  constructor(open = () => window.localStorage) {
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

  /** Every entry, oldest first. The entries are the store's own: change them only through `patch`. */
  list() {
    const raw = this.#read(LIST_KEY);
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

  clear() {
    this.#write([]);
  }

  /** @returns {{text: string, type: string}} */
  get draft() {
    try {
      const { text, type } = JSON.parse(this.#read(DRAFT_KEY) ?? '');
      return { text: String(text ?? ''), type: String(type ?? '') };
    } catch {
      return { text: '', type: '' };
    }
  }

  /** A draft that does not fit is not worth an error: it is still in the box. */
  set draft(draft) {
    try {
      this.#storage?.setItem(DRAFT_KEY, JSON.stringify(draft));
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
        this.#storage.setItem(LIST_KEY, raw);
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
