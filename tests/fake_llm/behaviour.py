"""Behaviour: how the fake server answers one request, in words a test can send it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_DIRECTIVE = re.compile(r"\[\[([a-z_-]+)(?:=([^\]]*))?\]\]")


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """How one request is answered. Left alone: a good answer, at once."""

    latency_ms: float = 0
    """Before the first byte."""
    chunks: int = 3
    chunk_ms: float = 0
    """Between two chunks of a stream."""
    text: str | None = None
    """The answer; ``None`` echoes the message."""
    finish: str = "stop"
    """``finish_reason``; ``none`` never sends one."""
    usage: bool = True
    stream: bool = True
    """False ignores the request's ``stream`` and answers plain JSON."""
    done: bool = True
    """Whether ``[DONE]`` and the end of the response follow the answer."""

    status: int = 200
    code: str = ""
    """``error.code`` of an error status."""
    body: str = "json"
    """Body of an error status: ``json``, ``html``, ``latin1`` (not UTF-8), ``list`` (the object in a list) or text."""
    retry_after: str = ""
    retry_after_ms: str = ""
    fail: int = 0
    """So many requests with this very message fail (with ``status``, or 500) before the rest are answered."""
    refuse_options: bool = False
    """400 naming ``stream_options`` to a request that holds it."""

    hang: str = ""
    """``before`` the headers or ``after`` them: nothing more is sent, ever."""
    drip: float = 0
    """Milliseconds between single bytes that never become an answer; with ``hang=before`` of the headers."""
    cut: str = ""
    """After half of the answer: ``rst`` or ``fin``."""
    endless: str = ""
    """Never stop sending ``empty`` deltas, deltas of ``text``, or ``noise`` without a line's end."""
    error_event: str = ""
    """Half of the answer, then an ``error`` event with this code."""
    raw: str | None = None
    """These characters, as Latin-1 bytes, are the body of the stream."""

    def but(self, changes: Mapping[str, object]) -> Behaviour:
        """This behaviour with ``changes``, whose values may be strings as a directive has them.

        Unknown names are left out: a message may hold brackets of its own.
        """
        kinds = {field.name: str(field.type) for field in dataclasses.fields(self)}
        named = {name.replace("-", "_"): value for name, value in changes.items()}
        read: dict[str, Any] = {name: _read(value, kinds[name]) for name, value in named.items() if name in kinds}
        return dataclasses.replace(self, **read)

    def told_by(self, message: str) -> Behaviour:
        """This behaviour with the directives found in ``message``."""
        return self.but(dict(_DIRECTIVE.findall(message)))

    def failure_status(self, *, asked: int) -> int | None:
        """Status of the failure due at the ``asked``-th request with one message; ``None`` for an answer."""
        if self.fail:
            return (self.status if self.status != 200 else 500) if asked <= self.fail else None
        return None if self.status == 200 else self.status


def _read(value: object, kind: str) -> object:
    if not isinstance(value, str) or "str" in kind:
        return value
    if kind == "bool":
        return value in ("", "1", "true", "yes")
    return float(value) if kind == "float" else int(value)
