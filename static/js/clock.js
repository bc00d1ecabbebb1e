/**
 * The server's clock, read off the `Date` header of its answers, so that a countdown to one of its times
 * is right on a computer whose own clock is not.
 *
 * `Date` has whole seconds. Each answer therefore only bounds the difference between the clocks, and a few
 * answers narrow it down. Bounds that contradict mean that a clock was set: the old ones are dropped.
 * @module
 */

let low = -Infinity;
let high = Infinity;

/**
 * @param {Response} response
 * @param {number} askedAt when the request left, in `Date.now()` terms
 */
export function observe(response, askedAt) {
  const date = Date.parse(response.headers.get('Date') ?? '');
  if (Number.isNaN(date)) return;
  const [newLow, newHigh] = [date - Date.now(), date + 1_000 - askedAt];
  [low, high] = newLow > high || newHigh < low ? [newLow, newHigh] : [Math.max(low, newLow), Math.min(high, newHigh)];
}

/** Milliseconds since 1970 by the server's clock, as near as is known; by our own when it fits. */
export function serverNow() {
  const difference = low <= 0 && high >= 0 ? 0 : (low + high) / 2;
  return Date.now() + (Number.isFinite(difference) ? difference : 0);
}
