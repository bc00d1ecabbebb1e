"""Many who write into one chat by sockets leave the threads of a gateway to the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import psycopg2
import pytest

from api.gateway.frames import RefusedFrame
from api.gateway.lines import AT_ONCE, Lines
from models.settings import Settings
from tests.factories import a_chat, a_user
from tests.gateway.clients import Client
from tests.gateway.conftest import Live
from tests.system.stack import eventually

pytestmark = pytest.mark.xdist_group("gateway")
WRITERS = 12
"""More than a gateway has threads."""


def test_a_chat_whose_row_is_held_stops_nobody_elsewhere(
    live: Live, db: Settings, client: Callable[..., Client]
) -> None:
    """Those who wait to write into it wait in its line, and are all answered in the end."""
    people = [a_user() for _ in range(WRITERS)]
    neighbour = a_user()
    chat, elsewhere = a_chat(*people), a_chat(neighbour)
    writers, page = [client(each) for each in people], client(neighbour)
    other = psycopg2.connect(db.libpq_url)
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT id FROM chats WHERE id = %s FOR NO KEY UPDATE", (chat,))
        for writer in writers:
            writer.say("send", chat=chat, frame_id="s", content="Hello", clientMsgId="m")
        eventually(lambda: live.gateway.lines.people(chat) == WRITERS)

        assert page.ask("send", chat=elsewhere, content="Hello", clientMsgId="m")["message"]["seq"] == 1
    finally:
        other.close()

    answers = [writer.until(lambda frame: frame.get("id") == "s")["op"] for writer in writers]
    assert set(answers) <= {"ack", "err"}  # a machine that stands still meanwhile has some give up
    assert "ack" in answers
    eventually(lambda: live.gateway.lines.people(chat) == 0)


def test_whose_turn_does_not_come_is_told_so_and_stands_in_no_line() -> None:
    """The next gets the turn when it is there."""

    async def run() -> None:
        lines = Lines(seconds=0.05)
        async with lines.turn("a"), lines.turn("a"):
            with pytest.raises(RefusedFrame) as refused:
                async with lines.turn("a"):
                    raise AssertionError
            assert (lines.people("a"), lines.people("b")) == (2, 0)
        async with lines.turn("a"), lines.turn("a"):
            assert lines.people("a") == 2
        assert (refused.value.d["code"], refused.value.d["retryAfter"]) == ("chat_busy", 2)
        assert lines.people("a") == 0

    asyncio.run(run())


def test_who_goes_away_in_line_or_at_work_hands_on() -> None:
    """A socket that is closed has its command cancelled."""

    async def run() -> None:
        lines = Lines(seconds=5)
        at_work, came = asyncio.Event(), []

        async def write(name: str, *, work: float) -> None:
            async with lines.turn("a"):
                at_work.set()
                await asyncio.sleep(work)
                came.append(name)

        first = [asyncio.create_task(write(f"first {number}", work=60)) for number in range(AT_ONCE)]
        await at_work.wait()
        in_line, last = (asyncio.create_task(write(name, work=0)) for name in ("in line", "last"))
        while lines.people("a") < AT_ONCE + 2:  # noqa: ASYNC110
            await asyncio.sleep(0)
        in_line.cancel()
        first[0].cancel()
        await last
        first[1].cancel()
        await asyncio.gather(*first, in_line, return_exceptions=True)
        assert came == ["last"]
        assert lines.people("a") == 0

    asyncio.run(run())
