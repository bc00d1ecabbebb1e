/** Forms: labelled fields, one button, and every refusal said where it belongs. @module */

import { h, setText } from './dom.js';
import { fieldText, formText } from './wording.js';

/** @typedef {import('./types.js').Answer} Answer */

/**
 * @typedef {Object} FieldPlan
 * @property {string} name the API's own, without the slash of its pointer
 * @property {string} label
 * @property {'text'|'password'} [type]
 * @property {string} [autocomplete]
 * @property {string} [hint]
 * @property {boolean} [optional]
 * @property {boolean} [hidden] until `show`
 *
 * @typedef {Object} FormPlan
 * @property {string} id
 * @property {FieldPlan[]} fields
 * @property {HTMLElement[]} [more] stands below the fields; `submit` reads it by itself
 * @property {string} button
 * @property {string} busy what the button says meanwhile
 * @property {string} [look] of the button
 * @property {Record<string, string>} [blame] the field at fault, for codes that come without a pointer
 * @property {(values: Record<string, string>) => Promise<Answer>} submit
 * @property {(answer: Extract<Answer, {kind: 'ok'}>) => void} done
 * @property {(answer: Exclude<Answer, {kind: 'ok'}>) => void} [refused]
 */

class Field {
  /**
   * @param {string} form
   * @param {FieldPlan} plan
   */
  constructor(form, plan) {
    const id = `${form}-${plan.name}`;
    this.plan = plan;
    this.input = h('input', {
      id, name: plan.name, type: plan.type ?? 'text', autocomplete: plan.autocomplete ?? 'off', required: !plan.optional,
      autocapitalize: 'none', spellcheck: 'false', 'aria-describedby': `${id}-hint ${id}-error`,
    });
    this.error = h('p', { class: 'field__error', id: `${id}-error` });
    this.toggle = plan.type === 'password' ? showToggle(this.input, plan.label) : null;
    this.element = h('div', { class: 'field', hidden: plan.hidden },
      h('label', { for: id }, plan.label, plan.optional ? h('span', { class: 'field__optional' }, ' (optional)') : null),
      h('div', { class: 'field__box' }, this.input, this.toggle),
      h('p', { class: 'field__hint', id: `${id}-hint` }, plan.hint ?? ''), this.error);
    this.input.addEventListener('input', () => this.complain(''));
  }

  clear() {
    this.input.value = '';
    if (this.toggle?.getAttribute('aria-pressed') === 'true') this.toggle.click();
  }

  /** @param {string} text */
  complain(text) {
    setText(this.error, text);
    if (text === '') this.input.removeAttribute('aria-invalid');
    else this.input.setAttribute('aria-invalid', 'true');
  }
}

export class Form {
  /** @type {Map<string, Field>} */
  #fields;
  #error = h('p', { class: 'form__error', role: 'alert' });
  #button;
  #plan;
  #busy = false;

  /** @param {FormPlan} plan */
  constructor(plan) {
    this.#plan = plan;
    this.#fields = new Map(plan.fields.map((field) => [field.name, new Field(plan.id, field)]));
    this.#button = h('button', { type: 'submit', class: plan.look ?? 'plain plain--strong' }, plan.button);
    this.element = h('form', { class: 'form', id: plan.id, novalidate: true, onsubmit: (/** @type {Event} */ event) => {
      event.preventDefault();
      this.#submit();
    } }, ...[...this.#fields.values()].map((field) => field.element), ...(plan.more ?? []), this.#error, this.#button);
  }

  /** To the first field that is still empty, else to the first. */
  focus() {
    const shown = [...this.#fields.values()].filter(({ element }) => !element.hidden);
    (shown.find(({ input }) => input.value === '') ?? shown[0])?.input.focus();
  }

  /** @param {string} name @param {string} value */
  fill(name, value) {
    const field = this.#fields.get(name);
    if (field) field.input.value = value;
  }

  /** @param {string} name */
  show(name) {
    const field = this.#fields.get(name);
    if (field) field.element.hidden = false;
  }

  /** Forget what was typed and what was said about it. No password stays in a form that nobody looks at. */
  clear() {
    this.forgive();
    for (const field of this.#fields.values()) field.clear();
  }

  /** Forget what was said about it. */
  forgive() {
    this.#complain('');
  }

  async #submit() {
    if (this.#busy) return;
    this.#complain('');
    const shown = [...this.#fields.values()].filter(({ element }) => !element.hidden);
    const missing = shown.filter(({ plan, input }) => !plan.optional && input.value === '');
    for (const field of missing) field.complain(fieldText({ code: 'required' }));
    if (missing.length > 0) {
      missing[0].input.focus();
      return;
    }
    const given = shown.filter(({ input }) => input.value !== '');
    this.#work(true);
    const answer = await this.#plan.submit(Object.fromEntries(given.map(({ plan, input }) => [plan.name, input.value])));
    this.#work(false);
    if (answer.kind === 'ok') this.#plan.done(answer);
    else this.#refuse(answer);
  }

  /** @param {boolean} busy */
  #work(busy) {
    this.#busy = busy;
    setText(this.#button, busy ? this.#plan.busy : this.#plan.button);
    this.#button.setAttribute('aria-disabled', String(busy));
  }

  /** @param {Exclude<Answer, {kind: 'ok'}>} answer */
  #refuse(answer) {
    this.#plan.refused?.(answer);
    const { code = '', errors = [], detail } = answer.problem;
    const blamed = this.#plan.blame?.[code];
    const said = blamed ? [{ pointer: `/${blamed}`, code, message: detail }] : errors;
    const left = said.filter((error) => {
      const field = this.#fields.get((error.pointer ?? '').slice(1));
      if (!field) return true;
      field.element.hidden = false;
      field.complain(fieldText(error));
      return false;
    });
    if (left.length > 0 || said.length === 0) this.#complain(left.length > 0 ? left.map(fieldText).join(' ') : formText(answer), false);
    const first = [...this.#fields.values()].find(({ input }) => input.hasAttribute('aria-invalid'));
    (first?.input ?? this.#button).focus();
  }

  /** @param {string} text @param {boolean} [everywhere] whether the fields are fine again */
  #complain(text, everywhere = true) {
    setText(this.#error, text);
    if (everywhere) for (const field of this.#fields.values()) field.complain('');
  }
}

/**
 * @param {HTMLInputElement} input
 * @param {string} label
 */
function showToggle(input, label) {
  const toggle = h('button', { type: 'button', class: 'field__toggle', 'aria-pressed': 'false', 'aria-label': `Show ${label.toLowerCase()}`, onclick: () => {
    const shown = input.type === 'password';
    input.type = shown ? 'text' : 'password';
    toggle.setAttribute('aria-pressed', String(shown));
    setText(toggle, shown ? 'Hide' : 'Show');
  } }, 'Show');
  return toggle;
}
