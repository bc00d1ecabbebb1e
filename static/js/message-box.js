/** The box of a message: its limit, its complaint, and how it grows. Of each page that has one. @module */

import { byId, setText } from './dom.js';
import { clean, countCharacters, MOST_CHARACTERS, NEAR_LIMIT } from './text.js';

/** Where there is no keyboard to press Shift on, Enter must start a new line. */
export const hasKeyboard = () => window.matchMedia('(hover: hover) and (pointer: fine)').matches;

/** Say how many characters are left, near the limit. @param {HTMLTextAreaElement} box */
export function showCount(box) {
  const counter = byId('composer-count');
  const { length } = box.value;
  const left = length < MOST_CHARACTERS - NEAR_LIMIT ? Infinity : MOST_CHARACTERS - countCharacters(clean(box.value));
  counter.hidden = left > NEAR_LIMIT;
  counter.dataset.over = String(left < 0);
  if (!counter.hidden) setText(counter, left < 0 ? `${(-left).toLocaleString('en')} too many` : `${left.toLocaleString('en')} left`);
}

/** @param {HTMLTextAreaElement} box @param {string|null} wrong null: nothing is */
export function complain(box, wrong) {
  setText(byId('composer-error'), wrong ?? '');
  if (wrong === null) box.removeAttribute('aria-invalid');
  else box.setAttribute('aria-invalid', 'true');
}

/** Grow with the text; the style sheet says how far. @param {HTMLTextAreaElement} box */
export function fit(box) {
  box.style.height = 'auto';
  box.style.height = `${box.scrollHeight}px`;
}
