"""A chat of 5,000 messages, summarised step by step, while what does it is killed in the middle of steps.

``PARLEY_CHAOS=full .venv/bin/python -m pytest tests/chaos/test_summaries.py -n 0 -s`` (about 2 min).
"""

from __future__ import annotations

import itertools
import pathlib
import time
import uuid
from collections.abc import Iterator

import pytest

from tests.conftest import Servers
from tests.fake_llm import FakeLLM
from tests.system.stack import Stack, eventually

pytestmark = pytest.mark.xdist_group("system")
MESSAGES, KILLS = 5_000, 10
FILL = """
    INSERT INTO messages (chat_id, seq, sender_id, client_msg_id, content, change_seq)
    SELECT chats.id, n, created_by, n::text, 'Message ' || n, n FROM chats, generate_series(1, %s) AS n
    WHERE chats.id = %s
"""


@pytest.fixture
def llm() -> Iterator[FakeLLM]:
    """A model that takes its time, and finds one thing to say."""
    with FakeLLM(latency_ms=200, text='{"summary": "They talked."}') as server:
        yield server


@pytest.fixture
def stack(tmp_path: pathlib.Path, worker_id: str, llm: FakeLLM) -> Iterator[Stack]:
    """A product of its own."""
    servers = Servers(worker_id, purpose="_system")
    servers.erase_redis()
    settings = {"LLM_BASE_URL": llm.base_url, "LLM_TOTAL_SECONDS": "20", "REGISTRATION": "open"}
    with Stack(tmp_path, servers, settings).running("worker-batch") as mine:
        yield mine
    servers.drop()


def folded(stack: Stack, chat_id: str) -> int:
    rows = stack.sql("SELECT summarized_seq AS seq FROM ai_cache_contexts WHERE chat_id = %s", chat_id)
    return int(rows[0]["seq"]) if rows else 0


def is_asked(stack: Stack) -> bool:
    return bool(stack.sql("SELECT 1 FROM jobs WHERE purpose = 'summary' AND status = 'analyzing'"))


@pytest.mark.timeout(600)
def test_each_message_is_folded_once_whatever_is_killed(stack: Stack, llm: FakeLLM) -> None:
    """The step that was lost is made again, from the same messages; nobody has to begin anew."""
    body = {"username": f"user-{uuid.uuid4().hex[:8]}", "password": uuid.uuid4().hex}
    token = stack.request("POST", "/api/auth/register", body)[1]["accessToken"]
    headers = {"Authorization": f"Bearer {token}"}
    chat_id = stack.request("POST", "/api/chats", {"type": "ai"}, **headers)[1]["chatId"]
    stack.sql(FILL, MESSAGES, chat_id)
    stack.sql("UPDATE chats SET last_seq = %s, last_change_seq = %s WHERE id = %s", MESSAGES, MESSAGES, chat_id)
    began = time.monotonic()

    assert stack.request("POST", f"/api/chats/{chat_id}/summarize", **headers)[0] == 202
    for kill in range(1, KILLS + 1):
        eventually(lambda least=400 * kill: folded(stack, chat_id) >= least and is_asked(stack))  # type: ignore[misc]
        stack.kill("worker-batch")
        stack.start("worker-batch")
        if kill % 3 == 0:
            stack.kill("dispatcher")
            stack.start("dispatcher")
    eventually(lambda: folded(stack, chat_id) == MESSAGES - 20)
    seconds = time.monotonic() - began

    versions = stack.sql("SELECT summarized_seq AS seq FROM past_summaries ORDER BY version")
    steps = [int(row["seq"]) for row in versions] + [MESSAGES - 20]
    ends = stack.sql("SELECT outcome, count(*) AS n FROM attempts GROUP BY outcome")
    outcomes = {row["outcome"]: int(row["n"]) for row in ends}
    assert [later - earlier for earlier, later in itertools.pairwise([0, *steps])] == [100] * 49 + [80]
    assert outcomes["completed"] == 50
    assert outcomes["lost"] >= KILLS // 2
    assert set(outcomes) <= {"completed", "lost"}
    assert stack.request("GET", f"/api/chats/{chat_id}/summary", **headers)[1]["version"] == 50
    print(  # noqa: T201
        f"\n{MESSAGES} messages in {len(steps)} steps and {seconds:.0f} s; {outcomes['lost']} attempts lost, "
        f"{llm.stats()['requests']} calls to the model"
    )
