/**
 * The poller: looks at every unfinished job until it is finished, whatever happens in between.
 *
 *     armed ──timer or wake──▶ looking ──answer──▶ armed, or done
 *                                 └──trouble──▶ armed, further away each time
 *
 * A watch is in exactly one of these states, so a job never has two looks under way. No failure ends a
 * watch: only a final status, a job that is gone, or `unwatch` does.
 * @module
 */

import { asTrouble, isGone } from './api.js';
import { afterAnswer, afterFailure } from './schedule.js';
import { FINAL } from './statuses.js';

/** @typedef {import('./types.js').Answer} Answer */
/** @typedef {import('./types.js').Job} Job */
/** @typedef {import('./types.js').Wait} Wait */

/** A look under way for longer, by the wall clock, when we wake is one that the sleep has cut off. */
const STALE_MS = 5_000;
const JUST_NOW_MS = 500;

/**
 * @typedef {Object} Watch
 * @property {string} jobId
 * @property {boolean} quick
 * @property {number} looks that worked
 * @property {number} failures in a row
 * @property {boolean} told to wait by a server that refused us
 * @property {number} startedAt of the last look
 * @property {number} dueAt of the next look
 * @property {ReturnType<typeof setTimeout>|undefined} timer
 * @property {AbortController|null} looking
 */

export class Poller {
  /** @type {Map<string, Watch>} */
  #watches = new Map();
  #fetchJob;
  #heard;
  #random;

  /**
   * @param {(jobId: string, signal: AbortSignal) => Promise<Answer>} fetchJob
   * @param {{onJob: (job: Job) => void, onGone: (jobId: string) => void,
   *   onTrouble: (jobId: string, wait: Wait, failures: number) => void, onWell: (jobId: string) => void}} heard
   *   `onWell` follows every look that reached the server
   * @param {() => number} random
   */
  constructor(fetchJob, heard, random = Math.random) {
    this.#fetchJob = fetchJob;
    this.#heard = heard;
    this.#random = random;
  }

  /**
   * Follow a job. Once followed, more calls change nothing.
   * @param {string} jobId
   * @param {{quick?: boolean, retryAfterMs?: number|null}} [how] `quick` for a job made just now
   */
  watch(jobId, { quick = false, retryAfterMs = null } = {}) {
    if (this.#watches.has(jobId)) return;
    /** @type {Watch} */
    const watch = {
      jobId, quick, looks: 0, failures: 0, told: false, startedAt: 0, dueAt: 0, timer: undefined, looking: null,
    };
    this.#watches.set(jobId, watch);
    // After a reload up to fifty jobs are due at once; a spread of 200 ms is not felt.
    const soon = this.#random() * 200;
    this.#arm(watch, quick ? afterAnswer({ looks: 0, quick, retryAfterMs, random: this.#random }) : soon);
  }

  /** @param {string} jobId */
  unwatch(jobId) {
    const watch = this.#watches.get(jobId);
    this.#watches.delete(jobId);
    clearTimeout(watch?.timer);
    watch?.looking?.abort();
  }

  /** Follow nothing any more. */
  clear() {
    for (const jobId of [...this.#watches.keys()]) this.unwatch(jobId);
  }

  get watching() {
    return this.#watches.size;
  }

  /**
   * Look at once: the tab is seen again, the network is back, or the machine has slept. A wait that a
   * refusing server asked for is kept, unless a person insists.
   * @param {{insist?: boolean}} [how]
   */
  wake({ insist = false } = {}) {
    const now = Date.now();
    for (const watch of this.#watches.values()) {
      if (watch.looking !== null) {
        if (now - watch.startedAt > STALE_MS) watch.looking.abort();
      } else if (watch.told && now < watch.dueAt && !insist) {
        this.#arm(watch, watch.dueAt - now);
      } else if (insist || now - watch.startedAt > JUST_NOW_MS) {
        this.#arm(watch, this.#random() * 100);
      }
    }
  }

  /**
   * @param {Watch} watch
   * @param {number} delay
   */
  #arm(watch, delay) {
    clearTimeout(watch.timer);
    watch.dueAt = Date.now() + delay;
    watch.timer = setTimeout(() => this.#look(watch), delay);
  }

  /** @param {Watch} watch */
  async #look(watch) {
    watch.looking = new AbortController();
    watch.startedAt = Date.now();
    const answer = await this.#fetchJob(watch.jobId, watch.looking.signal);
    watch.looking = null;
    if (this.#watches.get(watch.jobId) !== watch) return;
    if (answer.kind === 'ok') this.#saw(watch, answer.data, answer.retryAfterMs);
    else if (isGone(answer)) this.#lost(watch);
    else this.#stumbled(watch, answer);
  }

  /**
   * @param {Watch} watch
   * @param {Job} job
   * @param {number|null} retryAfterMs
   */
  #saw(watch, job, retryAfterMs) {
    watch.looks += 1;
    watch.failures = 0;
    watch.told = false;
    if (FINAL.has(job.status)) this.#watches.delete(watch.jobId);
    else this.#arm(watch, afterAnswer({ ...watch, retryAfterMs, random: this.#random }));
    this.#heard.onWell(watch.jobId);
    this.#heard.onJob(job);
  }

  /** @param {Watch} watch */
  #lost(watch) {
    this.#watches.delete(watch.jobId);
    this.#heard.onWell(watch.jobId);
    this.#heard.onGone(watch.jobId);
  }

  /**
   * @param {Watch} watch
   * @param {Exclude<Answer, {kind: 'ok'}>} answer
   */
  #stumbled(watch, answer) {
    const trouble = asTrouble(answer);
    watch.failures += 1;
    watch.told = trouble.retryAfterMs !== null;
    this.#arm(watch, afterFailure({ ...watch, retryAfterMs: trouble.retryAfterMs, random: this.#random }));
    this.#heard.onTrouble(watch.jobId, { ...trouble, retryAt: watch.dueAt }, watch.failures);
  }
}
