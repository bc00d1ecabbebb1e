"""``python -m benchmarks.chats``: what reading chats costs with ten thousand messages, and with a million.

First the statements themselves, on a set of 10,000 messages and on one of a million
in 10,000 chats: the same person's five latest chats, the newest page, a page 10,000
messages deep (or as deep as there are), what is unread, what has changed. Then
`GET /chats/<id>` of a chat of ten messages, cold and warm, on the real API; at last
the statements that each route sends, with Redis away and with Redis warm, and what
that makes of a person's reading. What costs by the number of messages, a search for a word that is everywhere and
the look for chats in which the AI has said most, is asked on the big set alone, and counts for no ratio.

The exit code is 1 if a statement is more than 1.5 times slower on the big set, or
something did not work. ``--plans`` prints how PostgreSQL answers each statement on the big set.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import psycopg2
import redis
from flask import Flask
from flask.testing import FlaskClient

from api.app import create_app
from benchmarks import chat_plans, machine
from benchmarks.errors import Broken
from benchmarks.product import API, Product
from models import analytics, base, messages, moments, own_chats, searches
from models.base import Session, bare
from models.errors import SearchTooBroad
from scripts import load_set
from scripts.load_set import LoadSet, chat_id, person_id
from tests.statements import counted

BUSY = 50
"""Chats of the person who reads, in either set: what is asked for of all of them costs by their number."""
SMALL, BIG = (LoadSet(messages=m, chats=c, busy=BUSY) for m, c in ((10_000, 100), (1_000_000, 10_000)))
SLOWER = 1.5
TIMES, WARM_UP = 400, 50
DEEP = 10_000
PAGE = 50
COSTLY_TIMES = 10
LINES = 10
SEARCH = "search for a rare word"
KEY = "a-key-of-the-benchmarks-of-48-characters-1234567"
NOWHERE = "redis://127.0.0.1:1/0"
PASSWORD = "correct horse battery staple"
SEED_MS = 422
"""What the first implementation took for `GET /chats/<id>`, by its author's account."""

Times = Mapping[str, tuple[float, float]]
"""p50 and p95 in milliseconds, by what was asked."""


def main() -> int:
    """Returns the exit code."""
    options = _options()
    with Product(environment={"TOKEN_KEY": KEY, "REGISTRATION": "open", "SEND_LIMIT": "none"}) as product:
        print(f"{machine.described()}, {product.versions()}; loop {machine.loop_milliseconds():.1f} ms")
        try:
            slower = _compare(product, replace(BIG, messages=options.messages))
            _costly()
            if options.plans:
                _plans()
            _routes(product)
        except Broken as why:
            print(f"DID NOT WORK: {why}")
            return 1
    return 1 if slower > SLOWER else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chats", description="Measure reading chats.")
    parser.add_argument("--messages", type=int, default=BIG.messages, help="of the big set")
    parser.add_argument("--plans", action="store_true", help="print the plan of each statement, as it ran")
    return parser.parse_args()


def _compare(product: Product, big: LoadSet) -> float:
    """The worst ratio of medians."""
    base.open_database(product.settings(), name="benchmark")
    small_times = _filled_and_timed(product, SMALL)
    big_times = _filled_and_timed(product, big)
    print(f"{'ms, p50 and p95':24} {SMALL.messages:>16,} {big.messages:>18,}   ratio")
    for name, (p50, p95) in big_times.items():
        less = small_times[name]
        print(f"{name:24} {less[0]:7.2f} {less[1]:8.2f} {p50:9.2f} {p95:8.2f} {p50 / less[0]:7.2f}")
    # A search finds more where there is more.
    return max(big_times[name][0] / small_times[name][0] for name in big_times if name != SEARCH)


