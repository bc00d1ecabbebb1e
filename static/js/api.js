/**
 * The API: three requests, and every way they can end as a value.
 *
 * Nothing here throws for what a network or a server does. An answer is `ok`, `refused` (the server read
 * the request and said no: asking again changes nothing) or `trouble` (asking again may help).
 * @module
 */

/** @typedef {import('./types.js').Answer} Answer */
/** @typedef {import('./types.js').Trouble} Trouble */

export const POST_TIMEOUT_MS = 20_000;
export const GET_TIMEOUT_MS = 10_000;
const CANCEL_TIMEOUT_MS = 10_000;

/** Refused for now, though the number is in the 400s: timeout, conflict in flight, too early, too many. */
const PASSING = new Set([408, 409, 425, 429]);

/** The server read the id and knows no such job: it never did, or no longer does. */
const GONE = new Set([400, 404, 410, 422]);

/** @type {(answer: Response, askedAt: number) => void} */
let onResponse = () => {};

/**
 * Let someone see every response's headers; the server's clock is read off them.
 * @param {(response: Response, askedAt: number) => void} listener
 */
export function listen(listener) {
  onResponse = listener;
}

/**
 * Ask for a job. The key makes it safe to ask again: the same key never makes a second job.
 * @param {{message: string, type: string, key: string, signal?: AbortSignal}} request
 * @returns {Promise<Answer>}
 */
export async function createJob({ message, type, key, signal }) {
  const answer = await request('/api/jobs', POST_TIMEOUT_MS, signal, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', 'Idempotency-Key': key },
    body: JSON.stringify({ message, type }),
  });
  return answer.kind === 'ok' && typeof answer.data?.jobId !== 'string' ? garbled(answer.status) : answer;
}

/**
 * Look at a job.
 * @param {string} jobId
 * @param {AbortSignal} [signal]
 * @returns {Promise<Answer>}
 */
export async function fetchJob(jobId, signal) {
  // no-cache, not no-store: the browser may revalidate by ETag, and it never shows an old status.
  const answer = await request(`/api/jobs/${encodeURIComponent(jobId)}`, GET_TIMEOUT_MS, signal, { cache: 'no-cache' });
  return withStatus(answer);
}

/**
 * Cancel a job. Cancelling it again is answered in the same way.
 * @param {string} jobId
 * @returns {Promise<Answer>}
 */
export async function cancelJob(jobId) {
  const path = `/api/jobs/${encodeURIComponent(jobId)}`;
  // no-store: otherwise the browser's cache holds it back until a look at the same address is answered.
  return withStatus(await request(path, CANCEL_TIMEOUT_MS, undefined, { method: 'DELETE', cache: 'no-store' }));
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

/** @param {Answer} answer */
function withStatus(answer) {
  return answer.kind === 'ok' && typeof answer.data?.status !== 'string' ? garbled(answer.status) : answer;
}

/**
 * @param {string} path
 * @param {number} timeoutMs for the headers and the body together
 * @param {AbortSignal|undefined} signal
 * @param {RequestInit} options
 * @returns {Promise<Answer>}
 */
async function request(path, timeoutMs, signal, options) {
  const controller = new AbortController();
  const abort = () => controller.abort();
  const timer = setTimeout(abort, timeoutMs);
  signal?.addEventListener('abort', abort);
  const askedAt = Date.now();
  try {
    const response = await fetch(path, { ...options, signal: controller.signal });
    onResponse(response, askedAt);
    return classify(response, await response.text());
  } catch {
    const reason = controller.signal.aborted ? 'timeout' : navigator.onLine === false ? 'offline' : 'network';
    return { kind: 'trouble', reason, status: null, problem: {}, retryAfterMs: null };
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', abort);
  }
}

/**
 * @param {Response} response
 * @param {string} text
 * @returns {Answer}
 */
function classify(response, text) {
  const { status } = response;
  const retryAfterMs = parseRetryAfter(response.headers.get('Retry-After'), Date.now());
  const data = parse(text);
  if (response.ok) return data === null ? garbled(status) : { kind: 'ok', status, data, retryAfterMs };
  const problem = data ?? {};
  if (status >= 500 || PASSING.has(status)) {
    const reason = status === 503 || status === 429 ? 'busy' : 'server';
    return { kind: 'trouble', reason, status, problem, retryAfterMs };
  }
  // A proxy's own error page is no word from the API: a 404 in HTML must not bury a living job.
  return data === null ? garbled(status) : { kind: 'refused', status, problem };
}

/**
 * @param {number} status
 * @returns {Answer}
 */
function garbled(status) {
  return { kind: 'trouble', reason: 'garbled', status, problem: {}, retryAfterMs: null };
}

/**
 * @param {string} text
 * @returns {any} an object, or null for anything else
 */
function parse(text) {
  try {
    const data = JSON.parse(text);
    return typeof data === 'object' ? data : null;
  } catch {
    return null;
  }
}

/**
 * Milliseconds to wait, from a `Retry-After` header: seconds or a date. Null when absent or unreadable.
 * @param {string|null} header
 * @param {number} now
 * @returns {number|null}
 */
export function parseRetryAfter(header, now) {
  if (header === null || header.trim() === '') return null;
  const seconds = Number(header);
  if (Number.isFinite(seconds)) return Math.max(0, seconds * 1000);
  const date = Date.parse(header);
  return Number.isNaN(date) ? null : Math.max(0, date - now);
}
