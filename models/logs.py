"""Logs: one JSON object a line, from our own code and from the libraries alike.

A line carries ids, codes and lengths; never a prompt, a reply, a token or a
key. JSON also keeps a line break inside a value from starting a forged line.

What an exception says of itself is left out of tracebacks: ``invalid literal: '…'``
quotes what somebody wrote, and a database's error quotes the whole row. Its type, its
SQLSTATE and where it was raised are there. ``LOG_LEVEL=debug`` shows the words, too.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

import structlog

_Event = MutableMapping[str, Any]
_SECRETS = (
    (re.compile(r"(://[^\s:/@]*:)[^\s/@]+@"), r"\1***@"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]+"), r"\1 ***"),
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"), "***"),
    (re.compile(r"\b(parley_\w{7}|sk-)[\w-]{8,}"), r"\1***"),
)
"""How secrets look: for the lines of libraries, whose words are not ours."""

_sources: list[Callable[[], Mapping[str, object]]] = []


def configure(*, process: str, level: str) -> None:
    """Send every log line of this process to standard error as JSON, marked with the process's name."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        _with_facts,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    as_json: list[Any] = [
        lambda _logger, _method, event: {"process": process, **event},
        structlog.processors.ExceptionRenderer(_whole_traceback if level == "debug" else traceback_without_words),
        structlog.processors.JSONRenderer(),
    ]
    structlog.configure(
        processors=[*shared, *as_json],
        # Past the standard library, which doubles the cost of a line; our own lines are one to three a job.
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, _masked],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *as_json],
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)


def about(**facts: object) -> None:
    """Add these facts to every further line of this thread."""
    structlog.contextvars.bind_contextvars(**facts)


def ask(source: Callable[[], Mapping[str, object]]) -> None:
    """Ask this for facts at every line that is written: what hardly any request needs costs none of the others."""
    if source not in _sources:
        _sources.append(source)


def logger() -> Any:
    """The logger; the event's name comes first, in ``snake_case``, facts as keywords."""
    return structlog.get_logger()


def masked(words: str) -> str:
    """
    >>> masked("lost redis://:s3cret@cache:6379/0 after 'Bearer eyJ0.e30.x'")
    "lost redis://:***@cache:6379/0 after 'Bearer ***'"
    """
    for looks, instead in _SECRETS:
        words = looks.sub(instead, words)
    return words


def traceback_without_words(exc_info: Any) -> str:
    """Types, places and SQLSTATEs of an exception and of those that led to it, the first of them first."""
    parts: list[str] = []
    error: BaseException | None = exc_info[1]
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        frames = "".join(traceback.format_tb(error.__traceback__, limit=-40))
        code = getattr(error, "pgcode", None)
        name = f"{type(error).__module__}.{type(error).__qualname__}"
        parts.append(f"{frames}{name}{f' (SQLSTATE {code})' if code else ''}\n")
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n".join(reversed(parts)).rstrip()


def _whole_traceback(exc_info: Any) -> str:
    return "".join(traceback.format_exception(*exc_info)).rstrip()


def _with_facts(_logger: object, _method: str, event: _Event) -> _Event:
    for source in _sources:
        event = {**source(), **event}
    return event


def _masked(_logger: object, _method: str, event: _Event) -> _Event:
    event["event"] = masked(str(event["event"]))
    return event
