"""The seed's table: what the first implementation promised and measured of its live chat, beside what ours takes.

One message or event at a time, from one page to another of a room of ten, across two gateways: the delays of a machine
that is not full. Each is from the moment before a page sends until a page has the answer or the event, over loopback,
so this process's own part is in it. While somebody types, and somebody goes, PostgreSQL writes down every statement:
but for the look at sessions every 20 s, there should be none.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from benchmarks.errors import Broken
from benchmarks.product import Product, eventually

TIMES = 100
PACE_SECONDS = 0.06
"""Between two commands of one page, which may send 20 a second."""
ANSWER_SECONDS = 10.0
PEOPLE = 10_000
BY_THE_CLOCK = ("sessions", "reports", "samples", "BEGIN", "COMMIT")
"""Of whoever is signed in, and of what each process has counted, in transactions."""
STATEMENTS = "database queries a minute for presence and typing"
SEED = {
    "send (sender)": "40 ms",
    "send (recipient)": "90 ms, p95 below 100",
    "online status": "8 ms, goal 20",
    "typing": "5 ms, goal 10",
    "unread": "8 ms, goal 20",
    "mark seen": "15 ms",
    STATEMENTS: "none",
    "Redis for 10,000 users": "below 2 GB",
    "delivered": "99.9 %",
}
"""S4-27 and S4-83 to S4-94: after its optimisation, and its goals."""


class Tab:
    """One socket that asks and waits, one thing after the other."""

    def __init__(self, ws: ClientConnection) -> None:
        self._ws = ws

    @classmethod
    async def connected(cls, port: int) -> Tab:
        """Not yet signed in."""
        return cls(await connect(f"ws://127.0.0.1:{port}/ws", compression=None, proxy=None, ping_interval=None))

    @classmethod
    async def open(cls, port: int, token: str) -> Tab:
        """Greeted."""
        tab = await cls.connected(port)
        await tab.say("auth", token=token)
        await tab.heard(lambda frame: frame["op"] == "hello")
        return tab

    async def say(self, op: str, *, chat: str | None = None, **d: Any) -> str:
        """Send a command; its id."""
        name = uuid.uuid4().hex
        await self._ws.send(json.dumps({"op": op, "id": name, "d": d} | ({"chat": chat} if chat else {})))
        return name

    async def heard(self, fits: Callable[[Any], bool]) -> float:
        """When the first frame that fits came; what came before it is passed over.

        Raises:
            Broken: none did.
        """
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                while not fits(json.loads(await self._ws.recv())):
                    pass
        except TimeoutError:
            raise Broken("what was waited for did not come") from None
        return time.monotonic()

    async def close(self) -> None:
        """Go away."""
        await self._ws.close()


class Table:
    """Measures with the people of one room, none of whom is connected.

    Args:
        people: ``(token, user_id)`` of each.
    """

    def __init__(
        self, product: Product, listening: Sequence[int], chat: str, people: Sequence[tuple[str, str]]
    ) -> None:
        self._product, self._listening, self._chat, self._people = product, listening, chat, people
        self.rows: dict[str, str] = {}

    async def measure(self) -> None:
        """All of it."""
        (anna, anna_id), (ben, _), *_ = self._people
        sender, reader, phone = [
            await Tab.open(self._listening[at % 2], token) for at, token in enumerate((anna, ben, anna))
        ]
        for tab in (sender, reader, phone):
            answer = await tab.say("open", chat=self._chat)
            await tab.heard(_answers(answer))
        await self._send(sender, reader, phone)
        await self._read(sender, reader, phone)
        gone = await self._online(reader)
        before, begun = self._statements(), time.monotonic()
        await self._typing(sender, reader, anna_id)
        await reader.heard(_is_presence(gone, online=False))
        minutes = (time.monotonic() - begun) / 60
        self.rows[STATEMENTS] = f"{(self._statements() - before) / minutes:.0f}"
        for tab in (sender, reader, phone):
            await tab.close()

    async def _send(self, sender: Tab, reader: Tab, phone: Tab) -> None:
        async def once() -> tuple[float, float]:
            name, begun = uuid.uuid4().hex, time.monotonic()
            answer = await sender.say("send", chat=self._chat, content="Hello", clientMsgId=name)
            ended = await asyncio.gather(
                sender.heard(_answers(answer)),
                reader.heard(_is_message(name)),
            )
            await phone.heard(_is_message(name))
            return ended[0] - begun, ended[1] - begun

        taken = []
        for _ in range(TIMES):
            taken.append(await once())
            await asyncio.sleep(PACE_SECONDS)
        self.rows["send (sender)"] = _marks([each for each, _ in taken])
        self.rows["send (recipient)"] = _marks([each for _, each in taken])

    async def _read(self, sender: Tab, reader: Tab, phone: Tab) -> None:
        """What is read on one device: acknowledged there; and on the other, what is left."""
        seen, unread = [], []
        for seq in range(1, TIMES + 1):
            name = uuid.uuid4().hex
            await reader.say("send", chat=self._chat, content="Hello", clientMsgId=name)
            for tab in (reader, phone):
                await tab.heard(_is_message(name))
            begun = time.monotonic()
            answer = await sender.say("seen", chat=self._chat, seq=TIMES + seq)
            ended = await asyncio.gather(
                sender.heard(_answers(answer)), phone.heard(lambda frame: frame["op"] == "unread")
            )
            seen.append(ended[0] - begun)
            unread.append(ended[1] - begun)
            await asyncio.sleep(PACE_SECONDS)
        self.rows["mark seen"], self.rows["unread"] = _marks(seen), _marks(unread)

    async def _typing(self, sender: Tab, reader: Tab, sender_id: str) -> None:
        async def once(on: bool) -> float:  # noqa: FBT001
            begun = time.monotonic()
            await sender.say("typing", chat=self._chat, on=on)
            d = {"userId": sender_id, "on": on}
            return await reader.heard(lambda frame: frame["op"] == "typing" and frame["d"] == d) - begun

        taken = []
        for number in range(TIMES):
            taken.append(await once(number % 2 == 0))
            await asyncio.sleep(PACE_SECONDS)
        self.rows["typing"] = _marks(taken)

    async def _online(self, reader: Tab) -> str:
        """Of those who have not been here before, as who comes back soon was never away; answers the last of them."""
        taken = []
        for token, user_id in self._people[2:]:
            tab = await Tab.connected(self._listening[0])
            begun = time.monotonic()
            await tab.say("auth", token=token)
            heard = await reader.heard(_is_presence(user_id, online=True))
            taken.append(heard - begun)
            await tab.close()
        self.rows["online status"] = f"{_marks(taken)}, with signing in"
        return self._people[-1][1]

    def _statements(self) -> int:
        """So far, but for those that are sent whatever anybody does."""
        log = (self._product.folder / "logs" / "postgres.log").read_text(errors="replace")
        return sum(not any(each in statement for each in BY_THE_CLOCK) for statement in log.split("statement: ")[1:])

    def write_statements_down(self) -> None:
        """From now on."""
        self._product.sql("ALTER SYSTEM SET log_statement = 'all'")
        self._product.sql("SELECT pg_reload_conf()")
        eventually(
            lambda: self._product.sql("SHOW log_statement") == [("all",)], seconds=5.0, what="statements are logged"
        )

    def printed(self) -> str:
        """As a table."""
        return "\n".join(
            ["| | seed | ours: p50, p95 |", "|---|---|---|"]
            + [f"| {name} | {seed} | {self.rows.get(name, 'not measured')} |" for name, seed in SEED.items()]
        )


def _answers(name: str) -> Callable[[Any], bool]:
    return lambda frame: frame.get("id") == name


def _is_message(name: str) -> Callable[[Any], bool]:
    return lambda frame: frame["op"] == "message.new" and frame["d"]["clientMsgId"] == name


def _is_presence(user_id: str, *, online: bool) -> Callable[[Any], bool]:
    return lambda frame: frame["op"] == "presence" and (frame["d"]["userId"], frame["d"]["online"]) == (user_id, online)


def _marks(seconds: Sequence[float]) -> str:
    marks = statistics.quantiles(seconds, n=20)
    return f"{1000 * marks[9]:.1f}, {1000 * marks[18]:.1f} ms"
