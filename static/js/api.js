/**
 * The API: three requests about jobs, each sent as whoever is using the page.
 * @module
 */

import { asJson, garbled } from './http.js';

/** @typedef {import('./types.js').Answer} Answer */
/** @typedef {import('./types.js').Trouble} Trouble */

const POST_TIMEOUT_MS = 20_000;
const GET_TIMEOUT_MS = 10_000;
const CANCEL_TIMEOUT_MS = 10_000;

/** The server read the id and knows no such job: it never did, or no longer does. */
const GONE = new Set([400, 404, 410, 422]);

/** @param {import('./types.js').Send} send */
export function jobsApi(send) {
  return {
    /**
     * Ask for a job. The key makes it safe to ask again: the same key never makes a second job.
     * @param {{message: string, type: string, key: string, signal?: AbortSignal}} request
     * @returns {Promise<Answer>}
     */
    async createJob({ message, type, key, signal }) {
      const { headers, body } = asJson({ message, type });
      const answer = await send('/api/jobs', {
        method: 'POST', headers: { ...headers, 'Idempotency-Key': key }, body, timeoutMs: POST_TIMEOUT_MS, signal,
      });
      return answer.kind === 'ok' && typeof answer.data?.jobId !== 'string' ? garbled(answer.status) : answer;
    },

    /**
     * Look at a job.
     * @param {string} jobId
     * @param {AbortSignal} [signal]
     */
    async fetchJob(jobId, signal) {
      // no-cache, not no-store: the browser may revalidate by ETag, and it never shows an old status.
      return withStatus(await send(address(jobId), { cache: 'no-cache', timeoutMs: GET_TIMEOUT_MS, signal }));
    },

    /**
     * Cancel a job. Cancelling it again is answered in the same way.
     * @param {string} jobId
     */
    async cancelJob(jobId) {
      // no-store: otherwise the browser's cache holds it back until a look at the same address is answered.
      return withStatus(await send(address(jobId), { method: 'DELETE', cache: 'no-store', timeoutMs: CANCEL_TIMEOUT_MS }));
    },
  };
}

/**
 * Whether an answer about one job says that there is no such job, now or ever again.
 * @param {Answer} answer
 */
export function isGone(answer) {
  return answer.kind === 'refused' && GONE.has(answer.status);
}

/**
 * An answer that did not help, as something to try again after.
 * @param {Exclude<Answer, {kind: 'ok'}>} answer
 * @returns {Trouble}
 */
export function asTrouble(answer) {
  return answer.kind === 'trouble' ? answer : { ...answer, reason: 'server', retryAfterMs: null };
}

/** @param {string} jobId */
function address(jobId) {
  return `/api/jobs/${encodeURIComponent(jobId)}`;
}

/** @param {Answer} answer */
function withStatus(answer) {
  return answer.kind === 'ok' && typeof answer.data?.status !== 'string' ? garbled(answer.status) : answer;
}
