"""Logs: one JSON object a line, from our own code and from the libraries alike.

A line carries ids, codes and lengths; never a prompt, a reply, a token or a
key. JSON also keeps a line break inside a value from starting a forged line.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def configure(*, process: str, level: str) -> None:
    """Send every log line of this process to standard error as JSON, marked with the process's name."""
    structlog.configure(
        processors=[*_SHARED, *_as_json(process)],
        # Past the standard library, which doubles the cost of a line; our own lines are one to three a job.
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_SHARED,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_as_json(process)],
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)


def _as_json(process: str) -> list[Any]:
    return [
        lambda _logger, _method, event: {"process": process, **event},
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),
    ]


def about(**facts: object) -> None:
    """Add these facts to every further line of this thread."""
    structlog.contextvars.bind_contextvars(**facts)


def logger() -> Any:
    """The logger; the event's name comes first, in ``snake_case``, facts as keywords."""
    return structlog.get_logger()
