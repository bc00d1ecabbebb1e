/**
 * A card: one message, the way of its job, and what came of it.
 *
 * Everything a person or a model wrote becomes a text node. Parts are rewritten only when what they show has
 * changed, so that focus, selection and open details survive every look of the poller.
 * @module
 */

import { serverNow } from './clock.js';
import { copyButton } from './copy.js';
import { Details } from './details.js';
import { h, icon, setText } from './dom.js';
import { moment } from './format.js';
import { FINAL, UNFINISHED } from './statuses.js';
import { blocks } from './text.js';
import { Way } from './way.js';
import { againIn, cancellingText, facts, progress, refusalText, substitution, troubleText } from './wording.js';

/** @typedef {import('./types.js').Entry} Entry */
/** @typedef {import('./types.js').Job} Job */
/** @typedef {import('./types.js').Doing} Doing */

/** Longer questions are folded: they were written by the reader and need no second reading. */
const FOLD_CHARACTERS = 600;
const FOLD_LINES = 9;

/**
 * @typedef {Object} Deeds what the buttons of a card do
 * @property {(id: string) => void} again
 * @property {(id: string) => void} sendNow
 * @property {(id: string) => void} edit
 * @property {(id: string) => void} cancel
 * @property {(id: string) => void} remove
 */

export class Card {
  #way = new Way();
  #details = new Details();
  #note = h('p', { class: 'note' });
  #outcome = h('div', { class: 'outcome' });
  #actions = h('div', { class: 'actions' });
  #cancelling = h('p', { class: 'cancelling' });
  #shown = '';
  #deeds;
  /** @type {Entry} */
  #entry;
  /** @type {Doing|null} */
  #doing = null;

