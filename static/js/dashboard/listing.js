/** A listing: rows of a list that the server has page by page. @module */

import { h, setText } from '../dom.js';
import { formText } from '../wording.js';

/** @typedef {import('../types.js').Answer} Answer */

export class Listing {
  #ask;
  #row;
  #empty;
  /** @type {string|null} */
  #cursor = null;
  /** Which load the answers that come are for. */
  #turn = 0;
  #rows = h('ul', { class: 'rows' });
  #note = h('p', { class: 'plain-note', role: 'status' });
  #more = h('button', { type: 'button', class: 'plain', hidden: true, onclick: () => this.#fetch() }, 'Show more');
  element = h('div', { class: 'listing' }, this.#note, this.#rows, this.#more);

  /**
   * @param {(cursor: string|null) => Promise<Answer>} ask for a page
   * @param {(item: any) => HTMLElement} row
   * @param {string} empty what to say if there is nothing
   */
  constructor(ask, row, empty) {
    this.#ask = ask;
    this.#row = row;
    this.#empty = empty;
  }

  /** From the beginning. */
  async load() {
    this.#cursor = null;
    this.#more.hidden = true;
    this.say('Loading…');
    await this.#fetch(true);
  }

  /** @param {string} text */
  say(text) {
    setText(this.#note, text);
  }

  clear() {
    this.#turn += 1;
    this.#rows.replaceChildren();
    this.#more.hidden = true;
    this.say('');
  }

  /** Take a row out, and leave the keyboard somewhere. @param {HTMLElement} row */
  remove(row) {
    const next = row.nextElementSibling ?? row.previousElementSibling;
    row.remove();
    const target = next?.querySelector('button, summary');
    if (target instanceof HTMLElement) target.focus();
    if (next === null) this.say(this.#empty);
  }

  async #fetch(anew = false) {
    const turn = ++this.#turn;
    const answer = await this.#ask(this.#cursor);
    if (turn !== this.#turn) return;
    if (answer.kind !== 'ok') {
      this.say(formText(answer));
      return;
    }
    const { items, nextCursor } = answer.data;
    const rows = items.map(this.#row);
    if (anew) this.#rows.replaceChildren(...rows);
    else this.#rows.append(...rows);
    this.#cursor = nextCursor ?? null;
    this.#more.hidden = this.#cursor === null;
    this.say(this.#rows.childElementCount === 0 ? (this.#cursor === null ? this.#empty : 'None among the latest.') : '');
  }
}

/**
 * A row: what it is called, facts about it, what can be done, and a place for why that did not work.
 * @param {{name: Node|string, facts: ([string, string|null]|null)[], deeds?: HTMLElement[], more?: HTMLElement}} parts
 */
export function row({ name, facts, deeds = [], more }) {
  const said = /** @type {[string, string][]} */ (facts.filter((fact) => fact !== null && fact[1] !== null));
  return h('li', { class: 'row' },
    h('h3', { class: 'row__name' }, name),
    h('dl', { class: 'row__facts' }, ...said.map(([term, value]) => h('div', {}, h('dt', {}, term), h('dd', {}, value)))),
    deeds.length > 0 ? h('div', { class: 'row__deeds' }, ...deeds) : null,
    h('p', { class: 'form__error', role: 'alert' }), more ?? null);
}

/**
 * A button of a row that asks the server something; it says so, and why that came to nothing.
 * @param {string} label
 * @param {string} of what it is about, for those who do not see the row
 * @param {() => Promise<Answer|null>} act null: it was thought better of
 * @param {(row: HTMLElement, answer: Extract<Answer, {kind: 'ok'}>) => void} done
 */
export function deed(label, of, act, done) {
  const button = h('button', { type: 'button', class: 'plain', 'aria-label': `${label} ${of}` }, label);
  button.addEventListener('click', async () => {
    if (button.getAttribute('aria-disabled') === 'true') return;
    const its = /** @type {HTMLElement} */ (button.closest('.row'));
    const error = /** @type {HTMLElement} */ (its.querySelector('.form__error'));
    button.setAttribute('aria-disabled', 'true');
    setText(error, '');
    const answer = await act();
    button.removeAttribute('aria-disabled');
    if (answer?.kind === 'ok') done(its, answer);
    else if (answer !== null) setText(error, formText(answer));
  });
  return button;
}
