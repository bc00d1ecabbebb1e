"""Writers of one chat wait for each other without a connection, in the order in which they came, and not for ever."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg2
import pytest
from flask import Flask

from api.writers import Writers
from models import base
from models.base import Session
from models.errors import ChatBusy
from models.settings import Settings
from tests.api.test_chats import Someone, anna, ben, code
from tests.conftest import ROOT
from tests.factories import a_chat

__all__ = ["anna", "ben"]
WRITERS = 10
LONGEST_SECONDS = 60.0


def until(holds: Callable[[], bool]) -> None:
    """Look again and again."""
    gave_up = time.monotonic() + LONGEST_SECONDS
    while not holds():
        assert time.monotonic() < gave_up
        time.sleep(0.005)


def send(someone: Someone, chat_id: str, client_msg_id: str = "1") -> Any:
    return someone.ask("POST", f"/{chat_id}/messages", {"content": "Hello", "clientMsgId": client_msg_id})


def writers_of(app: Flask) -> Writers:
    found: Writers = app.extensions["parley"]["writers"]
    return found


@contextmanager
def held(settings: Settings, chat_id: str) -> Iterator[None]:
    """The chat's row is somebody else's."""
    with psycopg2.connect(settings.libpq_url) as other, other.cursor() as cursor:
        cursor.execute("SELECT id FROM chats WHERE id = %s FOR NO KEY UPDATE", (chat_id,))
        try:
            yield
        finally:
            other.rollback()
    other.close()


def test_who_waits_to_write_into_a_chat_holds_no_connection(
    make_app: Callable[..., Flask], db: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten of them leave seven connections to whoever writes elsewhere; once they may, all that they said is stored."""
    monkeypatch.setattr(base, "LOCK_SECONDS", int(LONGEST_SECONDS))
    app = make_app(db_pool_size=2, db_answer_seconds=LONGEST_SECONDS, db_statement_seconds=LONGEST_SECONDS)
    writers, pool = writers_of(app), Session.kw["bind"].pool
    people = [Someone(app.test_client(), f"writer-{number}") for number in range(WRITERS)]
    neighbour = Someone(app.test_client(), "neighbour")
    chat_id, elsewhere = a_chat(*(each.id for each in people)), a_chat(neighbour.id)

    with ThreadPoolExecutor(WRITERS) as threads:
        with held(db, chat_id):
            answers = [threads.submit(send, each, chat_id) for each in people]
            until(lambda: writers.lines.get(chat_id) == WRITERS - 1)
            until(lambda: pool.checkedout() == 1)
            beside = send(neighbour, elsewhere), neighbour.ask("GET", f"/{chat_id}/messages")
            assert [each.status_code for each in beside] == [201, 404]
            assert not any(answer.done() for answer in answers)
        said = [answer.result() for answer in answers]

    assert {each.status_code for each in said} == {201}
    assert sorted(each.get_json()["message"]["seq"] for each in said) == list(range(1, WRITERS + 1))
    assert writers.lines == {}


def test_who_comes_to_no_turn_is_told_to_come_again(app: Flask, anna: Someone, ben: Someone) -> None:
    """By a 503 with a code of its own. Nothing was stored, so the same message is new when it comes again."""
    chat_id = a_chat(anna.id, ben.id)
    app.extensions["parley"]["writers"] = writers = Writers(answer_seconds=0.01)

    with writers.one_by_one(chat_id):
        refused = send(ben, chat_id)
        in_capitals = ben.ask("DELETE", f"/{chat_id.upper()}/messages/1")

    for answer in (refused, in_capitals):
        assert code(answer) == (503, "chat_busy", None)
        assert answer.headers["Retry-After"] == "2"
    assert send(ben, chat_id).get_json()["message"]["seq"] == 1
    assert writers.lines == {}


def test_an_error_in_the_middle_holds_nobody_up(app: Flask, anna: Someone, ben: Someone) -> None:
    """Whatever it was: a chat that is not theirs, a message that is not there, a name that nothing has."""
    chat_id = a_chat(anna.id)

    answers = [
        send(ben, chat_id),
        anna.ask("PATCH", f"/{chat_id}/messages/7", {"content": "No"}),
        send(anna, "no-chat"),
    ]

    assert [code(each)[1] for each in answers] == ["chat_not_found", "message_not_found", "chat_not_found"]
    assert writers_of(app).lines == {}


def test_writers_come_to_their_turn_in_the_order_in_which_they_came() -> None:
    """And writers of another chat at once."""
    writers, came = Writers(answer_seconds=LONGEST_SECONDS), []

    def write(number: int) -> None:
        with writers.one_by_one("a chat"):
            came.append(number)

    with ThreadPoolExecutor(WRITERS) as threads:
        with writers.one_by_one("a chat"):
            for number in range(WRITERS):
                threads.submit(write, number)
                until(lambda number=number: writers.lines["a chat"] == number + 1)  # type: ignore[misc]
            with writers.one_by_one("another"):
                assert writers.lines == {"a chat": WRITERS, "another": 0}
            assert came == []
        until(lambda: len(came) == WRITERS)

    assert came == list(range(WRITERS))
    assert writers.lines == {}


def test_a_turn_that_comes_when_its_time_is_up_is_handed_on() -> None:
    """Many who give up at about the moment at which they are called: nobody has it twice, and it is not lost."""
    writers, inside, most = Writers(answer_seconds=0.001), threading.Semaphore(1), 300

    def write(_: int) -> bool:
        try:
            with writers.one_by_one("a chat"):
                assert inside.acquire(blocking=False)
                time.sleep(0.0005)
                inside.release()
        except ChatBusy:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        wrote = list(threads.map(write, range(most)))

    assert any(wrote)
    assert writers.lines == {}


KILLED = """
from gevent import monkey
monkey.patch_all()
import gevent
from api.writers import Writers

writers, came = Writers(answer_seconds=60), []

def write(name, seconds=0):
    with writers.one_by_one("a chat"):
        came.append(name)
        gevent.sleep(seconds)

holder = gevent.spawn(write, "holder", 60)
waiter, called, last = [gevent.spawn(write, name) for name in ("waiter", "called", "last")]
gevent.sleep(0)
print(writers.lines)
waiter.kill()
print(writers.lines)
holder.kill(block=False)
gevent.sleep(0)
called.kill()
last.join(10)
print(came[0], came[-1], "waiter" in came, writers.lines)
"""


def test_a_request_that_is_killed_gives_its_place_back() -> None:
    """While it waits, while it writes, and at the moment at which it is called."""
    said = subprocess.run([sys.executable, "-c", KILLED], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert said.splitlines() == ["{'a chat': 3}", "{'a chat': 2}", "holder last False {}"]
