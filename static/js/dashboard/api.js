/** The API of operators: what the dashboard asks for, and what it may do. @module */

import { asJson } from '../http.js';

/** @typedef {import('../types.js').Answer} Answer */

const TIMEOUT_MS = 15_000;
/** Many are redriven in one request. */
const BULK_TIMEOUT_MS = 120_000;
/** Rows of a page: what lies below must stay within reach of a thumb. */
const LIMIT = 12;

/** @param {Record<string, string|number|null|undefined>} query */
function asked(query) {
  const said = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== '');
  return said.length === 0 ? '' : `?${new URLSearchParams(said.map(([name, value]) => [name, String(value)]))}`;
}

/** A `409` here is a plain no (it has ended meanwhile), and nothing to try again after. @param {Promise<Answer>} asking @returns {Promise<Answer>} */
async function settled(asking) {
  const answer = await asking;
  return answer.kind === 'trouble' && answer.status === 409 ? { kind: 'refused', status: 409, problem: answer.problem } : answer;
}

/** @param {import('../types.js').Send} send */
export function operatorApi(send) {
  /** @param {string} path @param {Record<string, string|number|null|undefined>} [query] */
  const get = (path, query = {}) => send(path + asked(query), { cache: 'no-store', timeoutMs: TIMEOUT_MS });
  /** @param {string} path @param {object} [body] @param {number} [timeoutMs] */
  const post = (path, body = {}, timeoutMs = TIMEOUT_MS) => send(path, { method: 'POST', ...asJson(body), timeoutMs });
  /** @param {string} jobId */
  const letter = (jobId) => `/api/dead-letters/${encodeURIComponent(jobId)}`;
  return {
    /** How things stand. */
    now: () => get('/api/dashboard'),
    /** @param {string} range */
    history: (range) => get('/api/dashboard/history', { range }),
    /** @param {Record<string, string|number|null|undefined>} query */
    letters: (query) => get('/api/dead-letters', { ...query, limit: LIMIT }),
    /** @param {string} jobId */
    letter: (jobId) => get(letter(jobId)),
    /** @param {string} jobId */
    redrive: (jobId) => post(`${letter(jobId)}/redrive`),
    /** @param {string} jobId */
    discard: (jobId) => post(`${letter(jobId)}/discard`),
    /** @param {Record<string, string|number|null|undefined>} query */
    jobs: (query) => get('/api/dashboard/jobs', { ...query, limit: LIMIT }),
    /** @param {string} jobId */
    job: (jobId) => get(`/api/dashboard/jobs/${encodeURIComponent(jobId)}`),
    /** @param {string} jobId */
    cancel: (jobId) => settled(post(`/api/jobs/${encodeURIComponent(jobId)}/cancel`)),
    /** @param {Record<string, string|number|null|undefined>} query */
    batches: (query) => get('/api/dashboard/batches', { ...query, limit: LIMIT }),
    /** @param {string} batchId */
    cancelBatch: (batchId) => settled(post(`/api/batches/${encodeURIComponent(batchId)}/cancel`, {}, BULK_TIMEOUT_MS)),
    /** @param {string} batchId */
    retryFailed: (batchId) => settled(post(`/api/batches/${encodeURIComponent(batchId)}/retry-failed`, {}, BULK_TIMEOUT_MS)),
    cost: () => get('/api/cost', { limit: LIMIT }),
    processes: () => get('/api/dashboard/processes'),
    /** @param {Record<string, string|number|null|undefined>} query */
    audit: (query) => get('/api/audit', { ...query, limit: LIMIT }),
    /** @param {object} order which, how many, and how many of them in a second */
    redriveMany: (order) => post('/api/dead-letters/redrive', order, BULK_TIMEOUT_MS),
  };
}
