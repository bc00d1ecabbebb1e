#!/usr/bin/env python3
"""Ask a Parley whether it works: is it alive, is it ready, one job, one message; each with the time it took.

  make verify                                   the one on this machine
  PARLEY_URL=https://parley.example scripts/verify.py

It needs Python 3.11 and nothing else. What it says stays: a job that ends with the others of its age. The chat it
makes is deleted again.

Exit codes:
  0    all that was asked holds
  1    something does not; the line says what
  2    wrong use

Environment: PARLEY_URL, the server's address (http://127.0.0.1:8000); PARLEY_API_KEY, a key of yours with the scopes
jobs:read, jobs:write, chats:read and chats:write (without the last two no message is tried; without a key you are a
guest, and none is either).
"""

from __future__ import annotations

import functools
import http.client
import json
import os
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_SECONDS, JOB_SECONDS, WAIT_SECONDS = 10.0, 60.0, 5
FINISHED = ("completed", "failed", "cancelled")
HOLDS, DOES_NOT_HOLD, WRONG_USE = 0, 1, 2


class Wrong(Exception):
    """Something does not hold; the message is what."""


class OutOfScope(Wrong):
    """The key may not do this, whether or not it works."""


class Server:
    """One Parley."""

    def __init__(self, url: str, key: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"PARLEY_URL must be an address as http://127.0.0.1:8000; this is {url!r}.")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connect: Callable[[], http.client.HTTPConnection] = functools.partial(
            kind, parts.hostname, parts.port, timeout=TIMEOUT_SECONDS
        )
        self._headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> dict[str, Any]:
        """The answer's body.

        Raises:
            OutOfScope: the key is not good for this.
            Wrong: it is another error, or there is no answer.
        """
        connection = self._connect()
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, {**self._headers, **headers})
            response = connection.getresponse()
            said = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise Wrong(f"{method} {path}: no answer ({error or type(error).__name__})") from None
        finally:
            connection.close()
        if response.status == http.HTTPStatus.FORBIDDEN and b'"scope_missing"' in said:
            raise OutOfScope(f"{method} {path}: {json.loads(said)['detail']}")
        if response.status >= http.HTTPStatus.BAD_REQUEST:
            raise Wrong(f"{method} {path}: {response.status} {said.decode(errors='replace')[:300]}")
        try:
            answer: dict[str, Any] = json.loads(said) if said else {}
        except ValueError:
            raise Wrong(f"{method} {path}: the answer is not Parley's") from None
        return answer


def alive(server: Server) -> str:
    """The process answers."""
    server.ask("GET", "/health/live")
    return ""


def ready(server: Server) -> str:
    """It can work; ``degraded`` is said, and holds."""
    return str(server.ask("GET", "/health/ready").get("status"))


def services(server: Server) -> str:
    """What it works with."""
    found = server.ask("GET", "/api/ping")
    return ", ".join(f"{name} {found.get(name)}" for name in ("database", "redis", "ai", "queueDepth"))


def job(server: Server) -> str:
    """A model answers one message."""
    made = server.ask("POST", "/api/jobs", {"message": "Are you there?", "deadlineSeconds": int(JOB_SECONDS)})
    until, path = time.monotonic() + JOB_SECONDS, f"/api/jobs/{made['jobId']}"
    while (found := server.ask("GET", path, Prefer=f"wait={WAIT_SECONDS}"))["status"] not in FINISHED:
        if time.monotonic() > until:
            raise Wrong(f"job {made['jobId']} is {found['status']} after {JOB_SECONDS:g} s")
        time.sleep(0.1)
    if found["status"] != "completed":
        raise Wrong(f"job {made['jobId']} is {found['status']}: {found['error']}")
    return f"answered by {found['model']}"


def message(server: Server) -> str:
    """Somebody says something in a chat, and it is there."""
    words = {"content": "Are you there?", "clientMsgId": uuid.uuid4().hex}
    server.ask("GET", "/api/chats?limit=1")  # a key that may not read is found out before anything is said
    chat = server.ask("POST", "/api/chats", {"type": "group", "title": "Verification", "aiMode": "off"})["chatId"]
    try:
        begun = time.monotonic()
        server.ask("POST", f"/api/chats/{chat}/messages", words)
        sent = time.monotonic() - begun
        said = [each["content"] for each in server.ask("GET", f"/api/chats/{chat}/messages")["items"]]
        if said != [words["content"]]:
            raise Wrong(f"chat {chat} holds {said} in place of what was said")
    finally:
        server.ask("POST", f"/api/chats/{chat}/leave")
    return f"taken after {1000 * sent:.0f} ms"


def _holds(look: Callable[[Server], str], server: Server) -> bool:
    """Print what a look has found. With a key for jobs alone no message is tried; a job is what Parley is for."""
    begun = time.monotonic()
    try:
        verdict, said = "ok", look(server)
    except Wrong as wrong:
        if look is message and isinstance(wrong, OutOfScope):
            print(f"-     message   not tried: it takes the scopes chats:read and chats:write; {wrong}")
            return True
        verdict, said = "WRONG", str(wrong)
    print(f"{verdict:6}{look.__name__:10}{1000 * (time.monotonic() - begun):8.0f} ms  {said}".rstrip())
    return verdict == "ok"


def main() -> int:
    """Returns the exit code."""
    key = os.environ.get("PARLEY_API_KEY", "")
    try:
        server = Server(os.environ.get("PARLEY_URL", "http://127.0.0.1:8000"), key)
    except ValueError as error:
        print(error, file=sys.stderr)
        return WRONG_USE
    looks: list[Callable[[Server], str]] = [alive, ready, services, job, *([message] if key else [])]
    verdicts = [_holds(look, server) for look in looks]  # all of them: what comes after a failure is asked, too
    if not key:
        print("-     message   not tried: it takes PARLEY_API_KEY")
    return HOLDS if all(verdicts) else DOES_NOT_HOLD


if __name__ == "__main__":
    sys.exit(main())
