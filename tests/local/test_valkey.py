from __future__ import annotations

import os
import pathlib
import signal
import stat
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis

from local import valkey
from local.embedded import RunningServer


@pytest.fixture
def server(tmp_path: pathlib.Path) -> Iterator[RunningServer]:
    """A durable server of the test's own."""
    running = valkey.start(tmp_path)
    yield running
    running.stop()


def ask(server: RunningServer, *command: str) -> Any:
    """The answer to one command."""
    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        return client.execute_command(*command)


def test_nobody_gets_in_without_the_password(server: RunningServer, tmp_path: pathlib.Path) -> None:
    """It stands in a private file, not on the command line."""
    parts = urlsplit(server.url)
    with redis.Redis(port=parts.port or 0) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()

    assert str(parts.password) not in " ".join(server.program.command)
    assert stat.S_IMODE((tmp_path / "valkey" / "valkey.conf").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "keys" / "valkey-password").stat().st_mode) == 0o600


def test_it_refuses_to_forget_when_memory_is_full(server: RunningServer) -> None:
    """A queue that drops messages silently is no queue."""
    assert ask(server, "CONFIG", "GET", "maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_what_was_written_is_there_after_kill_9(server: RunningServer, tmp_path: pathlib.Path) -> None:
    """It writes to the file at once; only the disk's own flush may be a second late."""
    ask(server, "SET", "kept", "yes")
    os.kill(server.pid, signal.SIGKILL)
    server.process.wait()

    again = valkey.start(tmp_path)

    assert ask(again, "GET", "kept") == "yes"
    again.stop()


def test_a_server_for_a_test_writes_nothing(tmp_path: pathlib.Path) -> None:
    """Its data is gone when it stops."""
    server = valkey.start(tmp_path, durable=False)
    ask(server, "SET", "forgotten", "yes")
    server.stop()

    again = valkey.start(tmp_path, durable=False)

    assert ask(again, "GET", "forgotten") is None
    again.stop()
