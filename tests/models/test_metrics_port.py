"""The port of a process that answers no other HTTP."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import socket
import threading
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from models import metrics_port
from models.metrics_port import Server
from models.settings import SettingRefused, Settings, from_environment

TOKEN = "a-scrapers-token-of-32-letters-1"


@pytest.fixture
def server() -> Iterator[Server]:
    """One that serves, with a token."""
    server = Server(("127.0.0.1", 0), TOKEN)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(5)


def ask(server: Server, path: str = "/metrics", token: str = TOKEN, method: str = "GET") -> tuple[int, str]:
    host, port = server.server_address[:2]
    with contextlib.closing(http.client.HTTPConnection(str(host), int(port), timeout=10)) as connection:
        connection.request(method, path, headers={"Authorization": f"Bearer {token}"})
        response = connection.getresponse()
        return response.status, response.read().decode()


def test_it_shows_what_this_process_counts_to_whoever_has_the_token(server: Server) -> None:
    """And says nothing else, to anybody."""
    status, page = ask(server)

    assert status == 200
    assert "# TYPE parley_jobs_moved_total counter" in page
    assert "process_resident_memory_bytes " in page
    assert [ask(server, token="x")[0], ask(server, token="")[0]] == [401, 401]
    assert ask(server, path="/")[0] == 404
    assert ask(server, method="POST")[0] == 501


def test_whoever_says_nothing_holds_it_for_a_moment_only(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """One request at a time must not mean: one that never ends."""
    monkeypatch.setattr(metrics_port._Scrape, "timeout", 0.1)

    with socket.create_connection(server.server_address[:2], timeout=5):  # type: ignore[arg-type]
        assert ask(server)[0] == 200


def test_whoever_speaks_letter_by_letter_is_hung_up_on(server: Server) -> None:
    """Each of its reads is short."""
    server.longest_seconds = 0.2
    connected, ended = threading.Event(), threading.Event()

    def speak() -> None:
        with socket.create_connection(server.server_address[:2], timeout=5) as slow, contextlib.suppress(OSError):  # type: ignore[arg-type]
            connected.set()
            while not ended.wait(0.02):
                slow.sendall(b"G")

    thread = threading.Thread(target=speak)
    thread.start()
    try:
        assert connected.wait(5)
        assert ask(server)[0] == 200
    finally:
        ended.set()
        thread.join()


def test_a_port_that_is_taken_is_no_reason_not_to_work(server: Server) -> None:
    """It is said, and the process goes on."""
    taken = dataclasses.replace(Settings(), metrics_port=server.server_address[1])

    with capture_logs() as lines:
        metrics_port.serve(taken)
        metrics_port.serve(Settings())  # which has none

    assert [line["event"] for line in lines] == ["metrics_not_served"]


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.5", "::"])
def test_an_open_port_demands_a_token(host: str) -> None:
    """How much a company asks its models is nobody else's business."""
    from_environment({"METRICS_PORT": "9400"})
    from_environment({"METRICS_PORT": "9400", "METRICS_HOST": host, "METRICS_TOKEN": TOKEN})

    with pytest.raises(SettingRefused, match=r"^METRICS_TOKEN: "):
        from_environment({"METRICS_PORT": "9400", "METRICS_HOST": host})
