/** Live: the gateway's events, and what each changes. @module */

import { Socket } from './socket.js';

/** @typedef {import('./socket.js').Frame} Frame */
/** @typedef {import('./talk.js').Talk} Talk */

/** Somebody's message that another tab is sending; without a confirmation it is not shown for ever. */
const ECHO_MS = 30_000;
const WATCH_MS = 1_000;
const MOST_WATCHED = 100;

export class Live {
  #talk;
  #heard;
  /** @type {string|null} */
  #opened = null;
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  #watching;
  #watched = '';

  /**
   * @param {Talk} talk
   * @param {string} url
   * @param {{state: (state: import('./socket.js').SocketState) => void, health: (health: any) => void}} heard
   */
  constructor(talk, url, heard) {
    this.#talk = talk;
    this.#heard = heard;
    this.socket = new Socket({
      url, token: () => talk.session.token,
      renew: async () => {
        await talk.session.send('/api/me', { timeoutMs: 10_000 });
      },
      heard: { event: (frame) => this.#event(frame), state: (state) => this.#state(state), health: heard.health },
    });
    talk.post = async (entry) => {
      if (!this.socket.live) return talk.postByHttp(entry);
      const { chatId, content, clientMsgId, replyTo } = entry;
      const answer = await this.socket.request('send', chatId, { content, clientMsgId, ...(replyTo === null ? {} : { replyTo }) });
      // No word on whether it was taken: by its name it is asked for again, and never said twice.
      return answer.kind === 'trouble' && answer.status === null ? talk.postByHttp(entry) : answer;
    };
    this.socket.start();
  }

  /** Another chat is shown. @param {string} chatId */
  turnTo(chatId) {
    if (!this.socket.live) return;
    if (this.#opened !== null && this.#opened !== chatId) this.socket.request('close', this.#opened);
    this.#opened = null;
    if (chatId.startsWith('new:')) return;
    this.#opened = chatId;
    this.socket.request('open', chatId).then((answer) => {
      if (answer.kind === 'ok') this.#talk.people.present(answer.data.members ?? []);
      else if (this.#opened === chatId) this.#opened = null;
    });
  }

  /** @param {boolean} on */
  typing(on) {
    if (this.socket.live && this.#opened === this.#talk.current) this.socket.request('typing', this.#opened, { on });
  }

  /** See who of the people in the list is there. */
  watch() {
    clearTimeout(this.#watching);
    this.#watching = setTimeout(async () => {
      const users = this.#talk.directory.list().map((chat) => chat.other?.userId).filter(Boolean).slice(0, MOST_WATCHED);
      const sign = JSON.stringify(users);
      if (!this.socket.live || sign === this.#watched) return;
      this.#watched = sign;
      const answer = await this.socket.request('watch', null, { users });
      if (answer.kind === 'ok') this.#talk.people.present(answer.data.presence ?? []);
    }, WATCH_MS);
  }

  /** @param {import('./socket.js').SocketState} state */
  #state(state) {
    const talk = this.#talk;
    talk.reading.isLive = state === 'live';
    talk.sync.repace();
    if (state === 'live') {
      // First be told of what comes, then ask for what has come: nothing falls between.
      this.#watched = '';
      this.turnTo(talk.current);
      this.watch();
      talk.wake();
    } else {
      this.#opened = null;
      talk.people.forgetPresence();
      for (const { jobId, status } of talk.answers.of(talk.current)) if (status !== 'failed') talk.answers.expect(talk.current, jobId, { stream: true });
    }
    this.#heard.state(state);
  }

  /** @param {Frame} frame */
  #event({ op, chat = '', d = {} }) {
    const talk = this.#talk;
    /** @type {Record<string, () => void>} */
    const deeds = {
      'message.new': () => talk.hear(d),
      'message.edited': () => talk.hear(d),
      'message.deleted': () => talk.hear(d),
      'message.pending': () => this.#pending(chat, d),
      'message.refused': () => this.#forget(d.clientMsgId),
      'ai.status': () => {
        if (chat === talk.current) talk.answers.moved(chat, d);
      },
      'ai.text': () => {
        if (chat === talk.current) talk.answers.said(chat, d);
      },
      chat: () => void talk.refresh(chat),
      members: () => this.#members(chat, d),
      seen: () => talk.people.seen(chat, d.userId, d.seq),
      unread: () => talk.directory.patch(chat, { unread: d.unread, unreadCapped: d.unreadCapped ?? d.unreadLabel === '99+' }),
      typing: () => talk.people.types(chat, d.userId, d.on),
      presence: () => talk.people.present([d]),
      resync: () => talk.wake(),
    };
    deeds[op]?.();
  }

  /** @param {string} chatId @param {any} d */
  #pending(chatId, { clientMsgId, content, replyTo = null }) {
    const talk = this.#talk;
    if (talk.outbox.of(chatId).some((entry) => entry.clientMsgId === clientMsgId)) return;
    talk.echoes.set(clientMsgId, { clientMsgId, chatId, content, replyTo, addedAt: Date.now(), state: 'sending' });
    talk.heard.draw();
    setTimeout(() => this.#forget(clientMsgId), ECHO_MS);
  }

  /** @param {string} clientMsgId */
  #forget(clientMsgId) {
    if (this.#talk.echoes.delete(clientMsgId)) this.#talk.heard.draw();
  }

  /** @param {string} chatId @param {{userId: string, gone: boolean}} d */
  #members(chatId, { userId, gone }) {
    const talk = this.#talk;
    if (userId === talk.me && gone) {
      talk.drop(chatId);
      return;
    }
    if (talk.directory.get(chatId) === null) talk.refresh(chatId);
    // A chat that was made a moment ago may not have been known to the gateway when it was opened.
    if (userId === talk.me && chatId === talk.current && this.#opened === null) this.turnTo(chatId);
    talk.api.members(chatId).then((answer) => {
      if (answer.kind === 'ok') talk.people.set(chatId, answer.data.items);
    });
  }
}
