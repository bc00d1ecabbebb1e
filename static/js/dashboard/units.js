/** Units: the dashboard's numbers in words. What nobody knows is `unknown`, and never 0. @module */

import { duration, roughly } from '../format.js';

export const UNKNOWN = 'unknown';

/** @typedef {number|null|undefined} Figure */

/** @param {(value: number) => string} text @returns {(value: Figure) => string} */
const known = (text) => (value) => (value === null || value === undefined ? UNKNOWN : text(value));

/** `1,204`, `0.25` */
export const count = known((value) => value.toLocaleString('en', { maximumFractionDigits: value < 10 ? 2 : 0 }));
/** An amount of money, or another number that may be very small: `0.00129` */
export const amount = known((value) => value.toLocaleString('en', { maximumSignificantDigits: 3 }));
/** `0.4 %` */
export const percent = known((value) => `${(value * 100).toLocaleString('en', { maximumFractionDigits: value < 0.1 ? 1 : 0 })} %`);
/** `12/s` */
export const rate = known((value) => `${count(value)}/s`);
/** Seconds: `4 ms`, `2.4 s`, `12 min`. */
export const seconds = known((value) => {
  if (value === 0) return '0 s';
  if (value < 1) return `${(value * 1000).toLocaleString('en', { maximumSignificantDigits: 2 })} ms`;
  return value < 60 ? duration(value * 1000) : roughly(value);
});
/** `412 MB` */
export const bytes = known((value) => {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const power = value < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(value) / 3));
  const scaled = value / 1000 ** power;
  return `${scaled.toLocaleString('en', { maximumFractionDigits: scaled < 10 ? 1 : 0 })} ${units[power]}`;
});
