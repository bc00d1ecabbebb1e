/**
 * The socket: one connection to the gateway, for as long as somebody is signed in.
 *
 *     off ─start─▶ connecting ─hello─▶ live
 *                      ▲                │ closed, or two pings without an answer
 *                      └──backoff───── lost
 *
 * One that was never live in some tries is `barred`, and tries on: a proxy may let none through, and the page does without.
 *
 * Nothing depends on it: what it tells early is asked for by HTTP while it is away, and what it misses is caught up with.
 * @module
 */

import { delayAfter } from './backoff.js';

/** @typedef {import('./types.js').Answer} Answer */
/** @typedef {{op: string, id?: number|string, chat?: string, d?: any}} Frame */
/** @typedef {'off'|'connecting'|'live'|'lost'|'barred'} SocketState */

const HEARTBEAT_MS = 25_000;
const ANSWER_MS = 8_000;
const HELLO_MS = 10_000;
const MISSED_PONGS = 2;
const BARRED_AFTER = 3;
/** After one missed: the next comes sooner, and never at once. */
const PROBE_MS = 1_000;
const UNAUTHORIZED = new Set([4401, 4403]);
/** Refused for now: asking again may help. */
const PASSING = new Set(['rate_limited', 'database_unavailable', 'backlog_full', 'chat_busy', 'internal_error', 'too_many_requests']);

export class Socket {
  /** @type {SocketState} */
  #state = 'off';
  /** @type {WebSocket|null} */
  #wire = null;
  /** @type {Map<number, (answer: Answer) => void>} */
  #asked = new Map();
  #nextId = 1;
  #failures = 0;
  #missed = 0;
  #reached = false;
  #heartbeat = HEARTBEAT_MS;
  /** @type {string|null} the token that the gateway knows */
  #known = null;
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  #timer;
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  #beat;
  #url;
  #token;
  #renew;
  #heard;
  #open;
  #answerMs;

  /**
   * @param {{url: string, token: () => string|null, renew: () => Promise<void>, open?: (url: string) => WebSocket, answerMs?: number,
   *   heard: {event: (frame: Frame) => void, state: (state: SocketState) => void, health: (health: any) => void}}} how
   */
  constructor({ url, token, renew, heard, open = (address) => new WebSocket(address), answerMs = ANSWER_MS }) {
    this.#url = url;
    this.#token = token;
    this.#renew = renew;
    this.#heard = heard;
    this.#open = open;
    this.#answerMs = answerMs;
  }

  get live() {
    return this.#state === 'live';
  }

