/**
 * Notices: one line above the message box about what is wrong between this page and the server.
 *
 * Each followed job reports its own trouble; the line shows the one that is tried again soonest, and goes
 * when none is left. A single lost packet that is made good within a second is not worth a line.
 * @module
 */

import { announce } from './announcer.js';
import { byId, setText } from './dom.js';
import { againIn, troubleText } from './wording.js';

/** @typedef {import('./types.js').Wait} Wait */

const WORTH_SAYING_MS = 900;
const WORTH_SAYING_FAILURES = 2;

export class Notices {
  /** @type {Map<string, Wait>} */
  #waits = new Map();
  #element = byId('notice');
  #text = byId('notice-text');
  #standing = '';
  #ended = false;

  /** @param {() => void} lookNow */
  constructor(lookNow) {
    byId('notice-now').addEventListener('click', () => {
      lookNow();
      byId('message').focus();
    });
  }

  /** Say something that no retry will change. @param {string} text */
  stand(text) {
    this.#standing = text;
    this.tick();
  }

  /** Whether the session has ended, which comes before anything else: nothing is sent until there is one. @param {boolean} ended */
  session(ended) {
    if (ended && !this.#ended) announce('Your session has ended. Sign in again. What you have written stays here');
    this.#ended = ended;
    this.tick();
  }

  /**
   * @param {string} jobId
   * @param {Wait} wait
   * @param {number} failures
   */
  trouble(jobId, wait, failures) {
    if (wait.reason === 'signed_out') return;
    const worth = failures >= WORTH_SAYING_FAILURES || wait.retryAt - Date.now() > WORTH_SAYING_MS;
    if (!worth) return;
    if (this.#waits.size === 0) announce(`${troubleText(wait)} The page keeps trying.`);
    this.#waits.set(jobId, wait);
    this.tick();
  }

  /** @param {string} jobId */
  well(jobId) {
    if (!this.#waits.delete(jobId)) return;
    if (this.#waits.size === 0) announce('The server answers again.');
    this.tick();
  }

  clear() {
    this.#waits.clear();
    this.tick();
  }

  /** Bring the countdown up to date. */
  tick() {
    const [soonest] = [...this.#waits.values()].sort((a, b) => a.retryAt - b.retryAt);
    this.#element.hidden = soonest === undefined && this.#standing === '' && !this.#ended;
    this.#element.dataset.kind = this.#ended ? 'ended' : soonest === undefined ? 'standing' : 'trouble';
    byId('notice-sign-in').hidden = !this.#ended;
    byId('notice-now').hidden = this.#ended || soonest === undefined;
    if (this.#ended) setText(this.#text, 'Your session has ended. What you have written stays here.');
    else if (soonest === undefined) setText(this.#text, this.#standing);
    else setText(this.#text, `${troubleWithCode(soonest)} Your jobs go on. ${againIn(soonest.retryAt, 'Looking again')}`);
  }
}

/** @param {Wait} wait */
function troubleWithCode(wait) {
  const { code } = wait.problem;
  return code ? troubleText(wait).replace(/\.$/, ` (${code}).`) : troubleText(wait);
}
