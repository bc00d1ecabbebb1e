"""The metrics port: where a process that answers no HTTP shows Prometheus what it counts.

One request at a time: a scrape comes every few seconds, and whoever else finds the port shall cost this process no
more than one thread and `PATIENCE_SECONDS`.
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any

from prometheus_client import generate_latest
from prometheus_client.registry import Collector

from models import logs, metrics
from models.settings import Settings

PATIENCE_SECONDS = 2.0
"""For each read and write."""
LONGEST_SECONDS = 5.0
"""For all of a request: one that comes letter by letter keeps every read short."""

log = logs.logger()


def serve(settings: Settings, *more: Collector) -> None:
    """Serve this process's page from a thread, if ``METRICS_PORT`` is set. That it cannot is no reason not to work."""
    if settings.metrics_port:
        try:
            server = Server((settings.metrics_host, settings.metrics_port), settings.metrics_token, *more)
        except OSError as error:
            log.warning("metrics_not_served", port=settings.metrics_port, error=type(error).__name__)
        else:
            threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()


class Server(socketserver.TCPServer):
    """One process's; ``server_address`` has its port."""

    allow_reuse_address = True
    longest_seconds = LONGEST_SECONDS

    def __init__(self, address: tuple[str, int], token: str, *more: Collector) -> None:
        self.token, self.page = token.encode(), metrics.page(*more)
        super().__init__(address, _Scrape)

    def handle_error(self, *_: Any) -> None:
        """Whoever hung up has no further interest."""


class _Scrape(BaseHTTPRequestHandler):
    server: Server
    timeout = PATIENCE_SECONDS
    server_version, sys_version = "parley", ""

    def handle(self) -> None:
        """Hang up when it takes too long."""
        hang_up = threading.Timer(self.server.longest_seconds, self._hang_up)
        hang_up.daemon = True
        hang_up.start()
        try:
            super().handle()
        finally:
            hang_up.cancel()

    def _hang_up(self) -> None:
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def do_GET(self) -> None:
        """The page, for whoever may read it."""
        if self.path != "/metrics":
            self._answer(HTTPStatus.NOT_FOUND, b"There is nothing at this address.\n")
        elif self.server.token and not metrics.may_read(self.headers.get("Authorization", ""), self.server.token):
            self._answer(HTTPStatus.UNAUTHORIZED, b"Send METRICS_TOKEN: Authorization: Bearer <token>.\n")
        else:
            self._answer(HTTPStatus.OK, generate_latest(self.server.page))

    def _answer(self, status: HTTPStatus, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", metrics.CONTENT_TYPE)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Scrapes would fill the log, and say nothing."""
