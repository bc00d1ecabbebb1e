"""Fake LLM: an OpenAI-compatible server that misbehaves on request.

    python -m tests.fake_llm --port 0 --latency-ms 300      prints "listening on PORT"
    with FakeLLM() as llm: llm.script({"status": 500})      in a test

How a request is answered comes from the first of: the scripted queue (`POST
/_script`), directives in the user's message (``[[status=500]] [[hang=before]]``)
on top of the scripted default, the command line. All speak the fields of
`Behaviour`; a directive may write ``-`` for ``_``. `GET /_stats` tells what was
asked, `POST /_reset` forgets it.

It runs as one asyncio process of its own, without a task or thread per request,
so that 500 slow streams cost next to nothing while something is measured.
"""

from __future__ import annotations

import http.client
import json
import pathlib
import ssl
import subprocess
import sys
from types import TracebackType
from typing import Any, Self

from tests.fake_llm.behaviour import Behaviour

__all__ = ["Behaviour", "FakeLLM"]

_ROOT = pathlib.Path(__file__).resolve().parents[2]


class FakeLLM:
    """A fake server in a child process, from `__enter__` to `__exit__`.

    Args:
        flags: of the command line, such as ``latency_ms=300``.
    """

    port: int

    def __init__(self, **flags: object) -> None:
        self._flags = [part for name, value in flags.items() for part in (f"--{name.replace('_', '-')}", str(value))]
        self._scheme = "https" if "cert" in flags else "http"

    @property
    def base_url(self) -> str:
        """For `LLM_BASE_URL`."""
        return f"{self._scheme}://127.0.0.1:{self.port}/v1"

    def script(self, *queue: dict[str, object], default: dict[str, object] | None = None) -> None:
        """Answer the next requests by ``queue``, one each; all others by ``default``, when given."""
        self._control("POST", "/_script", {"queue": queue, **({} if default is None else {"default": default})})

    def stats(self) -> dict[str, Any]:
        """``requests``, ``connections``, ``active``, ``peak``, ``per_message`` and ``recent`` since the last reset."""
        return self._control("GET", "/_stats")

    def reset(self) -> None:
        """Forget all scripts and figures."""
        self._control("POST", "/_reset", {})

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.fake_llm", "--port", "0", "--until-eof", *self._flags]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, cwd=_ROOT, stdin=pipe, stdout=pipe, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline().removeprefix("listening on "))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.communicate(timeout=10)  # closes its standard input, and waits

    def _control(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        if self._scheme == "https":
            connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=10, context=_trusting())
        try:
            connection.request(method, path, json.dumps(body))
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
            return answer
        finally:
            connection.close()


def _trusting() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
