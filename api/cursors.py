"""Cursors: where a page of a list ended. Opaque to clients, so that their inside may change."""

from __future__ import annotations

import base64
import datetime as dt
import uuid

from werkzeug.exceptions import UnprocessableEntity

_BIGGEST = 2**63 - 1


def cursor_of(moment: dt.datetime, thing_id: str, number: int | None = None) -> str:
    """For the row with this time and id, and number, if it needs one.

    >>> position_of(cursor_of(dt.datetime(2030, 1, 31, tzinfo=dt.UTC), "46bedf00-6eee-4cd8-a948-ccd3065cdc9a"))
    (datetime.datetime(2030, 1, 31, 0, 0, tzinfo=datetime.timezone.utc), '46bedf00-6eee-4cd8-a948-ccd3065cdc9a')
    """
    place = f"{moment.isoformat()} {thing_id}" + (f" {number}" if number is not None else "")
    return base64.urlsafe_b64encode(place.encode()).decode()


def position_of(cursor: str | None) -> tuple[dt.datetime, str] | None:
    """Time and id of the row behind which to go on.

    Raises:
        UnprocessableEntity: we gave no such cursor.
    """
    place = _parts(cursor, numbers=0)
    return place and (place[0], place[1])


def numbered_position_of(cursor: str | None) -> tuple[dt.datetime, str, int] | None:
    """The same for rows that have a number, too.

    >>> thing_id = "46bedf00-6eee-4cd8-a948-ccd3065cdc9a"
    >>> numbered_position_of(cursor_of(dt.datetime(2030, 1, 31, tzinfo=dt.UTC), thing_id, 7))
    (datetime.datetime(2030, 1, 31, 0, 0, tzinfo=datetime.timezone.utc), '46bedf00-6eee-4cd8-a948-ccd3065cdc9a', 7)
    """
    place = _parts(cursor, numbers=1)
    return place and (place[0], place[1], place[2][0])


def _parts(cursor: str | None, *, numbers: int) -> tuple[dt.datetime, str, list[int]] | None:
    if cursor is None:
        return None
    try:
        at, thing_id, *more = base64.urlsafe_b64decode(cursor.encode()).decode().split(" ")
        moment = dt.datetime.fromisoformat(at)
        place = moment.astimezone(dt.UTC), str(uuid.UUID(thing_id)), [int(each) for each in more]
        known = moment.tzinfo is not None and len(more) == numbers and all(0 <= n <= _BIGGEST for n in place[2])
    except (ValueError, OverflowError):
        known = False
    if not known:
        error = UnprocessableEntity("The query is not valid.")
        error.data = {"messages": {"query": {"cursor": ["invalid_cursor: Send nextCursor of the page before."]}}}  # type: ignore[attr-defined]
        raise error
    return place
