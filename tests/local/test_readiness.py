from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from local import readiness

UP = {"status": "up"}


@pytest.fixture
def api() -> Iterator[Callable[[int, str], int]]:
    """An API that says one thing about itself; returns its port."""
    servers: list[HTTPServer] = []

    def answering(status: int, body: str) -> int:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: object) -> None:
                pass

        servers.append(HTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, args=(0.01,)).start()
        return int(servers[-1].server_port)

    yield answering
    for server in servers:
        server.shutdown()
        server.server_close()


def test_ready_is_what_says_ready(api: Callable[[int, str], int]) -> None:
    """Nothing else counts."""
    assert readiness.ask("127.0.0.1", api(200, '{"status": "ready", "components": {}}')).is_ready


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, '{"status": "degraded"}'),
        (503, '{"status": "ready"}'),
        (200, "<html>ready</html>"),
        (200, "[]"),
        (404, ""),
    ],
)
def test_anything_else_is_not_ready(api: Callable[[int, str], int], status: int, body: str) -> None:
    """At a start every component is expected, and another program may answer at that port."""
    assert not readiness.ask("127.0.0.1", api(status, body)).is_ready


def test_the_missing_components_are_named(api: Callable[[int, str], int]) -> None:
    """What cannot be known because the database is down is not named beside it."""
    parts = {"database": {"status": "down"}, "worker": {"status": "unknown"}, "redis": UP}
    body = json.dumps({"status": "unready", "components": parts})

    assert readiness.ask("127.0.0.1", api(503, body)).missing == ["database"]


def test_an_api_nobody_hears_is_what_is_missing() -> None:
    """Neither a refused connection nor silence is an error here."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        unheard = readiness.ask("127.0.0.1", silent.getsockname()[1])
    refused = readiness.ask("127.0.0.1", 1)

    assert (unheard.missing, refused.missing) == (["api"], ["api"])


@pytest.mark.parametrize(("host", "reached"), [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("10.1.2.3", "10.1.2.3")])
def test_a_server_that_listens_everywhere_is_asked_here(host: str, reached: str) -> None:
    """0.0.0.0 is no address one can connect to on every system."""
    assert readiness.reachable(host) == reached
