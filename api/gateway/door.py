"""The door: commands that are requests. What a frame asks for is asked of the application, as HTTP would.

So the same verbs are called with the same checks, limits and refusals, and none of them is written twice. No socket is
between: the application is called as a WSGI server calls it, in a thread that may wait.
"""

from __future__ import annotations

import datetime as dt
import io
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from flask import Flask
from werkzeug.exceptions import Unauthorized

from api.app import proxied
from api.callers import Caller, Callers
from api.gateway.frames import RefusedFrame
from api.jobs import wire_time
from api.pings import Pings
from models.live.chat_cache import ChatCache
from models.live.chat_reads import ChatReads

_OK = range(200, 300)


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """What a socket has to show."""

    token: str | None = None
    cookie: str = ""
    """As the handshake had it; a guest is known by it."""
    address: str = ""
    forwarded: str = ""
    """``X-Forwarded-For``, believed as far as the application believes it."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the application said."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)

    def wanted(self) -> Any:
        """The body, if it is what was asked for.

        Raises:
            RefusedFrame: it is a refusal.
        """
        if self.status in _OK:
            return self.body
        problem = self.body if isinstance(self.body, dict) else {}
        retry = self.headers.get("retry-after", "")
        refused = RefusedFrame(
            problem.get("code", "error"),
            problem.get("detail", ""),
            title=problem.get("title", "Error"),
            retry_seconds=int(retry) if retry.isdecimal() else None,
        )
        if "errors" in problem:
            refused.d["errors"] = problem["errors"]
        raise refused


class Door:
    """Asks one application."""

    def __init__(self, app: Flask, *, trusted_proxies: int = 0) -> None:
        self._app = app
        self._proxied = proxied(lambda *_: (), trusted_proxies)
        ours = app.extensions["parley"]
        self._callers: Callers = ours["callers"]
        self.cache: ChatCache = ours["chat_cache"]
        self.chat_reads: ChatReads = ours["chat_reads"]
        self._pings: Pings = ours["pings"]

    def caller(self, credentials: Credentials) -> Caller:
        """Whoever has them.

        Raises:
            Unauthorized: they are good for nothing, or nothing was shown and there are no guests.
            SQLAlchemyError: nobody knows.
        """
        environ = _environ("GET", "/", credentials, body=None)
        self._proxied(environ, None)  # so that a guest has the address that requests of it have
        with self._app.request_context(environ) as context:
            return self._callers.sender(context.request)

    def still(self, credentials: Credentials, before: Caller) -> bool:
        """Whether they are still good, and for the same; asked anew.

        Raises:
            SQLAlchemyError: nobody knows.
        """
        if before.user_id is not None:
            self._callers.forget(before.user_id)
        try:
            return self.caller(credentials).owner == before.owner
        except Unauthorized:
            return False

    def ping(self) -> dict[str, Any]:
        """How the service is: the body of `GET /api/ping`."""
        with self._app.app_context():
            return {"t": wire_time(dt.datetime.now(dt.UTC)), **self._pings.state()}

    def ask(self, method: str, path: str, credentials: Credentials, body: Any = None) -> Answer:
        """Make a request of it."""
        environ = _environ(method, path, credentials, body=body)
        said: dict[str, Any] = {}

        def start_response(status: str, headers: list[tuple[str, str]], _: Any = None) -> Any:
            said.update(
                status=int(status.split(maxsplit=1)[0]), headers={name.lower(): value for name, value in headers}
            )

        answer = self._app.wsgi_app(environ, start_response)
        try:
            text = b"".join(answer)
        finally:
            if hasattr(answer, "close"):
                answer.close()
        return Answer(status=said["status"], body=json.loads(text) if text else None, headers=said["headers"])


def _environ(method: str, path: str, credentials: Credentials, *, body: Any) -> dict[str, Any]:
    path, _, query = path.partition("?")
    data = b"" if body is None else json.dumps(body).encode()
    environ = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": quote(query, safe="=&"),
        "SERVER_NAME": "gateway",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": credentials.address,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(data),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    if credentials.token is not None:
        environ["HTTP_AUTHORIZATION"] = f"Bearer {credentials.token}"
    elif credentials.cookie:
        # No page of another site can have brought it: the handshake has looked at the origin.
        environ["HTTP_COOKIE"] = credentials.cookie
    if credentials.forwarded:
        environ["HTTP_X_FORWARDED_FOR"] = credentials.forwarded
    if body is not None:
        environ |= {"CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(data))}
    return environ
