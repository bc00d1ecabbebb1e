/** A chart: lines over time, with what they say in words beside it. @module */

import uPlot from '../../vendor/uplot/uPlot.esm.js';
import { serverNow } from '../clock.js';
import { h, setText } from '../dom.js';

/**
 * @typedef {Object} Line
 * @property {string} name of the figure in a moment of the history
 * @property {string} label
 * @property {string} colour a custom property of the page's
 *
 * @typedef {{title: string, text: (value: number|null|undefined) => string, lines: Line[]}} Spec
 * @typedef {{at: string} & Record<string, number|null>} Moment
 */

const NO_DATA = 'no data';
const HEIGHT = 150;
const [AXIS_WIDTH, AXIS_HEIGHT] = [62, 26];
/** Moments this many steps apart have a gap between them that no line may bridge. */
const GAP_STEPS = 1.5;

export class Chart {
  #spec;
  #values;
  #canvas = h('div', { class: 'chart__canvas', role: 'img' });
  /** @type {uPlot|null} */
  #plot = null;
  /** @type {(number|null)[][]} */
  #data = [];
  /** From when to when, in seconds since 1970. @type {[number, number]} */
  #window = [0, 0];
  element;

  /** @param {Spec} spec */
  constructor(spec) {
    this.#spec = spec;
    this.#values = spec.lines.map(() => h('span', { class: 'chart__value' }));
    const keys = spec.lines.map(({ label, colour }, at) => h('li', {}, swatch(colour), h('span', {}, label), this.#values[at]));
    this.element = h('section', { class: 'chart' }, h('h3', { class: 'chart__title' }, spec.title),
      h('ul', { class: 'chart__keys' }, ...keys), this.#canvas);
    new ResizeObserver(() => this.#fit()).observe(this.#canvas);
  }

  /** @param {Moment[]} moments the oldest first @param {number} stepSeconds @param {number} spanSeconds so long, up to now */
  show(moments, stepSeconds, spanSeconds) {
    this.#data = columns(moments, this.#spec.lines, stepSeconds);
    const now = serverNow() / 1000;
    this.#window = [now - spanSeconds, now];
    this.#say(null);
    this.#canvas.setAttribute('aria-label', this.#summary());
    if (this.#plot === null) this.paint();
    else this.#plot.setData(this.#data);
  }

  /** Draw anew, in the colours of now. */
  paint() {
    this.#plot?.destroy();
    this.#plot = null;
    if (this.#canvas.clientWidth > 0 && this.#data.length > 0) this.#plot = new uPlot(this.#options(), this.#data, this.#canvas);
  }

  #fit() {
    const width = this.#canvas.clientWidth;
    if (this.#plot === null) this.paint();
    else if (width > 0 && width !== this.#plot.width) this.#plot.setSize({ width, height: HEIGHT });
  }

  #options() {
    const style = getComputedStyle(this.#canvas);
    const colour = (/** @type {string} */ name) => style.getPropertyValue(name).trim();
    const axis = { stroke: colour('--ink-soft'), font: `12px ${style.fontFamily}`, grid: { stroke: colour('--rule'), width: 1 }, ticks: { show: false } };
    return {
      width: this.#canvas.clientWidth,
      height: HEIGHT,
      padding: [8, 8, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false } },
      scales: {
        // All that was asked for: one sample in an hour is a dot, and no sample of late is a gap at the end.
        x: { range: () => this.#window },
        y: { range: (/** @type {unknown} */ _, /** @type {number} */ __, /** @type {number} */ max) => [0, max > 0 ? max * 1.1 : 1] },
      },
      axes: [
        { ...axis, size: AXIS_HEIGHT, space: 100, values: times },
        { ...axis, size: AXIS_WIDTH, space: 32, values: (/** @type {unknown} */ _, /** @type {number[]} */ ticks) => ticks.map(this.#spec.text) },
      ],
      series: [{}, ...this.#spec.lines.map((line) => ({
        stroke: colour(line.colour), width: 1.75, points: { show: this.#data[0].length < 3, size: 5 },
      }))],
      hooks: { setCursor: [(/** @type {uPlot} */ plot) => this.#say(plot.cursor.idx ?? null)] },
    };
  }

  /** The values at that place, or the newest. @param {number|null} at */
  #say(at) {
    this.#values.forEach((place, line) => {
      const values = this.#data[line + 1] ?? [];
      setText(place, this.#text(values[at ?? values.length - 1]));
    });
  }

  /** Nobody could say, or there was nothing to say it of: a share of no jobs. @param {number|null|undefined} value */
  #text(value) {
    return value === null || value === undefined ? NO_DATA : this.#spec.text(value);
  }

  #summary() {
    const said = this.#spec.lines.map(({ label }, line) => {
      const values = this.#data[line + 1].filter((value) => value !== null);
      if (values.length === 0) return `${label} ${NO_DATA}`;
      return `${label} now ${this.#text(this.#data[line + 1].at(-1))}, at most ${this.#spec.text(Math.max(.../** @type {number[]} */ (values)))}`;
    });
    return `${this.#spec.title}: ${said.join('; ')}`;
  }
}

/** @param {string} colour */
function swatch(colour) {
  const mark = h('span', { class: 'chart__mark' });
  mark.style.background = `var(${colour})`;
  return mark;
}

/** What stands under the line of times, in the reader's own. @param {unknown} _ @param {number[]} ticks */
function times(_, ticks) {
  const apart = ticks.length > 1 ? ticks[1] - ticks[0] : 0;
  return ticks.map((tick) => {
    const date = new Date(tick * 1000);
    return apart >= 86_400 ? date.toLocaleDateString([], { day: 'numeric', month: 'short' })
      : date.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', second: apart < 60 ? '2-digit' : undefined });
  });
}

/**
 * As uPlot wants them: the times, then the values of each line; null where there is a gap.
 * @param {Moment[]} moments
 * @param {Line[]} lines
 * @param {number} stepSeconds
 * @returns {(number|null)[][]}
 */
export function columns(moments, lines, stepSeconds) {
  /** @type {(number|null)[][]} */
  const found = [[], ...lines.map(() => [])];
  let before = Infinity;
  for (const moment of moments) {
    const at = Date.parse(moment.at) / 1000;
    if (at - before > stepSeconds * GAP_STEPS) {
      found[0].push(before + stepSeconds);
      lines.forEach((_, line) => found[line + 1].push(null));
    }
    found[0].push(at);
    lines.forEach(({ name }, line) => found[line + 1].push(moment[name] ?? null));
    before = at;
  }
  return found;
}
