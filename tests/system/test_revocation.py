"""Revoked in one process, refused in all: two API processes that know nothing of each other."""

from __future__ import annotations

import contextlib
import http.client
import pathlib
import time
import uuid
from collections.abc import Iterator

import pytest

from api.tokens import Tokens
from local import ports
from models.settings import Settings
from tests.conftest import Servers
from tests.factories import TOKEN_KEY
from tests.system.stack import Stack, eventually

pytestmark = [pytest.mark.xdist_group("people"), pytest.mark.outage]
REVOKED_SECONDS = 30.0
"""What is promised."""


@pytest.fixture
def apis(tmp_path: pathlib.Path, worker_id: str) -> Iterator[tuple[Stack, list[int]]]:
    """Two of them, and nothing else: the job stays as it is. Answers also their ports."""
    servers = Servers(worker_id, purpose="_system")
    stack = Stack(tmp_path, servers, {"LLM_BASE_URL": "http://127.0.0.1:1"})
    both = [ports.free_port() for _ in range(2)]
    try:
        for port in both:
            stack.start("api", PORT=str(port))
        for port in both:
            eventually(lambda port=port: answers(port))  # type: ignore[misc]
        yield stack, both
    finally:
        stack.close()
        servers.drop()


def answers(port: int) -> bool:
    """Whether somebody is there."""
    with contextlib.suppress(OSError):
        return status(port, "/health", {}) == 200
    return False


def status(port: int, path: str, headers: dict[str, str]) -> int:
    """Of one GET on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


def test_half_a_minute_after_signing_out_every_process_refuses(apis: tuple[Stack, list[int]]) -> None:
    """Requests, and a stream that was open: its client hears nothing more."""
    stack, both = apis
    user_id, session_id, job_id = (str(uuid.uuid4()) for _ in range(3))
    stack.sql("INSERT INTO users (id, username, display_name) VALUES (%s, 'somebody', 'Somebody')", user_id)
    stack.sql(
        "INSERT INTO sessions (id, user_id, expires_at) VALUES (%s, %s, now() + interval '1 day')", session_id, user_id
    )
    token = Tokens(Settings(token_key=TOKEN_KEY)).sign(user_id=user_id, session_id=session_id)
    headers = {"Authorization": f"Bearer {token}"}
    job_id = made(both[0], headers)
    path = f"/api/jobs/{job_id}"
    stream = http.client.HTTPConnection("127.0.0.1", both[1], timeout=60)
    stream.request("GET", f"{path}/events", headers=headers)
    events = stream.getresponse()

    assert [status(port, path, headers) for port in both] == [200, 200]
    stack.sql("UPDATE sessions SET revoked_at = now() WHERE id = %s", session_id)
    revoked_at = time.monotonic()

    for port in both:
        eventually(
            lambda port=port: status(port, path, headers) == 401,  # type: ignore[misc]
            seconds=revoked_at + REVOKED_SECONDS - time.monotonic(),
        )
    heard = events.read()  # until the server ends it
    assert time.monotonic() - revoked_at < REVOKED_SECONDS
    assert heard.count(b"event: status") == 1
    stream.close()


def made(port: int, headers: dict[str, str]) -> str:
    """A job's id."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        body = '{"message": "Stay as you are"}'
        connection.request("POST", "/api/jobs", body, {**headers, "Content-Type": "application/json"})
        return (connection.getresponse().getheader("Location") or "").rpartition("/")[2]
    finally:
        connection.close()
