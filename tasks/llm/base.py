"""The provider contract: what a worker asks of a model, what it gets, and every way that can fail.

A provider is shared by all threads of a worker. It is handed a `Prompt` and a
`Call`, and it returns a `Reply` or raises a `ProviderError`; nothing else leaves
it. The call is how others reach into a thread that is asking: `Call.abort`
shuts the very socket it waits on, because neither a check between chunks nor
closing the client reaches a thread that waits for headers or is fed a byte
every few seconds.
"""

from __future__ import annotations

import contextlib
import enum
import functools
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

MAX_MESSAGE_CHARACTERS = 500
DEADLINE = "deadline"
"""Reason of `Call.abort` that counts as a time-out of the provider."""
LOST, STOPPING = "lost", "stopping"
"""The other reasons: the job was cancelled or taken over; this process stops."""
ROLLING_SUMMARY, CHAT_REPLY, ROOM_REPLY, RECAP, TITLE = "rolling_summary", "chat_reply", "room_reply", "recap", "title"
"""Types of prompts, besides those of jobs: a step of a chat's summary; an answer to one person, or among several;
what was said lately; what a chat is to be called."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


class Kind(enum.StrEnum):
    """What a failure means for the job."""

    TRANSIENT = "transient"
    """May work next time: counts as a failure and is tried again after a back-off."""
    THROTTLED = "throttled"
    """The provider asks for patience: tried again later, not counted as a failure."""
    PERMANENT = "permanent"
    """Would fail the same way for ever: the job ends."""


@dataclass(frozen=True)
class Usage:
    """Tokens the provider says it charged."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    """Those of the prompt's that it had kept from one before, where it says so."""

    @property
    def total_tokens(self) -> int:
        """What is paid for."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """What is asked of the model."""

    type: str
    """Of the job: ``chat`` or ``summarize``; or one of those above. Chooses the template."""
    message: str
    """As its author wrote it."""
    turns: Sequence[Mapping[str, str]] = ()
    """``role`` and ``content`` of each, in the place of the message, for a model."""
    not_before: Sequence[str] = ()
    """Names that the answer is not to begin with: `tasks.llm.speakers`."""
    model: str = ""
    """Of the chain, to be asked; empty: the provider's first choice."""
    mark: str = ""
    """A word of it that was drawn by lot: two prompts that differ by it alone are the same."""
    reuses_answer: bool = False
    """What the same prompt was answered before will do."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What the model answered: never blank, and fit for PostgreSQL (no NUL, no lone surrogate)."""

    text: str
    model: str
    """As the provider names it."""
    usage: Usage | None
    """``None`` if the provider does not say, or charges nothing."""
    truncated: bool = False
    """The model's own limit or ``LLM_MAX_RESPONSE_BYTES`` cut it off."""
    cached: bool = False
    """It was said before, to the same prompt; no model was asked."""


