/**
 * The outbox: a message leaves the box only when the server has it.
 *
 * It is stored, with its Idempotency-Key, before the first byte is sent, and every try carries that key. So
 * a lost answer, a reload in the middle or a second tab may repeat the request, and there is still one job.
 * @module
 */

import { serverNow } from './clock.js';
import { uuid } from './keys.js';
import { afterFailure } from './schedule.js';

/** @typedef {import('./types.js').Answer} Answer */
/** @typedef {import('./types.js').Entry} Entry */
/** @typedef {import('./types.js').Sending} Sending */

/**
 * @typedef {Object} Try
 * @property {number} failures in a row
 * @property {boolean} told to wait by the server
 * @property {number} dueAt
 * @property {ReturnType<typeof setTimeout>|undefined} timer
 * @property {AbortController|null} posting
 * @property {Sending|null} sending
 */

export class Outbox {
  /** @type {Map<string, Try>} */
  #tries = new Map();
  #store;
  #createJob;
  #heard;
  #random;

  /**
   * @param {import('./store.js').Store} store
   * @param {(request: {message: string, type: string, key: string, signal: AbortSignal}) => Promise<Answer>} createJob
   * @param {{onSending: (id: string, sending: Sending) => void, onRefused: (entry: Entry) => void,
   *   onSent: (entry: Entry, retryAfterMs: number|null) => void}} heard
   * @param {() => number} random
   */
  constructor(store, createJob, heard, random = Math.random) {
    this.#store = store;
    this.#createJob = createJob;
    this.#heard = heard;
    this.#random = random;
  }

  /**
   * Keep a message for sending, and leave it there until `send`.
   * @param {string} message
   * @param {import('./types.js').Kind} type
   * @returns {{entry: Entry, left: Entry[]}} `left`: old entries that had to make room
   */
  keep(message, type) {
    /** @type {Entry} */
    const entry = {
      id: uuid(), key: uuid(), message, type, addedAt: Date.now(), jobId: null, refusal: null, job: null, gone: false,
    };
    return { entry, left: this.#store.add(entry) };
  }

  /** Send whatever is not sent yet: after a reload, or when the network is back. */
  sendAll() {
    for (const { id, jobId, refusal } of this.#store.list()) {
      const waits = this.#tries.get(id);
      const toldToWait = waits !== undefined && waits.told && Date.now() < waits.dueAt;
      if (!jobId && !refusal && !toldToWait) this.send(id);
    }
  }

  /**
   * Send one entry now, whatever it was waiting for. While it is being sent this changes nothing.
   * @param {string} id
   */
  async send(id) {
    const entry = this.#store.get(id);
    const attempt = this.#tries.get(id) ?? { failures: 0, told: false, dueAt: 0, timer: undefined, posting: null, sending: null };
    if (entry === null || entry.jobId !== null || attempt.posting !== null) return;
    clearTimeout(attempt.timer);
    attempt.posting = new AbortController();
    this.#tries.set(id, attempt);
    this.#tell(id, attempt, { state: 'sending', again: attempt.failures > 0 });
    const answer = await this.#createJob({ ...entry, signal: attempt.posting.signal });
    attempt.posting = null;
    if (this.#tries.get(id) !== attempt) return;
    if (answer.kind === 'trouble') this.#waitAndTry(id, attempt, answer);
    else this.#settle(id, answer);
  }

  /** How an entry is doing that this tab is sending; null for any other. @param {string} id */
  sending(id) {
    return this.#tries.get(id)?.sending ?? null;
  }

  /** @param {string} id */
  forget(id) {
    const attempt = this.#tries.get(id);
    this.#tries.delete(id);
    clearTimeout(attempt?.timer);
    attempt?.posting?.abort();
  }

  /** Send nothing of what is under way any more. */
  clear() {
    for (const id of [...this.#tries.keys()]) this.forget(id);
  }

  /**
   * @param {string} id
   * @param {Exclude<Answer, {kind: 'trouble'}>} answer
   */
  #settle(id, answer) {
    this.#tries.delete(id);
    if (answer.kind === 'ok') {
      const entry = this.#store.patch(id, { jobId: answer.data.jobId, job: justCreated(answer.data) });
      if (entry !== null) this.#heard.onSent(entry, answer.retryAfterMs);
    } else {
      const entry = this.#store.patch(id, { refusal: { status: answer.status, problem: answer.problem } });
      if (entry !== null) this.#heard.onRefused(entry);
    }
  }

  /**
   * @param {string} id
   * @param {Try} attempt
   * @param {import('./types.js').Trouble} trouble
   */
  #waitAndTry(id, attempt, trouble) {
    attempt.failures += 1;
    attempt.told = trouble.retryAfterMs !== null;
    const delay = afterFailure({ ...attempt, retryAfterMs: trouble.retryAfterMs, random: this.#random });
    attempt.dueAt = Date.now() + delay;
    attempt.timer = setTimeout(() => this.send(id), delay);
    const wait = { ...trouble, retryAt: attempt.dueAt };
    this.#tell(id, attempt, { state: 'waiting', again: attempt.failures > 1, wait });
  }

  /**
   * @param {string} id
   * @param {Try} attempt
   * @param {Sending} sending
   */
  #tell(id, attempt, sending) {
    attempt.sending = sending;
    this.#heard.onSending(id, sending);
  }
}

/**
 * The job as it is known from the answer to its POST, until the first look; null when that was a replay
 * and the job may be anywhere by now.
 * @param {{jobId: string, status: string}} data
 * @returns {import('./types.js').Job|null}
 */
function justCreated({ jobId, status }) {
  if (status !== 'created') return null;
  const at = new Date(serverNow()).toISOString();
  return {
    jobId, status, type: '', createdAt: at, updatedAt: at, result: null, error: null, attempt: 0, failures: 0, maxAttempts: 0,
    nextAttemptAt: null, model: null, truncated: false, usage: null, attempts: [],
  };
}
