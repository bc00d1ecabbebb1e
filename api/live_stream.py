"""The live stream: the gateway's events of messages and members as server-sent events, where no WebSocket gets through.

A fallback for the few behind proxies that let none pass: the same frames, one in each ``data:`` line, found by asking
PostgreSQL every `LOOK_SECONDS` what has moved in one's chats. So it needs neither Redis nor a gateway. Commands go over
HTTP. Presence, typing and what the AI says while it says it are not in it.
"""

from __future__ import annotations

import datetime as dt
import itertools
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from flask import Response, current_app, stream_with_context
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import Forbidden, ServiceUnavailable, Unauthorized

from api import access
from api.auth import own_id
from api.chats import SIGNED_IN
from api.gateway import frames
from api.jobs import wire_time
from api.long_polls import hang_up
from api.messages import as_wire
from api.openapi import Noun, problems
from api.waiters import Waiters
from models import audiences, logs
from models.api_keys import Scope
from models.audiences import Place
from models.base import bare, is_outage

bp = Noun("live", __name__, url_prefix="/api/live", description="What happens in your chats.")
log = logs.logger()

LOOK_SECONDS = 2.0
SIGN_SECONDS = 15.0
"""Between two signs of life; proxies close what is silent for a minute."""
LONGEST_SECONDS = 900.0
"""Then the stream ends, and the page comes back and catches up."""
MOST_STREAMS = 500
"""In one process."""


class Streams:
    """How many there are in this process."""

    count = 0


@bp.route("")
@bp.doc(security=SIGNED_IN)
@bp.response(200, {"type": "string"}, content_type="text/event-stream", description="For 15 minutes at most.")
@problems(bp, 401, 403, 503)
@access.user(Scope.CHATS_READ)
def watch_chats() -> Response:
    """The frames of the WebSocket gateway that concern messages and members, as server-sent events."""
    if Streams.count >= MOST_STREAMS:
        raise ServiceUnavailable("Too many live streams at this process.")
    events = stream_with_context(_events(own_id()))
    # nginx would hold events back until its buffer is full.
    return current_app.response_class(events, mimetype="text/event-stream", headers={"X-Accel-Buffering": "no"})


def _events(user_id: str) -> Iterator[str]:
    waiters: Waiters = current_app.extensions["parley"]["waiters"]
    Streams.count += 1
    try:
        yield from _until_the_end(user_id, waiters)
    finally:
        Streams.count -= 1
    if waiters.stopping():
        hang_up()


def _until_the_end(user_id: str, waiters: Waiters) -> Iterator[str]:
    until, said_at = time.monotonic() + LONGEST_SECONDS, time.monotonic()
    follower = Follower(user_id)
    while time.monotonic() < until and not waiters.stopping():
        try:
            access.still()
            found = follower.look()
        except (Unauthorized, Forbidden):
            return  # Whoever comes back is told why.
        except SQLAlchemyError as error:
            if not is_outage(error):
                raise
            log.warning("database_unavailable", error=type(error).__name__)
            found = []
        if found or time.monotonic() - said_at > SIGN_SECONDS:
            said_at = time.monotonic()
            yield "".join(f"data: {frame.decode()}\n\n" for frame in found) or ": here\n\n"
        time.sleep(LOOK_SECONDS)


class Follower:
    """What one stream has told."""

    def __init__(self, user_id: str) -> None:
        self._user_id = user_id
        self._told: dict[str, Place] | None = None
        """How far each chat had come."""

    def look(self) -> list[bytes]:
        """What has happened since; at first, that this is the beginning.

        Raises:
            SQLAlchemyError
        """
        with bare() as session:
            now = {place.chat_id: place for place in audiences.rooms(session, self._user_id)}
            told, self._told = self._told, now
            if told is None:
                return [frames.encoded("hello", self._hello())]
            known = {chat_id: told[chat_id] for chat_id in now if chat_id in told}
            since = {c: p.last_change_seq for c, p in known.items() if now[c].last_change_seq > p.last_change_seq}
            rows = audiences.news(session, since) if since else []
        found = [self._member(chat_id, gone=True) for chat_id in told if chat_id not in now]
        found += [self._member(chat_id, gone=False) for chat_id in now if chat_id not in told]
        for row in rows:
            before, place = known[row["chat_id"]], now[row["chat_id"]]
            if place.joined_seq is not None and row["seq"] > place.joined_seq:
                op = frames.op_of(row, last_seq=before.last_seq)
                found.append(frames.encoded(op, as_wire(row), chat=row["chat_id"]))
        self._go_on(known, rows)
        return found

    def _go_on(self, known: Mapping[str, Place], rows: Any) -> None:
        """Only so much was read at once; the rest is for the next look."""
        assert self._told is not None
        for chat_id, of_chat in itertools.groupby(rows, key=lambda row: row["chat_id"]):
            read = list(of_chat)
            last_seq = max(known[chat_id].last_seq, *(row["seq"] for row in read))
            self._told[chat_id] = replace(
                self._told[chat_id], last_seq=last_seq, last_change_seq=read[-1]["change_seq"]
            )

    def _member(self, chat_id: str, *, gone: bool) -> bytes:
        return frames.encoded("members", {"userId": self._user_id, "gone": gone}, chat=chat_id)

    def _hello(self) -> dict[str, Any]:
        return frames.hello(
            connection=secrets.token_hex(8), user_id=self._user_id, now=wire_time(dt.datetime.now(dt.UTC))
        )
