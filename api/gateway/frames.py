"""Frames: one JSON object each, ``{"op", "id"?, "chat"?, "d"?}``, as text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

FRAME_BYTES = 64 * 1024
HEARTBEAT_SECONDS = 25
TYPING_RESEND_SECONDS, TYPING_EXPIRE_SECONDS = 2, 4
"""A client says so again after so long, and forgets it after so long without a word."""
OPS_PER_SECOND = 20
BURST = 2 * OPS_PER_SECOND
MOST_REFUSED = 100
"""Frames beyond the rate in a row, each of which was told so, before the socket is closed."""

BAD_FRAME, NOT_SIGNED_IN, NO_LONGER, TOO_SLOW, TOO_MANY_SOCKETS, TOO_MANY_FRAMES, RESTART = (
    *(4400, 4401, 4403, 4408, 4409, 4429),
    1012,
)
"""Close codes."""


class RefusedFrame(Exception):
    """A command that is answered with ``err``."""

    def __init__(self, code: str, detail: str, *, title: str = "Bad Request", retry_seconds: int | None = None) -> None:
        super().__init__(code)
        self.d: dict[str, Any] = {"code": code, "title": title, "detail": detail}
        if retry_seconds is not None:
            self.d["retryAfter"] = retry_seconds


class BadFrame(Exception):
    """Not a frame at all: the socket is closed."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A command."""

    op: str
    id: str | int | None = None
    chat: str | None = None
    d: dict[str, Any] = field(default_factory=dict)


def decoded(text: str | bytes) -> Frame:
    """A command out of its text.

    Raises:
        BadFrame: it is none.
    """
    if isinstance(text, bytes):
        raise BadFrame("Frames are text.")
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        raise BadFrame("A frame is one JSON object.") from None
    if not isinstance(said, dict) or not isinstance(said.get("op"), str):
        raise BadFrame("A frame is one JSON object with an op.")
    known_id, chat, d = said.get("id"), said.get("chat"), said.get("d")
    is_id = known_id is None or (isinstance(known_id, str | int) and len(str(known_id)) <= 64)  # noqa: PLR2004
    if not is_id or not isinstance(chat, str | None) or not isinstance(d, dict | None):
        raise BadFrame("Of a frame, id is a short string or number, chat a string and d an object.")
    return Frame(op=said["op"], id=known_id, chat=chat, d=d or {})


def encoded(op: str, d: Any = None, *, chat: str | None = None, answers: str | int | None = None) -> bytes:
    """A frame as it is sent.

    >>> encoded("seen", {"seq": 3}, chat="c")
    b'{"op":"seen","chat":"c","d":{"seq":3}}'
    """
    frame: dict[str, Any] = {"op": op}
    if answers is not None:
        frame["id"] = answers
    if chat is not None:
        frame["chat"] = chat
    frame["d"] = {} if d is None else d
    return json.dumps(frame, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def hello(*, connection: str, user_id: str | None, now: str) -> dict[str, Any]:
    """The ``d`` of a greeting."""
    return {
        "connId": connection,
        "serverTime": now,
        "userId": user_id,
        "heartbeatSeconds": HEARTBEAT_SECONDS,
        "typing": {"resendSeconds": TYPING_RESEND_SECONDS, "expireSeconds": TYPING_EXPIRE_SECONDS},
        "limits": {"frameBytes": FRAME_BYTES, "opsPerSecond": OPS_PER_SECOND},
    }


def op_of(message: Mapping[Any, Any], *, last_seq: int) -> str:
    """What has happened to a message, for somebody who knows those up to ``last_seq``."""
    if message["deleted_at"] is not None:
        return "message.deleted"
    return "message.new" if message["seq"] > last_seq else "message.edited"


class Bucket:
    """How many commands a socket may still send: `OPS_PER_SECOND` in the long run, `BURST` at once."""

    __slots__ = ("_at", "_left", "refused")

    def __init__(self, now: float) -> None:
        self._left, self._at = float(BURST), now
        self.refused = 0
        """In a row."""

    def take(self, now: float) -> bool:
        """Whether there is room for one more."""
        self._left = min(BURST, self._left + (now - self._at) * OPS_PER_SECOND)
        self._at = now
        if self._left < 1:
            self.refused += 1
            return False
        self._left -= 1
        self.refused = 0
        return True
