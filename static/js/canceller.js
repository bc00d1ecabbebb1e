/**
 * The canceller: what becomes of a press on Cancel.
 *
 * Nothing is repeated by itself: whoever still wants it presses again. A request whose answer was lost may
 * have cancelled the job all the same, and then the poller sees it.
 * @module
 */

import { asTrouble, isGone } from './api.js';

/** @typedef {import('./types.js').Answer} Answer */
/** @typedef {import('./types.js').Cancelling} Cancelling */
/** @typedef {import('./types.js').Job} Job */

export class Canceller {
  /** @type {Map<string, Cancelling>} */
  #asks = new Map();
  #cancelJob;
  #heard;

  /**
   * @param {(jobId: string) => Promise<Answer>} cancelJob
   * @param {{onCancelling: (jobId: string, cancelling: Cancelling) => void, onCancelled: (job: Job) => void,
   *   onTooLate: (jobId: string) => void, onGone: (jobId: string) => void}} heard
   *   `onTooLate`: the job had ended, nobody here knows how yet
   */
  constructor(cancelJob, heard) {
    this.#cancelJob = cancelJob;
    this.#heard = heard;
  }

  /**
   * Ask for a job to be cancelled. While that is under way more calls change nothing.
   * @param {string} jobId
   */
  async cancel(jobId) {
    if (this.#asks.get(jobId)?.state === 'cancelling') return;
    /** @type {Cancelling} */
    const ask = { state: 'cancelling' };
    this.#tell(jobId, ask);
    const answer = await this.#cancelJob(jobId);
    if (this.#asks.get(jobId) !== ask) return;
    this.#asks.delete(jobId);
    if (answer.kind === 'ok' && answer.data.status === 'cancelled') this.#heard.onCancelled(answer.data);
    else if (answer.kind === 'ok' || answer.problem.code === 'already_finished') this.#heard.onTooLate(jobId);
    else if (isGone(answer)) this.#heard.onGone(jobId);
    else this.#tell(jobId, { state: 'uncancelled', trouble: asTrouble(answer) });
  }

  /** How the cancelling of a job is doing; null when nobody asked for it. @param {string|null} jobId */
  cancelling(jobId) {
    return this.#asks.get(jobId ?? '') ?? null;
  }

  /** The job has ended, or its card has left. A request under way goes on: somebody wanted it. @param {string} jobId */
  forget(jobId) {
    this.#asks.delete(jobId);
  }

  clear() {
    this.#asks.clear();
  }

  /**
   * @param {string} jobId
   * @param {Cancelling} cancelling
   */
  #tell(jobId, cancelling) {
    this.#asks.set(jobId, cancelling);
    this.#heard.onCancelling(jobId, cancelling);
  }
}
