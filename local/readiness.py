"""Readiness: what the API says about itself and the processes behind it."""

from __future__ import annotations

import contextlib
import http.client
import json
from dataclasses import dataclass, field
from typing import Any, Final

PATH: Final = "/health/ready"
GATEWAY_PATH: Final = "/health"
ANSWER_SECONDS: Final = 1.0
EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - compared, not listened on


@dataclass(frozen=True)
class Answer:
    """What ``/health/ready`` said; all empty when nobody answered."""

    status: int = 0
    body: dict[str, Any] = field(default_factory=dict)

    @property
    def is_ready(self) -> bool:
        """Degraded is not ready: at a start every component is expected."""
        return self.status == http.HTTPStatus.OK and self.body.get("status") == "ready"

    @property
    def missing(self) -> list[str]:
        """Components that are not up, as the API calls them; the API itself if it said nothing of them.

        What is *unknown* is left out: it cannot be known because of another that is down.
        """
        components = self.body.get("components", {"api": {"status": "down"}})
        return [name for name, component in components.items() if component["status"] not in ("up", "unknown")]


def reachable(host: str) -> str:
    """The address at which this machine reaches a server that listens on ``host``."""
    return EVERYWHERE.get(host, host)


def answers(host: str, port: int) -> bool:
    """Whether the gateway does: it knows no components, and says only that it is there."""
    connection = http.client.HTTPConnection(reachable(host), port, timeout=ANSWER_SECONDS)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("GET", GATEWAY_PATH)
        return connection.getresponse().status == http.HTTPStatus.OK
    return False


def ask(host: str, port: int) -> Answer:
    """Ask the API. No proxy of the environment is used; a silence of 1 s counts as no answer."""
    connection = http.client.HTTPConnection(reachable(host), port, timeout=ANSWER_SECONDS)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException, ValueError):
        connection.request("GET", PATH)
        response = connection.getresponse()
        body = json.loads(response.read())
        return Answer(response.status, body if isinstance(body, dict) else {})
    return Answer()
