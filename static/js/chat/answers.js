/**
 * Answers: what the AI is saying in the chat that is open, while it says it.
 *
 * The text comes by the socket, in pieces that say where they belong. Without a socket, or after a missing piece, it is read
 * from the job's own stream, which begins at the first word. When the job has finished, its message is in the chat.
 * @module
 */

import { FINAL } from '../statuses.js';
import { delayAfter } from './backoff.js';
import { events } from './stream.js';

/** @typedef {import('./types.js').Speech} Speech */

/** Whoever has called the AI just now is among the newest of these. */
const LOOK_BACK = 6;
const MISSED_MS = 1_500;

export class Answers {
  /** @type {Map<string, Speech & {chatId: string, size: number, reading: AbortController|null}>} */
  #speeches = new Map();
  #open;
  #heard;

  /**
   * @param {(path: string, how: {signal: AbortSignal, lastEventId: string}) => Promise<Response>} open a stream
   * @param {{changed: (chatId: string) => void, ended: (chatId: string, speech: Speech) => void}} heard
   */
  constructor(open, heard) {
    this.#open = open;
    this.#heard = heard;
  }

  /** @param {string|null} chatId @returns {Speech[]} */
  of(chatId) {
    return [...this.#speeches.values()].filter((speech) => speech.chatId === chatId);
  }

  /** Expect the answer of this job. @param {string} chatId @param {string} jobId @param {{stream: boolean}} how */
  expect(chatId, jobId, { stream }) {
    const speech = this.#speeches.get(jobId) ?? { chatId, jobId, status: 'created', attempt: 0, text: '', size: 0, reading: null };
    const isNew = !this.#speeches.has(jobId);
    this.#speeches.set(jobId, speech);
    if (stream) this.#read(speech);
    else if (isNew) setTimeout(() => this.#miss(speech), MISSED_MS);
    if (isNew) this.#heard.changed(chatId);
  }

  /**
   * Whoever comes while the AI is speaking sees it speak.
   * @param {import('./room.js').Room} room
   * @param {(jobId: string) => Promise<import('./types.js').Answer>} fetchJob
   */
  async expectIn(room, fetchJob) {
    const newest = room.list().slice(-LOOK_BACK);
    const answered = new Set(newest.filter(({ isAi }) => isAi).map(({ jobId }) => jobId));
    const open = new Set(newest.filter(({ isAi, jobId }) => !isAi && jobId !== null && !answered.has(jobId)).map(({ jobId }) => jobId));
    for (const jobId of /** @type {Set<string>} */ (open)) {
      const answer = await fetchJob(jobId);
      if (answer.kind !== 'ok' || answer.data.status === 'completed' || answer.data.status === 'cancelled') continue;
      this.expect(room.chatId, jobId, { stream: answer.data.status !== 'failed' });
      this.moved(room.chatId, answer.data);
    }
  }

  /** What stands in the chat is no more on its way. @param {import('./room.js').Room} room */
  settle(room) {
    for (const { jobId, isAi } of room.list().slice(-LOOK_BACK)) if (isAi && jobId !== null) this.forget(jobId);
  }

  /** A job has moved. @param {string} chatId @param {{jobId: string, status: string, attempt?: number, error?: any}} moved */
  moved(chatId, { jobId, status, attempt, error }) {
    const known = this.#speeches.get(jobId);
    if (known === undefined) {
      if (FINAL.has(status)) return;
      this.expect(chatId, jobId, { stream: false });
    }
    const speech = this.#speeches.get(jobId);
    if (speech === undefined || FINAL.has(speech.status)) return;
    if (attempt !== undefined && attempt > speech.attempt && speech.attempt > 0) this.#reset(speech, attempt);
    speech.status = status;
    if (error?.message) speech.error = error.message;
    this.#heard.changed(speech.chatId);
    if (FINAL.has(status)) {
      speech.reading?.abort();
      this.#heard.ended(speech.chatId, speech);
    }
  }

  /** A piece of text has come by the socket. @param {string} chatId @param {{jobId: string, attempt: number, offset: number, text: string}} piece */
  said(chatId, { jobId, attempt, offset, text }) {
    this.expect(chatId, jobId, { stream: false });
    const speech = this.#speeches.get(jobId);
    if (speech === undefined || speech.reading !== null || attempt < speech.attempt) return;
    if (attempt > speech.attempt) this.#reset(speech, attempt);
    if (offset > speech.size) this.#read(speech);
    else if (offset + count(text) > speech.size) this.#append(speech, [...text].slice(speech.size - offset).join(''));
  }

  /** It is in the chat now, or nobody wants to see it any more. @param {string} jobId */
  forget(jobId) {
    const speech = this.#speeches.get(jobId);
    if (speech === undefined) return;
    speech.reading?.abort();
    this.#speeches.delete(jobId);
    this.#heard.changed(speech.chatId);
  }

  clear() {
    for (const jobId of [...this.#speeches.keys()]) this.forget(jobId);
  }

  /** Nothing has come by the socket for a while: it may be nothing yet, or lost. @param {Speech & {chatId: string, size: number, reading: AbortController|null}} speech */
  #miss(speech) {
    if (this.#speeches.get(speech.jobId) === speech && speech.size === 0) this.#read(speech);
  }

  /** @param {Speech & {size: number}} speech @param {number} attempt */
  #reset(speech, attempt) {
    [speech.attempt, speech.text, speech.size] = [attempt, '', 0];
  }

  /** @param {Speech & {chatId: string, size: number}} speech @param {string} text */
  #append(speech, text) {
    speech.text += text;
    speech.size += count(text);
    this.#heard.changed(speech.chatId);
  }

  /** @param {Speech & {chatId: string, size: number, reading: AbortController|null}} speech */
  async #read(speech) {
    if (speech.reading !== null || FINAL.has(speech.status)) return;
    const reading = new AbortController();
    speech.reading = reading;
    this.#reset(speech, speech.attempt);
    let lastEventId = '';
    for (let failures = 0; !reading.signal.aborted && failures < 8; ) {
      try {
        const response = await this.#open(`/api/jobs/${encodeURIComponent(speech.jobId)}/events`, { signal: reading.signal, lastEventId });
        if (!response.ok || response.body === null || response.status === 204) break;
        for await (const { id, event, data } of events(response.body)) {
          [lastEventId, failures] = [id, 0];
          this.#hear(speech, event, JSON.parse(data));
        }
      } catch {
        // Broken off; what was missed comes with the next one.
      }
      if (FINAL.has(speech.status)) return;
      failures += 1;
      await new Promise((resolve) => setTimeout(resolve, delayAfter(failures)));
    }
    if (speech.reading === reading) speech.reading = null;
  }

  /** @param {Speech & {chatId: string, size: number}} speech @param {string} event @param {any} data */
  #hear(speech, event, data) {
    if (this.#speeches.get(speech.jobId) !== speech) return;
    if (event === 'reset') this.#reset(speech, data.attempt);
    else if (event === 'text') {
      speech.attempt = data.attempt;
      this.#append(speech, data.text);
    } else if (event === 'status') this.moved(speech.chatId, { jobId: speech.jobId, status: data.status, error: data.error });
  }
}

/** Characters as the server counts them: code points. @param {string} text */
function count(text) {
  return [...text].length;
}
