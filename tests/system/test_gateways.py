"""Two gateways, many pages, and Redis killed meanwhile: every page ends with exactly what the database has.

Pages do what the documentation tells them: catch up when they are greeted and at every ``resync``, apply what is newer
than what they have, come back when they are cut off, and send again what was not acknowledged. The short form is for
`make test`; ``PARLEY_CHAOS=full`` has 50 pages, 2,000 messages and a Redis that is dead for 40 s.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

import local.valkey
from api.gateway import frames
from local import ports
from local.readiness import answers
from models import unread
from models.base import Session, bare
from models.live.chat_cache import ChatCache
from models.live.chat_reads import ChatReads
from models.live.presence import HEARTBEAT_SECONDS, LEASE_SECONDS
from models.settings import Settings
from tests.conftest import Servers
from tests.factories import a_chat, a_user, said_in, signed_in
from tests.gateway.clients import Client
from tests.system.outages import FULL, Fragile
from tests.system.stack import Stack, eventually

pytestmark = pytest.mark.timeout(400)
PAGES, MESSAGES, DEAD_SECONDS = (50, 2_000, 40.0) if FULL else (10, 200, 4.0)
SECONDS = 60.0 if FULL else 8.0
"""In which they are said."""
CAUGHT_UP_SECONDS = 35.0
ROOM = 10
"""Members of a chat."""


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fragile]:
    """One that no other test uses."""
    server = Fragile(local.valkey.start(tmp_path_factory.mktemp("valkey"), durable=False))
    yield server
    server.stop()


@pytest.fixture
def gateways(
    tmp_path_factory: pytest.TempPathFactory, servers: Servers, db: Settings, valkey: Fragile
) -> Iterator[tuple[Stack, list[int]]]:
    """Two of them, and where they listen."""
    settings = {"REDIS_URL": valkey.url, "SEND_LIMIT": "none", "LLM_MODEL": ""}
    stack = Stack(tmp_path_factory.mktemp("gateways"), servers, settings)
    listening = [ports.free_port(), ports.free_port()]
    try:
        for port in listening:
            stack.start("gateway", GATEWAY_PORT=str(port))
        eventually(lambda: all(answers("127.0.0.1", port) for port in listening))
        yield stack, listening
    finally:
        stack.close()


class Page:
    """One page, with a chat, at one gateway or the other."""

    def __init__(self, listening: list[int], token: str, chat: str, ledger: Counter[str]) -> None:
        self._listening, self._token, self._chat, self._ledger = itertools.cycle(listening), token, chat, ledger
        self.messages: dict[int, Any] = {}
        self._since = 0
        self._outbox: dict[str, str] = {}
        self._again: set[str] = set()
        """Sent again and not acknowledged yet."""
        self._ws: ClientConnection | None = None

    async def live(self) -> None:
        """Until cancelled."""
        while True:
            address = f"ws://127.0.0.1:{next(self._listening)}/ws"
            with contextlib.suppress(ConnectionClosed, OSError, TimeoutError):
                # A browser has no pings of its own.
                async with connect(address, compression=None, proxy=None, ping_interval=None) as ws:
                    await self._say("auth", ws=ws, token=self._token)
                    await self._hear(ws)
            self._ws = None
            self._ledger["cut off"] += 1
            await asyncio.sleep(random.random())

    async def _hear(self, ws: ClientConnection) -> None:
        async for said in ws:
            frame = json.loads(said)
            op, d = frame["op"], frame["d"]
            self._ledger[op] += 1
            if op in ("hello", "resync"):
                self._ws = ws
                await self._catch_up(ws)
                await self._resend(ws)
            elif op in ("message.new", "message.edited", "message.deleted"):
                self._apply(d)
            elif op == "ack" and "chats" in d:
                (chat,) = d["chats"]
                for each in chat["items"]:
                    self._apply(each)
                self._since = chat["since"]
                if chat["limited"]:
                    await self._catch_up(ws)
            elif op == "ack" and "message" in d:
                self._outbox.pop(d["message"]["clientMsgId"], None)
                self._again.discard(d["message"]["clientMsgId"])
                if self._outbox and not self._again:
                    await self._resend(ws)
            elif op == "err":
                await asyncio.sleep(d.get("retryAfter", 1))
                await self._resend(ws)

    def _apply(self, message: Any) -> None:
        before = self.messages.get(message["seq"])
        if before is None or before["changeSeq"] < message["changeSeq"]:
            self.messages[message["seq"]] = message

    async def _catch_up(self, ws: ClientConnection) -> None:
        await self._say("sync", ws=ws, chats=[{"id": self._chat, "since": self._since}])

    async def post(self, name: str) -> None:
        """Say something, now or once there is a socket."""
        self._outbox[name] = f"Message {name}"
        if self._ws is not None:
            with contextlib.suppress(ConnectionClosed):
                await self._send(self._ws, name, self._outbox[name])

    async def _resend(self, ws: ClientConnection) -> None:
        some = list(self._outbox.items())[:10]
        self._again = {name for name, _ in some}
        for name, content in some:
            await self._send(ws, name, content)

    async def _send(self, ws: ClientConnection, name: str, content: str) -> None:
        await self._say("send", ws=ws, chat=self._chat, content=content, clientMsgId=name)

    async def _say(self, op: str, *, ws: ClientConnection, chat: str | None = None, **d: Any) -> None:
        frame = {"op": op, "id": op, "d": d} | ({"chat": chat} if chat else {})
        await ws.send(json.dumps(frame))

    def has(self) -> list[tuple[int, str, int]]:
        """What it shows."""
        return [(seq, each["content"], each["changeSeq"]) for seq, each in sorted(self.messages.items())]

    @property
    def is_done(self) -> bool:
        """Whether everything it has said was acknowledged."""
        return not self._outbox


def stored(chat: str) -> list[tuple[int, str, int]]:
    """What the database has."""
    return [(each.seq, each.content, each.change_seq) for each in said_in(chat)]


async def play(stack: Stack, valkey: Fragile, listening: list[int], rooms: dict[str, list[str]]) -> Counter[str]:
    """The whole story; what was seen of it."""
    ledger: Counter[str] = Counter()
    pages = {chat: [Page(listening, token_of(user), chat, ledger) for user in users] for chat, users in rooms.items()}
    everybody = [page for room in pages.values() for page in room]
    for number, page in enumerate(everybody):
        for _ in range(number % 2):
            next(page._listening)
    living = [asyncio.create_task(page.live()) for page in everybody]
    outage = asyncio.create_task(break_redis(stack, valkey))
    for number in range(MESSAGES):
        await random.choice(everybody).post(f"m{number}")
        await asyncio.sleep(SECONDS / MESSAGES)
    await outage
    back_at = time.monotonic()

    while not all(page.is_done for page in everybody) or any(
        page.has() != stored(chat) for chat, room in pages.items() for page in room
    ):
        late = time.monotonic() - back_at
        assert late < CAUGHT_UP_SECONDS, ledger
        await asyncio.sleep(0.2)
    ledger["caught up after ms"] = round(1000 * (time.monotonic() - back_at))
    for task in living:
        task.cancel()
    return ledger


async def break_redis(stack: Stack, valkey: Fragile) -> None:
    """In the midst of it."""
    await asyncio.sleep(SECONDS / 4)
    await asyncio.to_thread(valkey.kill)
    await asyncio.sleep(DEAD_SECONDS)
    await asyncio.to_thread(valkey.revive, stack)


def test_every_page_ends_with_exactly_what_the_database_has(gateways: tuple[Stack, list[int]], valkey: Fragile) -> None:
    """Whatever became of Redis meanwhile: nothing lost, nothing twice, all caught up soon after."""
    stack, listening = gateways
    rooms: dict[str, list[str]] = {}
    for _ in range(PAGES // ROOM):
        users = [a_user() for _ in range(ROOM)]
        rooms[a_chat(*users)] = users

    with ThreadPoolExecutor(1) as thread:  # Playwright's loop stays open in this one
        ledger = thread.submit(lambda: asyncio.run(play(stack, valkey, listening, rooms))).result()

    said = sum(len(stored(chat)) for chat in rooms)
    seen = ", ".join(f"{name} {number}" for name, number in sorted(ledger.items()))
    print(f"\nC26: {MESSAGES} sent, {said} stored, shown by each of {PAGES} pages as stored; frames: {seen}")  # noqa: T201
    assert said == MESSAGES
    assert ledger["resync"] >= PAGES - ledger["cut off"]


LATE_SECONDS = 5.0
"""More than leases and heartbeats take, for a machine that has other work."""
REVOKED_SECONDS = 30.0
"""What is promised."""
long_only = pytest.mark.skipif(not FULL, reason="it waits for what runs out by itself, a minute and more")


def token_of(user_id: str, **columns: Any) -> str:
    return signed_in(user_id, seconds=3600, **columns)["Authorization"].removeprefix("Bearer ")


def unread_of(user_id: str, chat: str, settings: Settings) -> tuple[int, int]:
    """As the cache has it, and counted anew."""
    kept = ChatReads(ChatCache(settings)).unread_in(user_id, [chat])[chat]
    with bare() as session:
        (counted,) = unread.counts(session, user_id=user_id, chat_ids=[chat])
    return kept, counted.unread


@long_only
def test_a_gateway_that_is_killed_takes_nothing_with_it(
    gateways: tuple[Stack, list[int]], valkey: Fragile, db: Settings
) -> None:
    """Whoever comes back was never away; who does not is soon known to be gone; counts are right. (Experiment C28.)"""
    stack, (doomed, other) = gateways
    anna, ben, cleo = a_user(), a_user(), a_user()
    chat, ours = a_chat(anna, ben, cleo), replace(db, redis_url=valkey.url)
    with contextlib.ExitStack() as open_:
        page, _, watcher = (
            open_.enter_context(contextlib.closing(Client(port, token_of(user))))
            for port, user in ((doomed, anna), (doomed, cleo), (other, ben))
        )
        watcher.ask("open", chat=chat)
        watcher.ask("send", chat=chat, content="Before", clientMsgId="m1")
        page.event("message.new", chat=chat)
        assert unread_of(anna, chat, ours) == (1, 1)

        stack.kill("gateway", most=1)
        killed_at = time.monotonic()
        watcher.ask("send", chat=chat, content="Meanwhile", clientMsgId="m2")
        page = open_.enter_context(contextlib.closing(Client(other, token_of(anna))))
        (caught_up,) = page.ask("sync", chats=[{"id": chat, "since": 1}])["chats"]
        assert [each["content"] for each in caught_up["items"]] == ["Meanwhile"]
        assert unread_of(anna, chat, ours) == (2, 2)

        most = LEASE_SECONDS + HEARTBEAT_SECONDS + LATE_SECONDS
        gone = watcher.event("presence", userId=cleo, online=False, seconds=most)["d"]
        seconds = time.monotonic() - killed_at
        assert gone["lastSeenAt"] is not None
        present = {each["userId"]: each["online"] for each in page.ask("open", chat=chat)["members"]}
        assert present == {anna: True, ben: True, cleo: False}
        assert [f for f in watcher.heard() if f["op"] == "presence" and f["d"]["userId"] == anna] == []
    print(f"\nC28: the gateway killed; gone is who did not come back after {seconds:.0f} s; unread 2 of 2")  # noqa: T201


@long_only
def test_a_session_that_is_revoked_without_a_word_of_it_ends_its_sockets(gateways: tuple[Stack, list[int]]) -> None:
    """At each gateway, within what is promised. (Experiment A32.)"""
    _, listening = gateways
    anna, session_id = a_user(), str(uuid.uuid4())
    token = token_of(anna, id=session_id)
    with contextlib.ExitStack() as open_:
        pages = [open_.enter_context(contextlib.closing(Client(port, token))) for port in listening]
        with Session.begin() as session:
            session.execute(text("UPDATE sessions SET revoked_at = now() WHERE id = :id"), {"id": session_id})
        revoked_at = time.monotonic()
        for page in pages:
            with pytest.raises(ConnectionClosed) as closed:
                page.until(lambda _: False, seconds=REVOKED_SECONDS)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == frames.NO_LONGER
        seconds = time.monotonic() - revoked_at
    print(f"\nA32: revoked, and both sockets closed {seconds:.0f} s later")  # noqa: T201
    assert seconds < REVOKED_SECONDS
