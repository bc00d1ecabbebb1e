/** Dead letters: look at them, try them again one by one or many by and by, put them aside. @module */

import { announce } from '../announcer.js';
import { ask } from '../ask.js';
import { serverNow } from '../clock.js';
import { byId, setText } from '../dom.js';
import { duration, plural, since } from '../format.js';
import { formText } from '../wording.js';
import { deed, Listing, row } from './listing.js';
import { timeline } from './timeline.js';

/** @typedef {import('../types.js').Answer} Answer */
/** @typedef {ReturnType<import('./api.js').operatorApi>} Api */

export class Letters {
  #api;
  #changed;
  #form = byId('letters-form');
  #note = byId('letters-note');
  #list;

  /** @param {Api} api @param {() => void} changed called when there are fewer */
  constructor(api, changed) {
    this.#api = api;
    this.#changed = changed;
    this.#list = new Listing((cursor) => api.letters({ ...this.#filter(), cursor }), (letter) => this.#row(letter), 'No dead letters.');
    byId('letters-list').append(this.#list.element);
    this.#form.addEventListener('submit', (/** @type {Event} */ event) => {
      event.preventDefault();
      this.load();
    });
    byId('letters-redrive').addEventListener('click', () => this.#redriveMany());
  }

  load() {
    setText(this.#note, '');
    return this.#list.load();
  }

  clear() {
    this.#list.clear();
  }

  /** What was asked for, without what was left empty. @returns {Record<string, string>} */
  #filter() {
    const values = { errorCode: this.#form.elements.errorCode.value.trim(), model: this.#form.elements.model.value.trim() };
    return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== ''));
  }

  /** @param {any} letter */
  #row(letter) {
    const { jobId, owner, type, error, failures, maxAttempts, lostCount, model, finishedAt } = letter;
    const of = `job ${jobId}`;
    return row({
      name: error.code,
      facts: [
        ['Why', error.message], ['Given up', since(finishedAt, serverNow())], ['Type', type], ['Owner', owner],
        ['Model', model], ['Failures', `${failures} of ${maxAttempts}`], lostCount > 0 ? ['Workers lost', String(lostCount)] : null, ['Job', jobId],
      ],
      deeds: [
        deed('Redrive', of, () => this.#api.redrive(jobId), (its) => this.#gone(its, 'Redriven: it is tried again from the start.')),
        deed('Discard', of, () => this.#discard(jobId), (its) => this.#gone(its, 'Discarded.')),
      ],
      more: timeline(of, () => this.#api.letter(jobId)),
    });
  }

  /** @param {string} jobId @returns {Promise<Answer|null>} */
  async #discard(jobId) {
    const text = 'It is not shown any more. The job stays failed; its owner sees no difference.';
    return (await ask({ title: 'Discard this dead letter?', text, yes: 'Discard', no: 'Keep it' })) ? this.#api.discard(jobId) : null;
  }

  /** @param {HTMLElement} its @param {string} text */
  #gone(its, text) {
    this.#list.remove(its);
    setText(this.#note, text);
    announce(text);
    this.#changed();
  }

  async #redriveMany() {
    const [most, perSecond] = ['most', 'perSecond'].map((name) => Number(this.#form.elements[name].value));
    if (!this.#form.reportValidity()) return;
    const filter = this.#filter();
    const which = Object.keys(filter).length === 0 ? 'any code and model' : Object.values(filter).join(', ');
    const text = `Up to ${plural(most, 'dead letter')} (${which}), the oldest first; ${perSecond} come due in a second.`;
    if (!(await ask({ title: 'Redrive many?', text, yes: 'Redrive', no: 'Leave them' }))) return;
    setText(this.#note, 'Redriving…');
    const answer = await this.#api.redriveMany({ ...filter, most, perSecond });
    if (answer.kind !== 'ok') {
      setText(this.#note, formText(answer));
      return;
    }
    const { redriven, spreadSeconds, ownersAtLimit } = answer.data;
    await this.load();
    const limits = ownersAtLimit > 0 ? ` ${plural(ownersAtLimit, 'owner')} had too many jobs waiting already.` : '';
    const due = spreadSeconds > 0 ? ` The last is due in ${duration(spreadSeconds * 1000)}.` : '';
    setText(this.#note, `${plural(redriven, 'job')} redriven.${due}${limits}`);
    this.#changed();
  }
}
