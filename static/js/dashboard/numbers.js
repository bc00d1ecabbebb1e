/** Numbers: how things stand, in the places that the page has for them. @module */

import { h, setText } from '../dom.js';
import { plural } from '../format.js';
import { bytes, count, percent, rate, seconds, UNKNOWN } from './units.js';

/** @typedef {Record<string, any>} Now what `GET /api/dashboard` answers */

/** By the name of the place (`data-figure`); what is not sampled is unknown. @type {Record<string, (now: Now) => string>} */
const FIGURES = {
  waiting: ({ queue }) => count(queue.waiting),
  running: ({ queue, slots }) => `${count(queue.running)} of ${count(slots)}`,
  oldest: ({ queue }) => (queue.oldest === null ? 'none due' : seconds(queue.oldest)),
  letters: ({ deadLetters }) => (deadLetters.atLeast ? `over ${count(deadLetters.count)}` : count(deadLetters.count)),
  finished: ({ recent }) => rate(recent?.finishedRate),
  failed: ({ recent }) => (recent?.finishedRate === 0 ? 'none ended' : percent(recent?.failedShare)),
  requests: ({ recent }) => rate(recent?.requestRate),
  errors: ({ recent }) => (recent?.requestRate === 0 ? 'none asked' : percent(recent?.errorShare)),
  latency: ({ recent }) => (recent?.requestRate === 0 ? 'none asked' : seconds(recent?.latencyP95)),
  sockets: ({ recent }) => count(recent?.sockets),
  delivery: ({ recent }) => (recent?.heard?.gateway && recent.deliveryP95 === null ? 'none sent' : seconds(recent?.deliveryP95)),
  cache: ({ recent }) => (recent?.heard?.api && recent.chatCacheHits === null ? 'not asked' : percent(recent?.chatCacheHits)),
  cost: ({ cost }) => money(cost),
  cores: ({ recent }) => (recent?.cores === null || recent === null ? UNKNOWN : `${count(recent.cores)} cores`),
  resident: ({ recent }) => bytes(recent?.resident),
  disk: ({ recent }) => (recent?.diskUsedShare == null ? UNKNOWN : `${percent(recent.diskUsedShare)} full`),
  database: ({ databaseBytes }) => bytes(databaseBytes),
  people: ({ activity }) => count(activity?.users),
  jobs: ({ activity }) => (activity === null ? UNKNOWN : `${count(activity.jobs)} by ${plural(activity.owners, 'owner')}`),
  most: ({ activity }) => (activity === null ? UNKNOWN : count(activity.jobsPerOwner?.[2] ?? 0)),
  processes: ({ processes, recent }) => processesText(processes, recent),
};

/** @param {Now} cost */
function money({ today, currency, budget }) {
  const spent = today === null ? UNKNOWN : `${rounded(today)} ${currency}`;
  return budget === null ? spent : `${spent} of ${rounded(budget)}`;
}

/** @param {string} amount */
function rounded(amount) {
  return Number(amount).toLocaleString('en', { maximumSignificantDigits: 3 });
}

/** @param {Record<string, number>} live @param {Now|null} recent */
function processesText(live, recent) {
  const heard = { ...recent?.heard, ...live };
  return ['api', 'gateway', 'dispatcher', 'worker'].map((kind) => `${kind} ${count(heard[kind])}`).join(' · ');
}

/** @param {Element} page @param {Now|null} now null: nothing may be shown */
export function fill(page, now) {
  for (const place of page.querySelectorAll('[data-figure]')) {
    const text = now === null ? UNKNOWN : FIGURES[/** @type {HTMLElement} */ (place).dataset.figure ?? '']?.(now) ?? UNKNOWN;
    setText(place, text);
    place.classList.toggle('is-unknown', text === UNKNOWN);
  }
}

const STATES = { closed: 'well', open: 'out of order', half_open: 'being tried' };

/** One line for each model: its breaker, and what came of the calls lately. @param {Now} now */
export function modelRows({ models }) {
  if (models.length === 0) return [h('li', { class: 'model' }, 'None has a breaker yet; the offline one needs none.')];
  return models.map((/** @type {Now} */ { model, state, retrySeconds, calls, failedCalls }) => h('li', { class: 'model', 'data-state': state },
    h('span', { class: 'model__name' }, model),
    h('span', { class: 'model__state' }, STATES[/** @type {keyof typeof STATES} */ (state)] ?? state,
      retrySeconds === null ? null : `, tried again in ${seconds(retrySeconds)}`),
    h('span', { class: 'model__calls' }, calls === null ? 'calls unknown' : `${count(calls)} calls lately, ${count(failedCalls)} failed`)));
}

/** The latest answers of the API by how long they took. @param {Now} now */
export function latencyRows({ recent }) {
  let from = 0;
  return (recent?.latency ?? []).map((/** @type {{upTo: number|null, share: number}} */ { upTo, share }) => {
    const bar = h('span', { class: 'latency__bar' });
    bar.style.width = `${Math.round(share * 1000) / 10}%`;
    const text = upTo === null ? `over ${seconds(from)}` : `to ${seconds(upTo)}`;
    from = upTo ?? from;
    return h('li', { class: 'latency__row' }, h('span', { class: 'latency__name' }, text),
      h('span', { class: 'latency__track' }, bar), h('span', { class: 'latency__share' }, percent(share)));
  });
}