def _filled_and_timed(product: Product, size: LoadSet) -> Times:
    product.sql("TRUNCATE messages, chat_members, chats CASCADE")
    product.sql("DELETE FROM users WHERE username LIKE 'load-%%'")
    begun = time.monotonic()
    connection = psycopg2.connect(product.settings().libpq_url)
    try:
        load_set.fill(connection, size, key=KEY)
    finally:
        connection.close()
    bytes_ = product.sql("SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits")[0][0]
    print(
        f"{size.messages:,} messages in {size.chats:,} chats: stored in {time.monotonic() - begun:.0f} s, "
        f"{bytes_ / 2**20:.0f} MB with indexes"
    )
    return {name: _timed(ask) for name, ask in _questions(size).items()}


def _questions(size: LoadSet) -> Mapping[str, Callable[[Any], object]]:
    longest, reader, last = chat_id(0), person_id(0), size.length(0)
    deep = max(PAGE + 1, last - DEEP)
    of: dict[str, Any] = {"chat_id": longest, "reader": reader}
    return {
        "five latest chats": lambda session: own_chats.page(session, reader, limit=5),
        "newest page": lambda session: messages.page(session, **of, limit=PAGE),
        f"page {DEEP:,} deep": lambda session: messages.page(session, **of, before=deep, limit=PAGE),
        "page before a time": lambda session: messages.page(
            session, **of, before=moments.seq_at(session, **of, at=load_set.BEGUN_AT + deep * load_set.STEP), limit=PAGE
        ),
        "unread, all chats": lambda session: own_chats.unread(session, reader),
        "last 100 changes": lambda session: messages.changes(session, **of, since=last - 100, limit=500),
        SEARCH: lambda _: _search(reader),
    }


def _search(reader: str, words: str = load_set.RARE_WORD) -> object:
    with Session() as session:
        return searches.found(session, reader, words=words, limit=PAGE)


def _costly() -> None:
    """What costs more the more there is, each bounded by a page or by its time."""
    asked: Mapping[str, Callable[[], object]] = {
        "search, a common word": lambda: _search(person_id(0), "message"),
        "search, two common words": lambda: _search(person_id(0), '"message minute"'),
        "bot-dominated, a page": lambda: _analyzed(analytics.bot_dominated),
        "stale summaries, a page": lambda: _analyzed(analytics.stale_summaries),
    }
    print(f"on the big set, ms, of {COSTLY_TIMES}: median, slowest")
    for name, ask in asked.items():
        taken, refused = [], 0
        for _ in range(COSTLY_TIMES):
            begun = time.perf_counter()
            try:
                ask()
            except SearchTooBroad:
                refused += 1
            taken.append(1000 * (time.perf_counter() - begun))
        told = f", {refused} times too broad" if refused else ""
        print(f"  {name:24} {statistics.median(taken):9.1f} {max(taken):9.1f}{told}")
    begun, pages, below = time.perf_counter(), 0, None
    while pages == 0 or below is not None:
        below, pages = _analyzed(analytics.bot_dominated, below=below).end, pages + 1
    print(f"  bot-dominated, all {pages} pages: {time.perf_counter() - begun:.2f} s")


def _analyzed(look: Callable[..., analytics.Page], *, below: int | None = None) -> analytics.Page:
    with Session.begin() as session:
        base.take_time(session, seconds=60)
        return look(session, limit=PAGE, below=below)


def _plans() -> None:
    for name in chat_plans.STATEMENTS:
        with Session() as session:  # which is not committed
            base.take_time(session, seconds=60)
            print(f"\n-- {name}\n{chat_plans.plan(session, name, as_it_runs=True)}")


def _timed(ask: Callable[[Any], object]) -> tuple[float, float]:
    taken = []
    for _ in range(WARM_UP + TIMES):
        with bare() as session:
            begun = time.perf_counter()
            ask(session)
            taken.append(1000 * (time.perf_counter() - begun))
    return statistics.median(taken[WARM_UP:]), statistics.quantiles(taken[WARM_UP:], n=20)[-1]


