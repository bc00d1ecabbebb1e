/** The technical details of one entry: what a developer asks for, folded away for everyone else. @module */

import { copyButton } from './copy.js';
import { h } from './dom.js';
import { between, duration } from './format.js';

/** @typedef {import('./types.js').Entry} Entry */
/** @typedef {import('./types.js').Job} Job */
/** @typedef {import('./types.js').Attempt} Attempt */

const USUAL_PRIORITY = 5;

export class Details {
  #body = h('div', { class: 'details__body' });
  #shown = '';
  element = h('details', { class: 'details' }, h('summary', {}, 'Technical details'), this.#body);

  /** @param {Entry} entry */
  update(entry) {
    // Its place in the queue changes every second and is not among the facts.
    const job = entry.job && { ...entry.job, queuePosition: null, etaSeconds: null, waitReason: null, note: null };
    const key = JSON.stringify([entry.jobId, job]);
    if (key === this.#shown) return;
    this.#shown = key;
    const focused = this.#body.contains(document.activeElement);
    this.#body.replaceChildren(facts(entry), ...attempts(entry.job?.attempts ?? []));
    if (focused) this.element.querySelector('summary')?.focus();
  }
}

/** @param {Entry} entry */
function facts({ jobId, job, key }) {
  const list = h('dl', { class: 'facts' });
  /** @type {[string, string|Node|null][]} */
  const rows = [
    ['Job id', jobId === null ? null : idWithCopy(jobId)],
    ['Raw job', job === null ? null : copyButton('Copy as JSON', () => JSON.stringify(job, null, 2))],
    ['Status', job?.status ?? null],
    ['Created', job ? when(job.createdAt) : null],
    ['Updated', job ? when(job.updatedAt) : null],
    ['Not before', job?.runAt ? when(job.runAt) : null],
    ['Deadline', job?.deadlineAt ? when(job.deadlineAt) : null],
    ['Priority', job && job.priority !== undefined && job.priority !== USUAL_PRIORITY ? `${job.priority} of 9` : null],
    ['Batch', job?.batchId ? h('code', {}, job.batchId) : null],
    ['Attempts', job ? String(job.attempt) : null],
    ['Failures', job ? `${job.failures} of at most ${job.maxAttempts}` : null],
    ['Model', job?.model ?? null],
    ['Tokens', job?.usage ? tokens(job.usage) : null],
    ['Idempotency-Key', h('code', {}, key)],
  ];
  for (const [name, value] of rows) {
    if (value !== null) list.append(h('div', {}, h('dt', {}, name), h('dd', {}, value)));
  }
  return list;
}

/** @param {string} jobId */
function idWithCopy(jobId) {
  return h('span', { class: 'with-button' }, h('code', {}, jobId), copyButton('Copy id', () => jobId));
}

/** @param {NonNullable<Job['usage']>} usage */
function tokens({ promptTokens, completionTokens, totalTokens }) {
  return `${totalTokens}: ${promptTokens} in the prompt, ${completionTokens} in the answer`;
}

/** @param {string} iso */
function when(iso) {
  const date = new Date(iso);
  const text = Number.isNaN(date.getTime()) ? iso : date.toLocaleString([], { dateStyle: 'medium', timeStyle: 'medium' });
  return h('time', { datetime: iso }, text);
}

/**
 * @param {Attempt[]} list
 * @returns {Node[]}
 */
function attempts(list) {
  if (list.length === 0) return [];
  const columns = ['Attempt', 'Ended as', 'Prompt', 'Model'];
  const rows = list.map((attempt, index) =>
    h('tr', {},
      h('th', { scope: 'row' }, String(index + 1)),
      h('td', {}, attempt.errorCode ?? attempt.outcome ?? 'running'),
      h('td', {}, duration(between(attempt.startedAt, attempt.askedAt)) || '–'),
      h('td', {}, duration(between(attempt.askedAt, attempt.finishedAt)) || '–')));
  return [h('table', { class: 'attempt-table' },
    h('thead', {}, h('tr', {}, ...columns.map((name) => h('th', { scope: 'col' }, name)))), h('tbody', {}, ...rows))];
}
