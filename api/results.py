"""Results: the answers of a batch as lines of JSON, page by page, as they come.

An answer may end at any time: when all is sent, when the time a caller wanted
to wait is up, when the database is away. Each line carries the cursor behind
which the next answer goes on, so no end loses a line or repeats one.
"""

from __future__ import annotations

import datetime as dt
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from flask import json
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from werkzeug.exceptions import Forbidden, Unauthorized, UnprocessableEntity

from api.jobs import usage, wire_time
from models import batch_results, logs
from models.base import Autocommit, is_outage

LOOK_SECONDS = 1.0
_BEGINNING = "0001-01-01T00:00:00Z~-1"
Page = Sequence[Mapping[Any, Any]]

log = logs.logger()


class Place(ABC):
    """Where somebody is in the results of a batch."""

    def __init__(self, batch_id: str) -> None:
        self.batch_id = batch_id

    @abstractmethod
    def page(self, session: Session, *, reader: str) -> Page:
        """The next results, and go behind them."""

    @abstractmethod
    def cursor(self, row: Mapping[Any, Any]) -> str:
        """Where to go on behind this row."""

    def is_over(self, session: Session, *, reader: str) -> bool:
        """Whether nothing is to come, however long one waits. To be asked before the page that may be the last."""
        return batch_results.is_over(session, self.batch_id, reader=reader)


class ByPosition(Place):
    """In the order of the prompts."""

    def __init__(self, batch_id: str, after: str | None) -> None:
        super().__init__(batch_id)
        self._after = -1 if after is None else int(after)

    def page(self, session: Session, *, reader: str) -> Page:  # noqa: D102
        rows = batch_results.by_position(session, self.batch_id, reader=reader, after=self._after)
        if rows:
            self._after = rows[-1]["position"]
        return rows

    def cursor(self, row: Mapping[Any, Any]) -> str:  # noqa: D102
        return str(row["position"])


class ByTime(Place):
    """In the order in which they finished."""

    def __init__(self, batch_id: str, after: str | None) -> None:
        super().__init__(batch_id)
        at, _, position = (after or _BEGINNING).partition("~")
        moment = dt.datetime.fromisoformat(at)
        if moment.tzinfo is None:
            raise ValueError("a time without zone")
        self._after = moment.astimezone(dt.UTC), int(position)

    def page(self, session: Session, *, reader: str) -> Page:  # noqa: D102
        before = batch_results.horizon(session)
        rows = batch_results.by_time(session, self.batch_id, reader=reader, after=self._after, before=before)
        if rows:
            self._after = rows[-1]["finished_at"], rows[-1]["position"]
        return rows

    def cursor(self, row: Mapping[Any, Any]) -> str:  # noqa: D102
        return f"{wire_time(row['finished_at'])}~{row['position']}"


def place(batch_id: str, *, order: str, after: str | None) -> Place:
    """The place behind a cursor.

    Raises:
        UnprocessableEntity: no line had this cursor.
    """
    kind = ByPosition if order == "position" else ByTime
    try:
        return kind(batch_id, after)
    except (ValueError, OverflowError):
        error = UnprocessableEntity("The query is not valid.")
        error.data = {  # type: ignore[attr-defined]
            "messages": {"query": {"after": ["invalid_cursor: Send the cursor of a line, in the same order."]}}
        }
        raise error from None


def stream(place: Place, first: Page, *, reader: Callable[[], str], seconds: float) -> Iterator[bytes]:
    """The lines of ``first`` and of what follows it, for so long.

    No connection is held while it waits or while the client reads.

    Args:
        reader: asked again for each page; it raises `Unauthorized` or `Forbidden` when the caller may not see more.
    """
    until = time.monotonic() + seconds
    page, is_over = first, False
    try:
        while True:
            if page:
                yield b"".join(_line(place, row) for row in page)
            elif is_over or time.monotonic() >= until:
                return
            else:
                time.sleep(LOOK_SECONDS)
            allowed = reader()
            with Autocommit() as session:
                is_over = not page and place.is_over(session, reader=allowed)
                page = place.page(session, reader=allowed)
    except (Unauthorized, Forbidden):
        return
    except SQLAlchemyError as error:
        # Too late for another status. An end is an end: whoever misses lines asks again and hears of the outage.
        if not is_outage(error):
            raise
        log.warning("database_unavailable", error=type(error).__name__)


def _line(place: Place, row: Mapping[Any, Any]) -> bytes:
    body = {
        "position": row["position"],
        "customId": row["custom_id"],
        "jobId": str(row["id"]),
        "status": row["status"],
        "result": row["result"],
        "truncated": row["truncated"],
        "error": {"code": row["error_code"], "message": row["error_message"]} if row["error_code"] else None,
        "model": row["model"],
        "degraded": row["degraded"],
        "usage": usage(row["prompt_tokens"], row["completion_tokens"]),
        "attempt": row["attempt"],
        "finishedAt": wire_time(row["finished_at"]),
        "cursor": place.cursor(row),
    }
    return json.dumps(body).encode() + b"\n"