def _routes(product: Product) -> None:
    product.run_only(API)
    person = _Person(product.port)
    chat = person.ask("POST", "/chat/data", {"chat_id": -1, "messages": _lines()})["chat_id"]
    with redis.Redis.from_url(product.settings().redis_url) as client:
        warm = _answered(person, chat, before=lambda: None)
        cold = _answered(person, chat, before=lambda: client.delete(f"chat:messages:{chat}"))
    print(f"GET /chats/<id> of {LINES} messages, p50 and p95 in ms; the seed took {SEED_MS}")
    print(f"  cold {cold[0]:.2f} {cold[1]:.2f}, warm {warm[0]:.2f} {warm[1]:.2f}")
    _count(product, person)


def _lines() -> list[dict[str, str]]:
    return [{"role": "user", "content": f"Line {number} of a chat of ten"} for number in range(LINES)]


class _Person:
    """Somebody with an account, on one kept connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self._headers = {"Content-Type": "application/json"}
        session = self.ask("POST", "/api/auth/register", {"username": "reader", "password": PASSWORD})
        self._headers["Authorization"] = f"Bearer {session['accessToken']}"
        self.id = session["user"]["userId"]

    @property
    def headers(self) -> Mapping[str, str]:
        """With the access token."""
        return self._headers

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """The answer.

        Raises:
            Broken: it is none.
        """
        self._connection.request(method, path, None if body is None else json.dumps(body), self._headers)
        response = self._connection.getresponse()
        said = response.read()
        if response.status not in (200, 201):
            raise Broken(f"{method} {path} was answered {response.status}: {said.decode()}")
        return json.loads(said)


def _answered(person: _Person, chat: str, *, before: Callable[[], object]) -> tuple[float, float]:
    taken = []
    for _ in range(WARM_UP + TIMES):
        before()
        begun = time.perf_counter()
        person.ask("GET", f"/chats/{chat}")
        taken.append(1000 * (time.perf_counter() - begun))
    return statistics.median(taken[WARM_UP:]), statistics.quantiles(taken[WARM_UP:], n=20)[-1]


def _count(product: Product, person: _Person) -> None:
    """Statements of each route, and of what an open page asks for in a minute; in this process, where they can be."""
    own = [person.ask("POST", "/chat/data", {"chat_id": -1, "messages": _lines()})["chat_id"] for _ in range(5)]
    group = person.ask("POST", "/api/chats", {"type": "group", "title": "Group", "members": []})["chatId"]
    mix = [
        ("/api/chats/unread", 12),  # every five seconds
        *((f"/chats/{chat}", 4) for chat in own),  # going from one to the other and back
        (f"/api/chats/{group}/messages", 4),
        ("/chat/titles", 1),
    ]
    ours = replace(product.settings(), token_key=KEY)
    cold = _statements(create_app(replace(ours, redis_url=NOWHERE)), person, mix)
    warm = _statements(create_app(ours), person, mix)
    print("statements of a route: with Redis away, and with Redis warm")
    for name, times in mix:
        print(f"  {times:3} x {name:50} {cold[name]} {warm[name]}")
    total = {label: sum(found[name] * times for name, times in mix) for label, found in (("c", cold), ("w", warm))}
    print(
        f"of that mix: {total['c']} and {total['w']}: {1 - total['w'] / total['c']:.0%} fewer; the seed promises 90 %"
    )


def _statements(app: Flask, person: _Person, mix: list[tuple[str, int]]) -> Mapping[str, int]:
    client, found = app.test_client(), {}
    for name, _ in mix:
        for _ in range(WARM_UP):
            _get(client, name, person)  # who calls is known from now on, and what is kept is kept
        with counted() as sent:
            _get(client, name, person)
        found[name] = len(sent)
    return found


def _get(client: FlaskClient, path: str, person: _Person) -> None:
    response = client.get(path, headers=person.headers)
    if response.status_code != 200:
        raise Broken(f"{path} was answered {response.status_code}: {response.get_data(as_text=True)}")


if __name__ == "__main__":
    sys.exit(main())
