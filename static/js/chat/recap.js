/** The recap: what was said while somebody was away. @module */

import { h } from '../dom.js';
import { formText } from '../wording.js';
import { openDialog } from './dialog.js';
import { markdown } from './markdown.js';

/** @typedef {import('./types.js').Answer} Answer */

/**
 * Show the summary as it stands, and offer to ask the AI for what is not in it.
 * @param {Object} so
 * @param {() => Promise<Answer>} so.fetch the summary
 * @param {number} so.missed messages that were unread when the chat was opened
 * @param {boolean} so.hasAi whether the AI may be asked there
 * @param {boolean} so.alone nobody else reads what it answers
 * @param {(request: string) => void} so.ask
 */
export async function showRecap({ fetch, missed, hasAi, alone, ask }) {
  const text = h('div', { class: 'recap', 'aria-live': 'polite' }, h('p', { class: 'plain-note' }, 'Looking…'));
  const since = missed > 0 ? `last ${Math.min(500, missed)}` : 'today';
  const button = h('button', { type: 'button', class: 'plain plain--strong', onclick: () => {
    dialog.close();
    ask(`@AI summarize ${since}`);
  } }, missed > 0 ? `Sum up ${missed === 1 ? 'the new message' : `the ${missed} new messages`}` : 'Sum up today');
  const note = alone ? 'The answer comes into this chat.' : 'The answer comes into this chat, where everybody sees it.';
  const dialog = openDialog('What did I miss?', text,
    hasAi ? h('div', { class: 'recap__ask' }, button, h('p', { class: 'plain-note' }, note)) : null);
  const answer = await fetch();
  text.replaceChildren(...(answer.kind === 'ok' ? summary(answer.data) : [h('p', {}, formText(answer))]));
}

/** @param {any} data @returns {Node[]} */
function summary({ summary: said, details, toSeq, lastSeq, stale, withheld }) {
  if (withheld) return [h('p', {}, 'You joined where the history is hidden, so the summary is not shown to you.')];
  if (!said) return [h('p', {}, 'This chat has no summary yet: one is made once there is more to sum up.')];
  const text = h('div', { class: 'md' });
  text.append(markdown(said));
  const left = lastSeq - toSeq;
  const reach = [left > 0 ? `The newest ${left} messages are not in it.` : '', stale ? 'Something was changed since; it is being made anew.' : ''].filter(Boolean).join(' ');
  return [text, list('Decided', details?.decisions), list('Open', details?.openQuestions),
    h('p', { class: 'plain-note' }, `Written by the AI. ${reach}`)].filter((node) => node !== null);
}

/** @param {string} title @param {string[]|undefined} points */
function list(title, points) {
  if (!points?.length) return null;
  return h('div', {}, h('h3', {}, title), h('ul', { class: 'recap__points' }, ...points.map((point) => h('li', {}, point))));
}
