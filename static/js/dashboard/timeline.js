/** A timeline: each attempt at a job, when it began, when the model was asked, and how it ended. @module */

import { h, setText } from '../dom.js';
import { between, duration, moment } from '../format.js';
import { formText } from '../wording.js';

/** @typedef {import('../types.js').Answer} Answer */
/** @typedef {import('../types.js').Attempt & {attempt: number, worker?: string, model?: string|null, cost?: string|null}} Attempt */

/**
 * What is folded away until somebody looks: asked for then.
 * @param {string} of
 * @param {() => Promise<Answer>} ask for something with attempts
 */
export function timeline(of, ask) {
  const body = h('div', { class: 'details__body' });
  const details = h('details', { class: 'details' }, h('summary', { 'aria-label': `Attempts of ${of}` }, 'Attempts'), body);
  details.addEventListener('toggle', async () => {
    if (!details.open) return;
    setText(body, 'Loading…');
    const answer = await ask();
    if (answer.kind !== 'ok') setText(body, formText(answer));
    else body.replaceChildren(...parts(answer.data));
  });
  return details;
}

/** @param {{message?: string, result?: string|null, attempts: Attempt[]}} job */
function parts({ message, attempts }) {
  const said = message === undefined ? [] : [h('p', { class: 'said' }, message.length > 400 ? `${message.slice(0, 400)}…` : message)];
  if (attempts.length === 0) return [...said, h('p', { class: 'plain-note' }, 'No worker has begun it yet.')];
  const begun = Math.min(...attempts.map(({ startedAt }) => Date.parse(startedAt ?? '')));
  const end = Math.max(...attempts.map(({ startedAt, finishedAt }) => Date.parse(finishedAt ?? startedAt ?? '')));
  return [...said, h('ol', { class: 'attempts' }, ...attempts.map((attempt) => line(attempt, begun, Math.max(1, end - begun))))];
}

/** @param {Attempt} attempt @param {number} begun @param {number} whole milliseconds of all attempts */
function line({ attempt, startedAt, askedAt, finishedAt, outcome, errorCode, worker, model, cost }, begun, whole) {
  const from = (Date.parse(startedAt ?? '') - begun) / whole;
  const bar = h('span', { class: 'attempt__bar', 'data-outcome': outcome ?? 'running' });
  bar.style.marginInlineStart = `${Math.min(99, Math.max(0, from * 100))}%`;
  bar.style.width = `${Math.max(1, Math.min(100 - from * 100, ((between(startedAt, finishedAt) ?? 0) / whole) * 100))}%`;
  const facts = [
    moment(Date.parse(startedAt ?? '')),
    finishedAt === null ? 'not ended' : `took ${duration(between(startedAt, finishedAt))}`,
    askedAt === null ? 'model not asked' : `asked after ${duration(between(startedAt, askedAt))}`,
    model ? `of ${model}` : null,
    cost ? `cost ${cost}` : null,
    worker ? `by ${worker}` : null,
  ];
  return h('li', { class: 'attempt' },
    h('strong', {}, `${attempt}. ${outcome ?? 'running'}${errorCode ? `: ${errorCode}` : ''}`),
    h('span', { class: 'attempt__track', 'aria-hidden': 'true' }, bar),
    h('span', { class: 'plain-note' }, facts.filter((fact) => fact !== null).join(' · ')));
}
