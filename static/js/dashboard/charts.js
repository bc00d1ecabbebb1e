/** The charts: how things have stood in the last hour, day or week. @module */

import { byId, h, setText } from '../dom.js';
import { formText } from '../wording.js';
import { Chart } from './chart.js';
import { amount, bytes, count, percent, rate, seconds } from './units.js';

/** @typedef {import('./chart.js').Spec} Spec */

/** @type {Spec[]} */
const SPECS = [
  { title: 'Queue', text: count, lines: [line('waiting', 'Waiting', 'green'), line('running', 'Running', 'amber-bright')] },
  { title: 'Longest due', text: seconds, lines: [line('oldest', 'Oldest job', 'green')] },
  { title: 'Throughput', text: rate, lines: [line('finishedRate', 'Jobs', 'green'), line('requestRate', 'Requests', 'amber-bright')] },
  { title: 'Errors', text: percent, lines: [line('failedShare', 'Jobs failed', 'red'), line('errorShare', 'Requests 5xx', 'amber-bright')] },
  { title: 'API latency', text: seconds, lines: [line('latencyP50', 'p50', 'edge'), line('latencyP95', 'p95', 'green'), line('latencyP99', 'p99', 'red')] },
  { title: 'Delivery of messages', text: seconds, lines: [line('deliveryP95', 'p95', 'green')] },
  { title: 'WebSockets', text: count, lines: [line('sockets', 'Signed in', 'green')] },
  { title: 'Caches', text: percent, lines: [line('chatCacheHits', 'Chats', 'green'), line('replyCacheHits', 'Replies', 'amber-bright')] },
  { title: 'Models out of order', text: count, lines: [line('breakersOpen', 'Breakers open', 'red')] },
  { title: 'Dead letters', text: count, lines: [line('deadLetters', 'Kept', 'red')] },
  { title: 'Cost of the day', text: amount, lines: [line('cost', 'Spent', 'green')] },
  { title: 'Processors', text: count, lines: [line('cores', 'Cores busy', 'green')] },
  { title: 'Memory', text: bytes, lines: [line('resident', 'Held', 'green')] },
];

/** Seconds, by the range that is chosen. @type {Record<string, number>} */
const SPANS = { '1h': 3_600, '24h': 86_400, '7d': 604_800 };

/** @param {string} name @param {string} label @param {string} colour */
function line(name, label, colour) {
  return { name, label, colour: `--${colour}` };
}

export class Charts {
  #charts = SPECS.map((spec) => new Chart(spec));
  #note = h('p', { class: 'plain-note', role: 'status' });
  #api;
  #range = '1h';

  /** @param {{history: (range: string) => Promise<import('../types.js').Answer>}} api */
  constructor(api) {
    this.#api = api;
    byId('charts').append(this.#note, ...this.#charts.map(({ element }) => element));
    for (const choice of byId('ranges').querySelectorAll('input')) {
      choice.addEventListener('change', () => this.#choose(choice.value));
    }
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#charts.forEach((chart) => chart.paint()));
  }

  /** @param {string} range */
  #choose(range) {
    this.#range = range;
    this.load();
  }

  async load() {
    const range = this.#range;
    const answer = await this.#api.history(range);
    if (range !== this.#range) return;
    if (answer.kind !== 'ok') {
      setText(this.#note, formText(answer));
      return;
    }
    const { items, stepSeconds } = answer.data;
    setText(this.#note, items.length === 0 ? 'Nothing was sampled in this time.' : '');
    for (const chart of this.#charts) chart.show(items, stepSeconds, SPANS[range]);
  }
}