  /**
   * @param {Entry} entry
   * @param {Doing|null} doing
   * @param {Deeds} deeds
   */
  constructor(entry, doing, deeds) {
    this.#entry = entry;
    this.#deeds = deeds;
    this.element = h('li', { class: 'exchange', 'data-id': entry.id },
      h('article', { 'aria-labelledby': `title-${entry.id}`, tabindex: '-1' },
        question(entry), this.#way.element, this.#note, this.#outcome, this.#actions, this.#cancelling, this.#details.element));
    this.update(entry, doing);
  }

  /**
   * Show the entry as it is now; `doing` says how its sending or its cancelling goes.
   * @param {Entry} entry
   * @param {Doing|null} doing
   */
  update(entry, doing) {
    this.#entry = entry;
    this.#doing = doing;
    const state = stateOf(entry, doing);
    this.element.dataset.state = state;
    this.element.dataset.wait = entry.job?.waitReason ?? '';
    this.element.classList.toggle('exchange--open', UNFINISHED.has(state));
    this.#updateCancelling();
    this.#way.element.hidden = entry.job === null || entry.gone;
    this.#details.element.hidden = entry.jobId === null;
    this.#details.update(entry);
    const key = UNFINISHED.has(state) ? 'unfinished' : JSON.stringify([state, entry.job && ended(entry.job), entry.refusal]);
    if (key !== this.#shown) {
      this.#shown = key;
      const focused = this.#actions.contains(document.activeElement);
      this.#outcome.replaceChildren(...this.#outcomeNodes());
      this.#actions.replaceChildren(...this.#actionNodes(state));
      // A pressed button that has left takes the focus with it; the keyboard should stay at this card.
      if (focused) this.focus();
    }
    this.tick();
  }

  /** Bring the figures that run up to date. */
  tick() {
    const { job, gone } = this.#entry;
    if (job !== null && !gone) this.#way.update(job, serverNow());
    setText(this.#note, this.#noteText());
    this.#note.hidden = this.#note.textContent === '';
  }

  /** Whether a figure on it runs. */
  get running() {
    const { job, gone, refusal } = this.#entry;
    return !gone && refusal === null && !FINAL.has(job?.status ?? '');
  }

  focus() {
    this.element.querySelector('article')?.focus();
  }

  #updateCancelling() {
    const cancelling = this.#doing?.state === 'cancelling' || this.#doing?.state === 'uncancelled' ? this.#doing : null;
    setText(this.#cancelling, cancelling === null ? '' : cancellingText(cancelling));
    this.#cancelling.dataset.state = cancelling?.state ?? '';
  }

  #noteText() {
    const { jobId, job, gone, refusal } = this.#entry;
    if (refusal !== null) return '';
    if (gone) return 'This job is gone: the server no longer knows it.';
    if (jobId === null && this.#doing?.state === 'waiting') {
      const { wait } = this.#doing;
      if (wait.reason === 'signed_out') return 'Not sent yet. It goes out once you have signed in.';
      return `Not sent yet. ${troubleText(wait)} ${againIn(wait.retryAt, 'Trying again')}`;
    }
    if (jobId === null) return this.#doing?.state === 'sending' && this.#doing.again ? 'Not sent yet. Trying again now…' : 'Sending…';
    return job === null ? 'Asking the server how it is doing…' : progress(job, serverNow());
  }

  /** @returns {Node[]} */
  #outcomeNodes() {
    const { job, refusal, gone } = this.#entry;
    if (refusal !== null) {
      const { heading, reasons, code } = refusalText(refusal);
      return [problem(heading, reasons, code)];
    }
    if (job?.status === 'failed') return [problem('No answer came.', [job.error?.message ?? ''], job.error?.code ?? '')];
    if (job?.status !== 'completed' || (gone && job.result === null)) return [];
    return answer(job);
  }

  /**
   * @param {string} state
   * @returns {Node[]}
   */
  #actionNodes(state) {
    const { id, job } = this.#entry;
    const again = () => button('Try again', 'plain', () => this.#deeds.again(id), icon('again'));
    const remove = (/** @type {string} */ name) => button(name, 'quiet', () => this.#deeds.remove(id));
    if (state === 'waiting') return [button('Send now', 'plain', () => this.#deeds.sendNow(id)), remove('Discard')];
    if (state === 'refused') return [button('Edit', 'plain', () => this.#deeds.edit(id)), remove('Discard')];
    if (state === 'failed' || state === 'cancelled' || state === 'gone') return [again(), remove('Remove')];
    if (UNFINISHED.has(state)) return [button('Cancel', 'quiet', () => this.#deeds.cancel(id))];
    if (state !== 'completed') return [];
    const said = facts(/** @type {Job} */ (job)).map((fact) => h('span', { class: 'fact' }, fact));
    return [...said, copyButton('Copy answer', () => this.#entry.job?.result ?? '')];
  }
}

/** What a card shows of a job that has ended. @param {Job} job */
function ended({ result, error, usage, model, degraded, truncated }) {
  return [result, error, usage, model, degraded, truncated];
}

/**
 * @param {Entry} entry
 * @param {Doing|null} doing
 */
function stateOf({ jobId, job, gone, refusal }, doing) {
  if (refusal !== null) return 'refused';
  if (gone) return 'gone';
  if (jobId === null) return doing?.state === 'waiting' || (doing?.state === 'sending' && doing.again) ? 'waiting' : 'sending';
  return job?.status ?? 'unseen';
}

/** @param {Entry} entry */
function question({ id, message, type, addedAt }) {
  const text = h('div', { class: 'asked__text', dir: 'auto', id: `text-${id}` }, message);
  const long = message.length > FOLD_CHARACTERS || message.split('\n').length > FOLD_LINES;
  return h('div', { class: 'asked' },
    h('h2', { class: 'asked__title', id: `title-${id}` },
      h('span', {}, type === 'summarize' ? 'To summarize' : 'You asked'),
      h('time', { datetime: new Date(addedAt).toISOString() }, moment(addedAt))),
    text, long ? foldButton(text, id) : null);
}

/**
 * @param {HTMLElement} text
 * @param {string} id
 */
function foldButton(text, id) {
  text.classList.add('folded');
  const toggle = button('Show all of it', 'quiet', () => {
    const folded = text.classList.toggle('folded');
    setText(toggle, folded ? 'Show all of it' : 'Show less');
    toggle.setAttribute('aria-expanded', String(!folded));
  });
  toggle.setAttribute('aria-expanded', 'false');
  toggle.setAttribute('aria-controls', `text-${id}`);
  return toggle;
}

/** @param {Job} job */
function answer(job) {
  const text = h('div', { class: 'answer', dir: 'auto' });
  for (const block of blocks(job.result ?? '')) {
    if (block.kind === 'paragraph') text.append(h('p', {}, block.text));
    else text.append(h('pre', { tabindex: '0' }, h('code', {}, block.text)));
  }
  if (text.childNodes.length === 0) text.append(h('p', {}, '(The model answered with nothing.)'));
  const remarks = [job.truncated ? 'The model reached its length limit: the answer stops short.' : null, substitution(job)];
  return [text, ...remarks.filter((said) => said !== null).map((said) => h('p', { class: 'plain-note' }, said))];
}

/**
 * @param {string} heading
 * @param {string[]} reasons
 * @param {string} code
 */
function problem(heading, reasons, code) {
  return h('div', { class: 'problem' }, h('p', { class: 'problem__title' }, heading),
    ...reasons.filter(Boolean).map((reason) => h('p', {}, reason)), code ? h('code', {}, code) : null);
}

/**
 * @param {string} name
 * @param {string} look
 * @param {() => void} onclick
 * @param {Node|null} [before]
 */
function button(name, look, onclick, before = null) {
  return h('button', { type: 'button', class: look, onclick }, before, h('span', {}, name));
}
