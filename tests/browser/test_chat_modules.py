"""The modules of the chat page that need no server: each is loaded by itself and asked."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page

from .hostile import HOSTILE

MESSAGE = """
const message = (seq, changeSeq, more = {}) => ({
  chatId: 'c', seq, changeSeq, senderId: 'anna', isAi: false, content: `${seq}/${changeSeq}`, clientMsgId: `m${seq}`,
  replyTo: null, status: 'complete', jobId: null, createdAt: '2026-05-03T12:00:00Z', editedAt: null, deletedAt: null,
  ...more,
});
const page = (items, before = null, after = null, lastChangeSeq = 0) => ({ items, before, after, lastChangeSeq });
"""


def ask(page: Page, script: str, given: object = None) -> Any:
    """What a script answers on an empty page that may load our modules."""
    page.goto("/keys")
    return page.evaluate(f"async (given) => {{ {MESSAGE} {script} }}", given)


def test_stale_state_and_events_are_fresh_state(page: Page) -> None:
    """Events come in any order, twice, too late or not at all: caught up, a room holds what the server holds."""
    wrong = ask(
        page,
        """
        const { Room } = await import('/static/js/chat/room.js');
        let seed = 7;
        const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
        const wrong = [];
        for (let round = 0; round < 200; round += 1) {
          const stored = [], events = [];
          let change = 0;
          const post = () => {
            stored.push(message(stored.length + 1, change += 1));
            events.push({ ...stored.at(-1) });
          };
          for (let n = 0; n < 20; n += 1) post();
          const room = new Room('c');
          room.begin(page(stored.slice(-10).map((m) => ({ ...m })), 11, null, change));
          events.length = 0;
          for (let n = 0; n < 30; n += 1) {
            if (random() < 0.6) post();
            else {
              const at = stored[Math.floor(random() * stored.length)];
              at.changeSeq = change += 1;
              at.content = `${at.seq}/${change}`;
              events.push({ ...at });
            }
          }
          const heard = events.flatMap((event) => (random() < 0.3 ? [] : random() < 0.3 ? [event, event] : [event]));
          heard.sort(() => random() - 0.5);
          for (const event of heard) room.apply(event);
          const since = room.since;
          const items = stored.filter((m) => m.changeSeq > since).sort((a, b) => a.changeSeq - b.changeSeq);
          const { gap } = room.catchUp({ items, since: change });
          for (const event of heard) room.apply(event); // late ones, and all of them once more
          const expected = JSON.stringify(stored.slice(10));
          if (gap || JSON.stringify(room.list()) !== expected || room.since !== change) wrong.push(round);
        }
        return wrong;
        """,
    )

    assert wrong == []


def test_what_is_written_stays_though_the_page_ends_at_once(page: Page) -> None:
    """The database needs a moment, a page that is left gives none. The broken hides nothing; signing out erases all."""
    facts = ask(
        page,
        """
        const { Database } = await import('/static/js/chat/database.js');
        const { Outbox } = await import('/static/js/chat/outbox.js');
        const entry = { clientMsgId: 'a', chatId: 'c', content: 'Hello', addedAt: 1, state: 'queued' };
        const kept = new Database('u').keep(entry);
        const atOnce = new Database('u').leftOver().map(({ content }) => content);
        await kept;
        localStorage.setItem('parley.chat.u/b', JSON.stringify({ ...entry, clientMsgId: 'b', addedAt: 2 }));
        ['{"clientMsgId": "b', 'null', '{}', '{"chatId": "c", "content": "x"}'].forEach((broken, n) =>
          localStorage.setItem(`parley.chat.u/0${n}`, broken));

        const database = new Database('u');
        const heard = { changed() {}, sent() {}, made() {}, failed() {} };
        const outbox = new Outbox(database, { post: () => new Promise(() => {}), make: async () => ({}) }, heard);
        await outbox.load();
        const moved = [database.leftOver().length, (await new Database('u').all('outbox')).length];
        await database.close({ erase: true });
        const waiting = outbox.waiting.map(({ clientMsgId }) => clientMsgId);
        const left = Object.keys(localStorage).filter((name) => name.startsWith('parley.chat')).length;
        return { atOnce, waiting, moved, left };
        """,
    )

    assert facts == {"atOnce": ["Hello"], "waiting": ["a", "b"], "moved": [0, 2], "left": 0}


def test_below_the_title_stands_who_is_there_or_when_they_were(page: Page) -> None:
    """Who comes back is online again; without a socket nothing is said of anybody."""
    said = ask(
        page,
        """
        const { People } = await import('/static/js/chat/people.js');
        const people = new People(() => {});
        const [now, at] = [new Date(2026, 4, 3, 14), (day, hour) => new Date(2026, 4, day, hour, 3).toISOString()];
        const chat = { chatId: 'c', type: '1_to_1', other: { userId: 'ben', displayName: 'Ben' } };
        const said = [];
        const heard = [[true, null], [false, at(3, 9)], [true, at(3, 9)], [false, at(2, 9)], [false, null]];
        for (const [online, lastSeenAt] of heard) {
          people.present([{ userId: 'ben', online, lastSeenAt }]);
          said.push(people.subtitle(chat, now));
        }
        people.forgetPresence();
        return [...said, people.subtitle(chat, now)];
        """,
    )

    assert said == ["online", "last seen at 09:03", "online", "last seen yesterday, 09:03", "offline", ""]


def test_a_preview_shows_no_marks_of_markdown(page: Page) -> None:
    """And keeps what only looks like one."""
    given = ["# Queues ## What **a** queue `is`", "2 * 3 ** 2 is not #1", "snake_case __init__ C# x", "**"]

    shown = ask(page, "return given.map((await import('/static/js/text.js')).unmarked);", given)

    assert shown == ["Queues What a queue is", "2 * 3 ** 2 is not #1", "snake_case __init__ C# x", "**"]


def test_an_empty_room_takes_no_later_message_for_its_first(page: Page) -> None:
    """An answer to what was sent may come before any page has; what was said before it must not be lost for that."""
    facts = ask(
        page,
        """
        const { Room } = await import('/static/js/chat/room.js');
        const room = new Room('c');
        room.begin(page([], null, null, 0));
        const all = [1, 2, 3].map((seq) => message(seq, seq));
        const [second, first] = [room.apply(all[1]), room.apply(all[0])];
        const joined = room.catchUp({ items: all, since: 3 });
        const other = new Room('c');
        other.begin(page([], null, null, 0));
        const torn = other.catchUp({ items: all.slice(1), since: 3 });
        return { second, first, gap: joined.gap, seqs: room.list().map(({ seq }) => seq), since: room.since,
                 torn: torn.gap, asksAgainSince: other.since };
        """,
    )

    assert (facts["second"], facts["first"], facts["gap"]) == ("beyond", "new", False)
    assert (facts["seqs"], facts["since"]) == ([1, 2, 3], 3)
    assert (facts["torn"], facts["asksAgainSince"]) == (True, 0)


def test_a_room_lets_go_at_the_far_end_and_knows_it(page: Page) -> None:
    """A chat of years must not fill the page; what was let go is read again, not taken for the end."""
    facts = ask(
        page,
        """
        const { Room, MOST_HELD } = await import('/static/js/chat/room.js');
        const many = (from, to) => Array.from({ length: to - from + 1 }, (_, n) => message(from + n, from + n));
        const room = new Room('c');
        room.begin(page(many(4951, 5000), 4951, null, 5000));
        const facts = [];
        while (room.before > 4000) {
          const before = room.before;
          room.prepend(page(many(before - 50, before - 1), before - 50));
          facts.push(room.list().length);
        }
        const beyond = room.apply(message(5001, 5001));
        const old = room.apply(message(4900, 1));
        room.prepend(page(many(1, 50)));
        room.append(page(many(room.last + 1, room.last + 50), 0, room.last + 51));
        return { most: Math.max(...facts), MOST_HELD, beyond, old, atEnd: room.atEnd, before: room.before,
                 joined: room.list().every((m, n, all) => n === 0 || m.seq === all[n - 1].seq + 1) };
        """,
    )

    assert facts["most"] == facts["MOST_HELD"] == 300
    assert (facts["beyond"], facts["atEnd"], facts["joined"]) == ("beyond", False, True)


def test_the_link_says_what_is_wrong_and_nothing_else(page: Page) -> None:
    """Worst first: no network, no server, an ill part, no socket. Without a gateway nothing is wrong."""
    kinds = ask(
        page,
        """
        const { linkOf } = await import('/static/js/chat/link.js');
        const health = { database: 'ok', redis: 'ok', ai: 'ok' };
        const well = { online: true, socket: 'live', answered: true, health, waiting: 0 };
        const of = (change) => {
          const { kind, banner } = linkOf({ ...well, ...change });
          return [kind, banner !== ''];
        };
        return [of({}), of({ socket: null }), of({ socket: 'lost' }), of({ socket: 'barred' }),
                of({ health: { ai: 'down' } }),
                of({ answered: false, socket: 'lost' }), of({ online: false, answered: false })];
        """,
    )

    assert kinds == [
        ["live", False],
        ["polling", False],
        ["reconnecting", True],
        ["polling", False],
        ["degraded", True],
        ["reconnecting", True],
        ["offline", True],
    ]


def test_waits_are_drawn_from_all_of_a_growing_span(page: Page) -> None:
    """Full jitter between nothing and half a second, then twice as much, up to half a minute."""
    spans = ask(
        page,
        """
        const { delayAfter } = await import('/static/js/chat/backoff.js');
        const spans = (failures) => [0, 0.999999].map((drawn) => Math.round(delayAfter(failures, () => drawn)));
        return [1, 2, 3, 7, 50].map(spans);
        """,
    )

    assert spans == [[100, 500], [100, 1000], [100, 2000], [100, 30000], [100, 30000]]


def test_a_stream_may_be_cut_anywhere(page: Page) -> None:
    """Bytes come as the network likes, in the middle of a letter, too."""
    heard = ask(
        page,
        r"""
        const { events } = await import('/static/js/chat/stream.js');
        const text = 'retry: 1\n\n: still here\n\nid: 1\nevent: text\ndata: {"text": "é𝄞"}\n\ndata: a\ndata: b\n\n';
        const bytes = new TextEncoder().encode(text);
        const wrong = [];
        for (let size = 1; size <= bytes.length; size += 1) {
          const body = new ReadableStream({ start(to) {
            for (let at = 0; at < bytes.length; at += size) to.enqueue(bytes.slice(at, at + size));
            to.close();
          } });
          const heard = [];
          for await (const event of events(body)) heard.push(event);
          const good = [{ id: '1', event: 'text', data: '{"text": "é𝄞"}' }, { id: '', event: 'message', data: 'a\nb' }];
          if (JSON.stringify(heard) !== JSON.stringify(good)) wrong.push(size, heard);
        }
        return wrong;
        """,
    )

    assert heard == []


SOCKET = """
const { Socket } = await import('/static/js/chat/socket.js');
const log = [], wires = [];
class Wire {
  constructor() { this.readyState = 1; this.sent = []; wires.push(this); setTimeout(() => this.onopen()); }
  send(text) {
    const frame = JSON.parse(text);
    this.sent.push(frame);
    if (frame.op === 'auth') setTimeout(() => {
      this.say({ op: 'ack', id: frame.id, d: {} });
      this.say({ op: 'hello', d: { heartbeatSeconds: given.heartbeat ?? 25 } });
    });
    const answers = !(given.way === 'silent' && this === wires[0]);
    if (frame.op === 'ping' && answers) setTimeout(() => this.say({ op: 'ack', id: frame.id, d: { ai: 'ok' } }));
  }
  say(frame) { this.onmessage({ data: JSON.stringify(frame) }); }
  close(code) { this.readyState = 3; setTimeout(() => this.onclose({ code: code ?? 1006 })); }
}
let token = 't1';
const heard = {
  event: (frame) => log.push(frame.op), state: (state) => log.push(state), health: () => log.push('health'),
};
const renew = async () => {
  token = 't2';
  log.push('renewed');
};
const socket = new Socket({ url: 'ws://x', token: () => token, renew, open: () => new Wire(), answerMs: 50, heard });
const until = async (holds) => {
  for (let n = 0; n < 400 && !holds(); n += 1) await new Promise((resolve) => setTimeout(resolve, 10));
};
socket.start();
await until(() => socket.live);
"""


def test_a_socket_comes_back_with_a_new_token_after_its_token_was_refused(page: Page) -> None:
    """Whoever is told that the token is no good any more does not offer it again."""
    tokens, log = ask(
        page,
        SOCKET
        + """
        wires[0].close(4403);
        await until(() => wires.length > 1 && socket.live);
        socket.stop();
        return [wires.map(({ sent }) => sent[0].d.token), log];
        """,
        {},
    )

    assert tokens == ["t1", "t2"]
    assert [said for said in log if said != "health"] == [
        "connecting",
        "live",
        "lost",
        "renewed",
        "connecting",
        "live",
        "off",
    ]


@pytest.mark.parametrize("way", ["closed", "silent", "told to reconnect", "garbage"])
def test_a_socket_is_not_believed_to_live(page: Page, way: str) -> None:
    """Closed, or silent for two pings, or as the server says: there is another one. Nonsense on it changes nothing."""
    wires, answered = ask(
        page,
        SOCKET
        + """
        const asked = socket.request('send', 'c', { content: 'x' });
        if (given.way === 'told to reconnect') wires[0].say({ op: 'reconnect', d: { afterMs: 5 } });
        else if (given.way === 'garbage') {
          for (const data of ['', '[]', '{"op": 7}', 'null', '{"op": "ack", "id": 99}']) wires[0].onmessage({ data });
          return [wires.length, socket.live];
        } else if (given.way === 'closed') wires[0].close();
        await until(() => wires.length > 1 && socket.live);
        const { kind, status } = await asked;
        socket.stop();
        return [wires.length, [kind, status]];
        """,
        {"way": way},
    )

    if way == "garbage":
        assert (wires, answered) == (1, True)
    else:
        assert (wires, answered) == (2, ["trouble", None])


def test_a_socket_that_never_gets_through_is_barred_until_one_does(page: Page) -> None:
    """Whoever sits behind a proxy that lets none pass is told once, not at each try; and it goes on trying."""
    log = ask(
        page,
        """
        const { Socket } = await import('/static/js/chat/socket.js');
        const log = [], wires = [];
        class Blocked {
          constructor() { wires.push(this); this.readyState = 1; setTimeout(() => this.onclose({ code: 1006 })); }
          close() {}
        }
        const heard = { event: () => {}, state: (state) => log.push(state), health: () => {} };
        const how = { url: 'ws://x', token: () => 't', renew: async () => {}, open: () => new Blocked(), heard };
        const socket = new Socket(how);
        socket.start();
        for (let n = 0; n < 500 && wires.length < 5; n += 1) {
          await new Promise((resolve) => setTimeout(resolve, 5));
          socket.wake();
        }
        socket.stop();
        return log;
        """,
    )

    assert log == ["connecting", "lost", "connecting", "lost", "connecting", "barred", "off"]


def test_markdown_does_nothing_but_be_read(page: Page) -> None:
    """No script runs, nothing is loaded, no element or attribute is there that could; and none takes long."""
    requests: list[str] = []
    page.goto("/keys")
    page.on("request", lambda request: requests.append(request.url))
    found = page.evaluate(
        """async (texts) => {
        const { markdown, plain } = await import('/static/js/chat/markdown.js');
        const wrong = [], slow = [];
        const good = new Set(('P BR STRONG EM DEL CODE PRE BLOCKQUOTE UL OL LI A HR TABLE THEAD TBODY TR TH TD'
          + ' DIV SPAN BUTTON svg path').split(' '));
        const bad = ['style', 'src', 'srcset', 'id', 'name'];
        for (const text of texts) {
          const box = document.createElement('div');
          const began = performance.now();
          box.append(markdown(text));
          if (performance.now() - began > 1000) slow.push(text.slice(0, 20));
          box.append(plain(text));
          document.body.append(box);
          for (const element of box.querySelectorAll('*')) {
            if (!good.has(element.tagName)) wrong.push([text.slice(0, 60), element.tagName]);
            for (const { name } of element.attributes) {
              if (name.startsWith('on') || bad.includes(name)) wrong.push([text.slice(0, 60), name]);
            }
            if (element.tagName !== 'A') continue;
            const { protocol, host } = new URL(element.href);
            const safe = ['http:', 'https:', 'mailto:'].includes(protocol) && element.rel.includes('noopener');
            const open = element.target === '_blank' && element.textContent.includes(host);
            if (!safe || !open) wrong.push([text.slice(0, 60), element.outerHTML]);
            element.dispatchEvent(new MouseEvent('mouseover', { bubbles: true }));
          }
        }
        await new Promise((resolve) => setTimeout(resolve, 300));
        const disguised = [...document.querySelectorAll('a')].find((a) => a.textContent.startsWith('https://bank'));
        return { wrong, slow, pwned: window.pwned ?? null, disguised: disguised.textContent };
        }""",
        list(HOSTILE),
    )

    assert found["wrong"] == []
    assert (found["pwned"], found["slow"]) == (None, [])
    assert found["disguised"] == "https://bank.example (evil.example)"
    assert [url for url in requests if "/static/" not in url and "/api/auth/" not in url] == []