class ProviderError(Exception):
    """A call that brought no reply.

    Args:
        message: for the job's owner; it never holds a key, a prompt or what the
            provider sent. Control characters become spaces, its length is cut.
        code: stable, for programs: ``provider_timeout``, ``content_filtered``, …
        retry_after: seconds the provider asks for; ``None`` if it does not say.
        usage: tokens charged in spite of the failure.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: Kind,
        code: str,
        retry_after: float | None = None,
        usage: Usage | None = None,
    ) -> None:
        super().__init__(_CONTROL.sub(" ", message)[:MAX_MESSAGE_CHARACTERS])
        self.kind = kind
        self.code = code
        self.retry_after = retry_after
        self.usage = usage

    def __reduce__(self) -> tuple[Callable[..., ProviderError], tuple[object, ...]]:
        # Without this an exception with keyword-only arguments cannot be unpickled.
        again = functools.partial(
            ProviderError, kind=self.kind, code=self.code, retry_after=self.retry_after, usage=self.usage
        )
        return again, self.args


class Line:
    """A socket and the call it presently serves, which is the only one that may shut it.

    Connections outlive calls: by the time a call is aborted, its connection may
    already carry another's. The lock also spans `close`, since a closed file
    descriptor's number is at once given to the next socket.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self._lock = threading.Lock()
        self._call: Call | None = None

    def serves(self, call: Call) -> bool:
        """Whether ``call`` may shut this line now."""
        return self._call is call

    def serve(self, call: Call) -> None:
        """From now on ``call`` alone may shut this line."""
        with self._lock:
            self._call = call

    def leave(self, call: Call) -> None:
        """``call`` may not shut this line any more; nobody may until it serves the next."""
        with self._lock:
            if self._call is call:
                self._call = None

    def replace(self, sock: socket.socket) -> socket.socket:
        """Go on with another socket of the same connection; returns the one before."""
        with self._lock:
            before, self.socket = self.socket, sock
        return before

    def shut(self, *, by: Call) -> None:
        """End every read and write on it, those under way included; nothing if it no longer serves ``by``."""
        with self._lock, contextlib.suppress(OSError):  # it may be closed, or not yet connected
            if self._call is by:
                # Not the SSLSocket's own method: that one also discards the TLS
                # state under the feet of the thread that is reading.
                socket.socket.shutdown(self.socket, socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the descriptor back; may be repeated."""
        with self._lock:
            self.socket.close()


class Call:
    """One request to a provider in flight. Any thread may look at it and abort it.

    Args:
        seconds: until the call's deadline, on the monotonic clock, from now.
    """

    def __init__(self, *, seconds: float) -> None:
        self.begun_at = time.monotonic()
        self.not_before: Sequence[str] = ()
        """Names that are taken off before what it says."""
        self.asked = ""
        """All that it was sent for: of several requests, one after the other."""
        self._said: Sequence[str] = ()
        self._is_aside = False
        self._ends_at = self.begun_at + seconds
        self._lock = threading.Lock()
        self._line: Line | None = None
        self._reason: str | None = None

    @property
    def aborted(self) -> str | None:
        """The reason of the first `abort`."""
        return self._reason

    @property
    def said(self) -> Sequence[str]:
        """What the model has said so far, in parts, none of them empty; the provider adds to it."""
        return () if self._is_aside else self._said

    @said.setter
    def said(self, parts: Sequence[str]) -> None:
        self._said = parts

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """What the model says meanwhile is not for those who watch the job."""
        self._is_aside = True
        try:
            yield
        finally:
            self._said, self._is_aside = (), False

    def seconds_left(self) -> float:
        """Until the deadline; 0 once it has passed."""
        return max(0.0, self._ends_at - time.monotonic())

    def expired(self) -> bool:
        """Whether the deadline has passed."""
        return time.monotonic() >= self._ends_at

    def abort(self, reason: str) -> None:
        """End the call now: shut its socket, or the one it is about to get. Later reasons are ignored."""
        with self._lock:
            self._reason = self._reason or reason
            line = self._line
        if line is not None:
            line.shut(by=self)

    def use(self, stream: Line | socket.socket) -> None:
        """This connection serves the call from now on; it is shut at once if the call is aborted already."""
        line = stream if isinstance(stream, Line) else Line(stream)
        line.serve(self)
        with self._lock:
            self._line = line
        if self._reason is not None:
            line.shut(by=self)

    def finish(self) -> None:
        """The connection has done its part and may serve others: an abort no longer touches it."""
        with self._lock:
            line, self._line = self._line, None
        if line is not None:
            line.leave(self)

    def failure(self) -> ProviderError | None:
        """Why the call has to end now; ``None`` while it may go on."""
        reason = DEADLINE if self._reason is None and self.expired() else self._reason
        if reason is None:
            return None
        if reason == DEADLINE:
            return ProviderError("The model did not answer in time.", kind=Kind.TRANSIENT, code="provider_timeout")
        return ProviderError("The call to the model was broken off.", kind=Kind.TRANSIENT, code=reason)


class Provider(Protocol):
    """Asks a model. One object serves all threads of a process."""

    name: str
    model: str

    def reply(self, prompt: Prompt, call: Call) -> Reply:
        """Ask, and wait for the whole answer.

        Raises:
            ProviderError: for whatever goes wrong.
        """
        ...

    def close(self) -> None:
        """Give back connections; no `reply` may be under way or follow."""
        ...