  start() {
    if (this.#state === 'off') this.#connect();
  }

  stop() {
    this.#become('off');
    clearTimeout(this.#timer);
    this.#drop(1000);
  }

  /** The network is back, or somebody is looking again: wait no longer, and make sure that it is still there. */
  wake() {
    if (this.#state === 'lost' || this.#state === 'barred') this.#connect();
    else if (this.#state === 'live') this.#ping();
  }

  /**
   * @param {string} op
   * @param {string|null} chat
   * @param {object} [d]
   * @returns {Promise<Answer>} trouble if no answer came: it may have been done, or not
   */
  request(op, chat = null, d = {}) {
    if (this.#wire?.readyState !== WebSocket.OPEN) return Promise.resolve(noAnswer());
    const id = this.#nextId++;
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#answer(id, noAnswer()), this.#answerMs);
      this.#asked.set(id, (answer) => {
        clearTimeout(timer);
        resolve(answer);
      });
      this.#wire?.send(JSON.stringify({ op, id, ...(chat === null ? {} : { chat }), d }));
    });
  }

  async #connect() {
    clearTimeout(this.#timer);
    const token = this.#token();
    if (token === null) {
      this.#lost();
      return;
    }
    if (this.#state !== 'barred') this.#become('connecting');
    let wire;
    try {
      wire = this.#open(this.#url);
    } catch {
      this.#lost();
      return;
    }
    this.#wire = wire;
    this.#timer = setTimeout(() => wire.close(), HELLO_MS);
    wire.onopen = () => this.#authenticate(token);
    wire.onmessage = ({ data }) => {
      if (this.#wire === wire) this.#receive(data);
    };
    wire.onclose = ({ code }) => {
      if (this.#wire === wire) this.#closed(code);
    };
  }

  /** @param {string} token */
  #authenticate(token) {
    this.#known = token;
    this.request('auth', null, { token });
  }

  /** @param {unknown} data */
  #receive(data) {
    const frame = parse(data);
    if (frame === null) return;
    this.#missed = 0;
    if (frame.op === 'ack') this.#answer(Number(frame.id), { kind: 'ok', status: 200, data: frame.d ?? {}, retryAfterMs: null });
    else if (frame.op === 'err') this.#answer(Number(frame.id), refusal(frame.d ?? {}));
    else if (frame.op === 'hello') this.#welcome(frame.d ?? {});
    else if (frame.op === 'reconnect') this.#timer = setTimeout(() => this.#again(), Number(frame.d?.afterMs ?? 0));
    else this.#heard.event(frame);
  }

  /** @param {any} hello */
  #welcome(hello) {
    clearTimeout(this.#timer);
    this.#failures = 0;
    this.#reached = true;
    this.#heartbeat = Number(hello.heartbeatSeconds ?? 25) * 1_000;
    this.#become('live');
    this.#ping();
  }

  async #ping() {
    clearTimeout(this.#beat);
    if (this.#state !== 'live') return;
    this.#beat = setTimeout(() => this.#ping(), this.#heartbeat);
    const token = this.#token();
    if (token !== null && token !== this.#known) this.#authenticate(token);
    const answer = await this.request('ping');
    if (answer.kind === 'ok') this.#heard.health(answer.data);
    // A refusal is a sign of life, too: only silence is not.
    if (this.#state !== 'live' || answer.kind !== 'trouble' || answer.status !== null) return;
    this.#missed += 1;
    if (this.#missed >= MISSED_PONGS) this.#again();
    else {
      clearTimeout(this.#beat);
      this.#beat = setTimeout(() => this.#ping(), PROBE_MS);
    }
  }

  /** @param {number} id @param {Answer} answer */
  #answer(id, answer) {
    const resolve = this.#asked.get(id);
    this.#asked.delete(id);
    resolve?.(answer);
  }

  /** This connection is no good any more. */
  #again() {
    this.#drop(4000);
    this.#closed(4000);
  }

  /** @param {number} code */
  async #closed(code) {
    this.#wire = null;
    if (this.#state === 'off') return;
    for (const id of [...this.#asked.keys()]) this.#answer(id, noAnswer());
    this.#lost();
    if (UNAUTHORIZED.has(code)) await this.#renew();
  }

  #lost() {
    clearTimeout(this.#timer);
    clearTimeout(this.#beat);
    this.#failures += 1;
    this.#missed = 0;
    this.#become(!this.#reached && this.#failures >= BARRED_AFTER ? 'barred' : 'lost');
    this.#timer = setTimeout(() => this.#connect(), delayAfter(this.#failures));
  }

  /** @param {number} code */
  #drop(code) {
    const wire = this.#wire;
    this.#wire = null;
    clearTimeout(this.#beat);
    wire?.close(code);
  }

  /** @param {SocketState} state */
  #become(state) {
    if (state === this.#state) return;
    this.#state = state;
    this.#heard.state(state);
  }
}

/** @param {unknown} data @returns {Frame|null} */
function parse(data) {
  try {
    const frame = JSON.parse(String(data));
    return typeof frame?.op === 'string' ? frame : null;
  } catch {
    return null;
  }
}

/** @param {any} d @returns {Answer} */
function refusal({ code = '', title, detail, status = 400, retryAfter = null }) {
  const problem = { code, title, detail };
  if (!PASSING.has(code) && retryAfter === null) return { kind: 'refused', status, problem };
  return { kind: 'trouble', reason: 'busy', status: code === 'rate_limited' ? 429 : 503, problem, retryAfterMs: retryAfter === null ? null : retryAfter * 1_000 };
}

/** @returns {Answer} */
function noAnswer() {
  return { kind: 'trouble', reason: 'network', status: null, problem: {}, retryAfterMs: null };
}
