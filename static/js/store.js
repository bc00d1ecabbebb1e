/**
 * The store: this browser's messages and its draft, in localStorage, so that a reload loses neither.
 * Several tabs may be open, and localStorage has no lock: of two that write one item at once, one is
 * overwritten. So every entry is an item of its own. Where localStorage is refused (private windows, blocked
 * cookies) or full beyond help, the list lives in memory until the page closes, and `lasting` says so.
 * Each user has a list and a draft of their own, and guests have one together, for a browser may be shared.
 * @module
 */

import { FINAL } from './statuses.js';

/** @typedef {import('./types.js').Entry} Entry */

const ENTRY_KEY = 'parley.job.v1';
const DRAFT_KEY = 'parley.draft.v1';
export const MOST_ENTRIES = 50;

export class Store {
  /** @type {Storage|null} */
  #storage;
  /** @type {Map<string, {raw: string|null, entry: Entry}>} what was last seen of each; `raw` as it is stored */
  #known = new Map();
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

  /** Whether this item of localStorage, or all that is there (null), belongs to the list. @param {string|null} key */
  concerns(key) {
    return key === null || key.startsWith(this.#prefix);
  }

  /** From now on be the store of this user, or of guests. @param {string|null} whose */
  turnTo(whose) {
    this.#whose = whose;
    this.#known.clear();
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
    for (const id of this.#ids()) this.remove(id);
    this.#drop(keyOf(DRAFT_KEY, this.#whose));
  }

  /** Every entry, oldest first. The entries are the store's own: change them only through `patch`. */
  list() {
    const entries = this.#ids().map((id) => this.get(id)).filter((entry) => entry !== null);
    return entries.sort((one, other) => one.addedAt - other.addedAt || (one.id < other.id ? -1 : 1));
  }

  /** @param {string} id */
  get(id) {
    const known = this.#known.get(id);
    const raw = this.#read(this.#prefix + id);
    if (this.#storage === null || (known !== undefined && known.raw === raw)) return known?.entry ?? null;
    const entry = parseEntry(id, raw);
    if (entry === null) this.#known.delete(id);
    else this.#known.set(id, { raw, entry });
    return entry;
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
    for (const { id } of left) this.remove(id);
    this.#write(entry);
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
    this.#write(changed);
    return changed;
  }

  /** @param {string} id */
  remove(id) {
    this.#known.delete(id);
    this.#drop(this.#prefix + id);
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

  get #prefix() {
    return `${keyOf(ENTRY_KEY, this.#whose)}/`;
  }

  /** Of every entry, also of those that another tab has added. */
  #ids() {
    const prefix = this.#prefix;
    try {
      if (this.#storage !== null) return Object.keys(this.#storage).filter((key) => key.startsWith(prefix)).map((key) => key.slice(prefix.length));
    } catch {
      this.#storage = null;
    }
    return [...this.#known.keys()];
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

  /** @param {string} key */
  #drop(key) {
    try {
      this.#storage?.removeItem(key);
    } catch {
      // What cannot be removed was not stored either.
    }
  }

  /**
   * Write an entry. When it does not fit, finished jobs give up what was seen of them, oldest first: their
   * answers are still at the server.
   * @param {Entry} entry
   */
  #write(entry) {
    while (!this.#fits(entry)) {
      const other = this.list().find(({ id, job }) => job !== null && id !== entry.id);
      if (other !== undefined && this.#fits({ ...other, job: null })) continue;
      if (entry.job === null) this.#storage = null;
      entry = { ...entry, job: null };
    }
  }

  /** Whether there was room for it; in memory there always is. @param {Entry} entry */
  #fits(entry) {
    const raw = JSON.stringify(entry);
    try {
      this.#storage?.setItem(this.#prefix + entry.id, raw);
    } catch {
      return false;
    }
    this.#known.set(entry.id, { raw, entry });
    return true;
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
 * @param {string} id
 * @param {string|null} raw
 * @returns {Entry|null} null: this is no entry
 */
function parseEntry(id, raw) {
  try {
    const entry = JSON.parse(raw ?? 'null');
    return entry?.id === id && isEntry(entry) ? { ...EMPTY, ...entry } : null;
  } catch {
    return null;
  }
}

/** @param {any} entry */
function isEntry(entry) {
  return ['id', 'key', 'message', 'type'].every((name) => typeof entry?.[name] === 'string');
}
