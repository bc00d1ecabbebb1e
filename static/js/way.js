/**
 * The way: a job's four stops on a line, the time between them, and a strip of attempts once one has failed.
 *
 *     created ──0.2 s── processing ──10 ms── analyzing ──2.4 s── completed
 *
 * A retrying job stands at the second stop, under its own name; a failed or cancelled one ends at the last.
 * @module
 */

import { h, setText } from './dom.js';
import { between, duration, ticking } from './format.js';

/** @typedef {import('./types.js').Job} Job */
/** @typedef {import('./types.js').Attempt} Attempt */
/** @typedef {'done'|'here'|'again'|'ended'|'cancelled'|'ahead'|'skipped'} Mark */
/** @typedef {{name: string, mark: Mark, time: string}} Stop */

const STOPS = ['created', 'processing', 'analyzing', 'completed'];
const MARK_SAID = {
  done: 'done', here: 'now', again: 'waiting', ended: 'the end', cancelled: 'the end', ahead: 'to come', skipped: 'not reached',
};

/**
 * The four stops as they stand.
 * @param {Job} job
 * @param {number} now by the server's clock
 * @returns {Stop[]}
 */
export function stops(job, now) {
  const [first, last] = [job.attempts?.[0], job.attempts?.at(-1)];
  const [reached, mark] = position(job, last);
  const times = [
    between(job.createdAt, first?.startedAt), between(last?.startedAt, last?.askedAt), between(last?.askedAt, last?.finishedAt),
  ];
  const list = STOPS.map((name, index) => {
    const over = index < reached || mark === 'ended' || mark === 'cancelled' || job.status === 'completed';
    const ownMark = index < reached ? 'done' : index === reached ? mark : over ? 'skipped' : 'ahead';
    return { name, mark: /** @type {Mark} */ (ownMark), time: index < reached ? duration(times[index] ?? null) : '' };
  });
  if (mark === 'again') list[1].name = 'retrying';
  if (mark === 'here') list[reached].time = ticking(now - hereSince(job, last));
  if (mark === 'ended' || mark === 'cancelled') finish(list, job, last);
  return list;
}

/**
 * @param {Job} job
 * @param {Attempt|undefined} last
 * @returns {[number, Mark]} how far along the line, and what it does there
 */
function position(job, last) {
  if (job.status === 'completed') return [3, 'done'];
  if (job.status === 'retrying') return [1, 'again'];
  if (job.status === 'failed') return [3, 'ended'];
  if (job.status === 'cancelled') return [3, 'cancelled'];
  const index = STOPS.indexOf(job.status);
  return [index < 0 ? (last ? 1 : 0) : index, 'here'];
}

/**
 * Stops that the last attempt never saw are marked so, and the last stop takes the status's name.
 * @param {Stop[]} list
 * @param {Job} job
 * @param {Attempt|undefined} last
 */
function finish(list, job, last) {
  list[3].name = job.status;
  if (!last?.askedAt) list[2].mark = 'skipped';
  if (!last?.startedAt) list[1].mark = 'skipped';
}

/**
 * @param {Job} job
 * @param {Attempt|undefined} last
 * @returns {number}
 */
function hereSince(job, last) {
  const since = { created: last ? job.updatedAt : job.createdAt, processing: last?.startedAt, analyzing: last?.askedAt };
  return Date.parse(since[/** @type {keyof typeof since} */ (job.status)] ?? job.updatedAt);
}

export class Way {
  #items = STOPS.map(() => stopItem());
  #attempts = h('ol', { class: 'attempts', 'aria-label': 'Attempts', hidden: true });
  #shown = '';
  element = h('div', { class: 'way' },
    h('ol', { class: 'way__line', 'aria-label': 'The way of this job' }, ...this.#items.map((item) => item.element)), this.#attempts);

  /**
   * @param {Job} job
   * @param {number} now by the server's clock
   */
  update(job, now) {
    stops(job, now).forEach((stop, index) => {
      const { element, name, time, said } = this.#items[index];
      if (element.dataset.mark !== stop.mark) element.dataset.mark = stop.mark;
      if (stop.mark === 'here' || stop.mark === 'again') element.setAttribute('aria-current', 'step');
      else element.removeAttribute('aria-current');
      setText(name, stop.name);
      setText(time, stop.time);
      setText(said, `, ${MARK_SAID[stop.mark]}`);
    });
    this.#updateAttempts(job);
  }

  /** @param {Job} job */
  #updateAttempts(job) {
    const attempts = job.attempts ?? [];
    const telling = attempts.length > 1 || job.failures > 0;
    const key = telling ? JSON.stringify(attempts) : '';
    if (key === this.#shown) return;
    this.#shown = key;
    this.#attempts.hidden = !telling;
    this.#attempts.replaceChildren(...(telling ? attempts.map(attemptChip) : []));
  }
}

function stopItem() {
  const name = h('span', { class: 'stop__name' });
  const said = h('span', { class: 'visually-hidden' });
  const time = h('span', { class: 'stop__time' });
  const element = h('li', { class: 'stop' }, h('span', { class: 'stop__dot', 'aria-hidden': 'true' }), name, said, time);
  return { element, name, time, said };
}

/**
 * @param {Attempt} attempt
 * @param {number} index
 */
function attemptChip(attempt, index) {
  const took = duration(between(attempt.startedAt, attempt.finishedAt));
  const state = attempt.errorCode ? 'stumbled' : attempt.finishedAt ? 'fine' : 'running';
  const what = attempt.errorCode ?? attempt.outcome ?? 'running';
  return h('li', { class: 'attempt', 'data-state': state },
    h('span', { class: 'attempt__number' }, h('span', { class: 'visually-hidden' }, 'Attempt '), String(index + 1)),
    h('span', {}, what), took ? h('span', { class: 'attempt__time' }, took) : null);
}
