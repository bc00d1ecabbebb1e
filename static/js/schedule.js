/**
 * The schedule: how long to wait before asking again. Pure; `random` gives a number in [0, 1).
 *
 * Source of the jitter: Marc Brooker, "Exponential Backoff and Jitter" (2015), equal jitter.
 * @module
 */

/**
 * The first waits after a job was made, about a second in all, so that a quick job feels instant. The
 * smallest wait a server can ask for in a header of whole seconds is 1; it is not held to that in the
 * first second, and it is held to anything longer at once.
 */
export const QUICK_MS = [150, 200, 300, 400];
const SMALLEST_RETRY_AFTER_MS = 1_000;

const LEAST_MS = 250;
const UNASKED_MOST_MS = 5_000;
export const BACKOFF_MOST_MS = 30_000;
/** A server that asks for more has made a mistake; nobody should wait on it for a day. */
const OBEYED_MOST_MS = 300_000;

/**
 * Milliseconds until the next look, after one that worked. Never earlier than the server asked, and up to
 * a fifth later, because every client was told the same second.
 *
 * @param {{looks: number, quick: boolean, retryAfterMs: number|null, random: () => number}} so
 *   `looks` so far that worked; `quick` for a job made just now
 */
export function afterAnswer({ looks, quick, retryAfterMs, random }) {
  if (quick && looks < QUICK_MS.length && (retryAfterMs ?? 0) <= SMALLEST_RETRY_AFTER_MS) return QUICK_MS[looks];
  const unasked = Math.min(UNASKED_MOST_MS, 1_000 * 1.5 ** looks);
  const wait = Math.min(OBEYED_MOST_MS, Math.max(LEAST_MS, retryAfterMs ?? unasked));
  return wait * (1 + 0.2 * random());
}

/**
 * Milliseconds until the next try, after `failures` in a row (from 1) that came to nothing.
 *
 * @param {{failures: number, retryAfterMs: number|null, random: () => number}} so
 */
export function afterFailure({ failures, retryAfterMs, random }) {
  const ceiling = Math.min(BACKOFF_MOST_MS, 500 * 2 ** (failures - 1));
  if (retryAfterMs === null) return ceiling / 2 + (ceiling / 2) * random();
  return Math.min(OBEYED_MOST_MS, Math.max(LEAST_MS, retryAfterMs)) * (1 + 0.2 * random());
}
