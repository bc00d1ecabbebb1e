"""Traces: what becomes of one request, in spans that OpenTelemetry's collectors understand.

    POST ──▶ announce
      └────▶ attempt ──▶ call to the model
      └────▶ attempt ──▶ call to the model      all of one trace, in whichever process

Off unless `OTEL_EXPORTER_OTLP_ENDPOINT` is set. Then nothing of OpenTelemetry is imported,
and `NOTHING` stands where a span would be. On, spans are sent by a thread (`models.otlp`):
nobody waits for a collector, and a job's row carries its context, as W3C writes it, so that
neither a lost worker nor an erased Redis breaks a trace.

A span holds ids, codes and numbers, as a log line does; never a prompt, an answer, a name or a key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal

from models import logs
from models.settings import Settings

END_SECONDS = 2.0
"""What a process that stops takes at most to send its last spans."""
KEPT_FLAGS = 0x03
"""Of W3C's: sampled, and made by lot. Of others nobody knows what they mean."""
Kind = Literal["SERVER", "PRODUCER", "CONSUMER", "CLIENT"]
Facts = Mapping[str, str | int | float | bool | None]
"""What is None is left out."""

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_carried: ContextVar[str | None] = ContextVar("traceparent", default=None)


@dataclass(frozen=True)
class Parent:
    """A span of another process."""

    trace_id: int
    span_id: int
    flags: int


def parsed(said: str | None) -> Parent | None:
    """What a ``traceparent`` says; None if it says nothing that W3C's Trace Context allows.

    >>> parsed("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    Parent(trace_id=14576827793038113322513871894673895836, span_id=13235353014750950193, flags=1)
    >>> parsed("00-00000000000000000000000000000000-b7ad6b7169203331-01")
    """
    found = _TRACEPARENT.fullmatch(said or "")
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    # A later version may say more; we read what this one knows.
    if version == "ff" or (version == "00" and more):
        return None
    parent = Parent(int(trace_id, 16), int(span_id, 16), int(flags, 16) & KEPT_FLAGS)
    return parent if parent.trace_id and parent.span_id else None


class Span:
    """One piece of work. This one does nothing: it is what there is while no traces are made."""

    traceparent: str | None = None
    """For those that follow from it, wherever they are."""

    def note(self, facts: Facts) -> None:
        """Add these facts."""

    def failed(self, code: str) -> None:
        """It came to nothing, for this reason: a word, never a sentence that may quote somebody."""

    def child(self, _name: str, *, kind: Kind, facts: Facts) -> Span:  # noqa: ARG002
        """Begin a part of it."""
        return self

    def carry(self) -> None:
        """What this thread (or greenlet) stores and logs from now on belongs to it."""

    def end(self) -> None:
        """It is over: it will be sent."""


NOTHING = Span()


class _Process:
    """What this process makes spans with, once it has begun."""

    maker: Any = None


def begin(settings: Settings, *, process: str) -> None:
    """Make traces from now on, if that is wanted. Not before a fork: its thread would be lost.

    Args:
        process: which of the product's; ``parley-<process>`` unless `OTEL_SERVICE_NAME` says another name.
    """
    if not settings.otel_endpoint:
        return
    from models import otlp  # noqa: PLC0415 - nothing of it is wanted otherwise

    _Process.maker = otlp.Maker(process=process)
    logs.ask(_facts)


def end(*, seconds: float = END_SECONDS) -> None:
    """Send what is left, for so long at most, and make no more."""
    maker, _Process.maker = _Process.maker, None
    if maker is not None:
        maker.end(seconds=seconds)


def is_on() -> bool:
    """Whether spans are made."""
    return _Process.maker is not None


def start(name: str, *, kind: Kind, parent: str | None, facts: Facts) -> Span:
    """Begin a span.

    Args:
        parent: a ``traceparent``, from whomever; if it is none, a new trace begins.
    """
    if _Process.maker is None:
        return NOTHING
    span: Span = _Process.maker.start(name, kind=kind, parent=parsed(parent), facts=facts)
    return span


def carry(traceparent: str | None) -> None:
    """As `Span.carry`; None: nothing."""
    _carried.set(traceparent)


def carried() -> str | None:
    """What a job that is stored now is to carry."""
    return _carried.get()


def _facts() -> Mapping[str, object]:
    now = parsed(_carried.get())
    return {} if now is None else {"trace_id": f"{now.trace_id:032x}"}
