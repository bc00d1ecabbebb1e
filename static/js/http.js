/**
 * HTTP: one request, and every way it can end as a value.
 *
 * Nothing here throws for what a network or a server does. An answer is `ok`, `refused` (the server read
 * the request and said no: asking again changes nothing) or `trouble` (asking again may help).
 * @module
 */

/** @typedef {import('./types.js').Answer} Answer */
/** @typedef {import('./types.js').Ask} Ask */

/** Refused for now, though the number is in the 400s: timeout, conflict in flight, too early, too many. */
const PASSING = new Set([408, 409, 425, 429]);

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
 * @param {string} path
 * @param {Ask} ask
 * @returns {Promise<Answer>}
 */
export async function request(path, { timeoutMs, signal, ...options }) {
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
 * What a request with a JSON body says beside its method.
 * @param {object} body
 */
export function asJson(body) {
  return { headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) };
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
  if (status === 204) return { kind: 'ok', status, data: {}, retryAfterMs };
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
 * Something answered, and it was not what was asked for.
 * @param {number} status
 * @returns {Answer}
 */
export function garbled(status) {
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
