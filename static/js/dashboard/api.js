/** The API of operators: what the dashboard asks for, and what it may do. @module */

import { asJson } from '../http.js';

/** @typedef {import('../types.js').Answer} Answer */

const TIMEOUT_MS = 15_000;
/** Many are redriven in one request. */
const BULK_TIMEOUT_MS = 120_000;

/** @param {Record<string, string|number|null|undefined>} query */
function asked(query) {
  const said = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== '');
  return said.length === 0 ? '' : `?${new URLSearchParams(said.map(([name, value]) => [name, String(value)]))}`;
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
    letters: (query) => get('/api/dead-letters', query),
    /** @param {string} jobId */
    letter: (jobId) => get(letter(jobId)),
    /** @param {string} jobId */
    redrive: (jobId) => post(`${letter(jobId)}/redrive`),
    /** @param {string} jobId */
    discard: (jobId) => post(`${letter(jobId)}/discard`),
    /** @param {object} order which, how many, and how many of them in a second */
    redriveMany: (order) => post('/api/dead-letters/redrive', order, BULK_TIMEOUT_MS),
  };
}
