"""Cursors: where a page of a list ended. Opaque to clients, so that their inside may change."""

from __future__ import annotations

import base64
import datetime as dt
import uuid

from werkzeug.exceptions import UnprocessableEntity


def cursor_of(moment: dt.datetime, thing_id: str) -> str:
    """For the row with this time and id.

    >>> position_of(cursor_of(dt.datetime(2030, 1, 31, tzinfo=dt.UTC), "46bedf00-6eee-4cd8-a948-ccd3065cdc9a"))
    (datetime.datetime(2030, 1, 31, 0, 0, tzinfo=datetime.timezone.utc), '46bedf00-6eee-4cd8-a948-ccd3065cdc9a')
    """
    return base64.urlsafe_b64encode(f"{moment.isoformat()} {thing_id}".encode()).decode()


def position_of(cursor: str | None) -> tuple[dt.datetime, str] | None:
    """Time and id of the row behind which to go on.

    Raises:
        UnprocessableEntity: we gave no such cursor.
    """
    if cursor is None:
        return None
    try:
        at, _, thing_id = base64.urlsafe_b64decode(cursor.encode()).decode().partition(" ")
        moment = dt.datetime.fromisoformat(at)
        position = moment.astimezone(dt.UTC), str(uuid.UUID(thing_id))
    except (ValueError, OverflowError):
        position = None
    if position is None or moment.tzinfo is None:
        error = UnprocessableEntity("The query is not valid.")
        error.data = {"messages": {"query": {"cursor": ["invalid_cursor: Send nextCursor of the page before."]}}}  # type: ignore[attr-defined]
        raise error
    return position
