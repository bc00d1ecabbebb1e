"""A worker killed between the model's answer and its commit, a hundred times: each mention has one message of the AI.

The chat's row is held from outside, so that the worker has the answer, has written that the job is completed, and
waits for the chat in order to post: there it is killed. (`tests/models/test_deliveries.py` has the fast form.)

``PARLEY_CHAOS=full .venv/bin/python -m pytest tests/chaos/test_replies.py -n 0 -s`` (about 8 min).
"""

from __future__ import annotations

import pathlib
import time
import uuid
from collections.abc import Iterator

import psycopg2
import pytest

from tests.conftest import Servers
from tests.fake_llm import FakeLLM
from tests.system.stack import Stack, eventually

pytestmark = pytest.mark.xdist_group("system")
KILLS, CHATS = 100, 10
HOLD = "SELECT id FROM chats WHERE id = %s FOR UPDATE"
WAITS = """
    SELECT 1 FROM pg_stat_activity JOIN pg_locks USING (pid)
    WHERE datname = current_database() AND application_name = 'parley worker' AND NOT granted
"""
POSTED = """
    SELECT asked.chat_id, asked.seq, count(said) AS answers FROM messages AS asked
    LEFT JOIN messages AS said ON said.chat_id = asked.chat_id AND said.is_ai AND said.job_id = asked.job_id
    WHERE NOT asked.is_ai GROUP BY 1, 2
"""


@pytest.fixture
def llm() -> Iterator[FakeLLM]:
    """A model that leaves time to hold the chat."""
    with FakeLLM(latency_ms=200, text="Yes.") as server:
        yield server


@pytest.fixture
def stack(tmp_path: pathlib.Path, worker_id: str, llm: FakeLLM) -> Iterator[Stack]:
    """A product of its own, that soon misses a worker."""
    servers = Servers(worker_id, purpose="_system")
    servers.erase_redis()
    settings = {"LLM_BASE_URL": llm.base_url, "LLM_TOTAL_SECONDS": "20", "REGISTRATION": "open", "LEASE_SECONDS": "2"}
    with Stack(tmp_path, servers, settings).running() as mine:
        yield mine
    servers.drop()


@pytest.mark.timeout(1800)
def test_each_mention_is_answered_once_though_its_worker_was_killed_before_the_commit(
    stack: Stack, llm: FakeLLM
) -> None:
    """What was not committed never was: the next attempt asks again, and posts."""
    body = {"username": f"user-{uuid.uuid4().hex[:8]}", "password": uuid.uuid4().hex}
    token = stack.request("POST", "/api/auth/register", body)[1]["accessToken"]
    headers = {"Authorization": f"Bearer {token}"}
    group = {"type": "group", "title": "Questions", "members": []}
    chats = [str(stack.request("POST", "/api/chats", group, **headers)[1]["chatId"]) for _ in range(CHATS)]
    began = time.monotonic()

    for kill in range(KILLS):
        chat = chats[kill % CHATS]
        said = {"content": f"@AI is it {kill}?", "clientMsgId": str(kill)}
        status, sent = stack.request("POST", f"/api/chats/{chat}/messages", said, **headers)
        assert status == 201, sent
        killed_before_the_commit(stack, chat)
        stack.start("worker")
        eventually(lambda job=sent["message"]["jobId"]: is_completed(stack, job))  # type: ignore[misc]
    seconds = time.monotonic() - began

    answers = [int(row["answers"]) for row in stack.sql(POSTED)]
    ends = stack.sql("SELECT outcome, count(*) AS n FROM attempts GROUP BY outcome")
    outcomes = {row["outcome"]: int(row["n"]) for row in ends}
    assert answers == [1] * KILLS
    assert outcomes == {"completed": KILLS, "lost": KILLS}
    print(  # noqa: T201
        f"\n{KILLS} workers killed with an answer in hand in {seconds:.0f} s: {len(answers)} mentions, "
        f"{sum(answers)} messages of the AI, {llm.stats()['requests']} calls to the model"
    )


def killed_before_the_commit(stack: Stack, chat: str) -> None:
    """Kill the worker when it has the answer and waits to post it."""
    holder = psycopg2.connect(stack.servers.environment["DATABASE_URL"])
    try:
        with holder.cursor() as cursor:
            cursor.execute(HOLD, [chat])
        eventually(lambda: stack.sql(WAITS))
        stack.kill("worker")
    finally:
        holder.close()


def is_completed(stack: Stack, job_id: str) -> bool:
    return bool(stack.sql("SELECT 1 FROM jobs WHERE id = %s AND status = 'completed'", job_id))
