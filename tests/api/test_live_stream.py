"""Where no WebSocket gets through: the same frames, as server-sent events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from api import live_stream
from api.gateway.event_schemas import EVENTS
from models import edits, moderation
from models.base import Session
from tests.factories import a_chat, a_user, fill, say, signed_in
from tests.gateway.clients import check


def frames_of(client: FlaskClient, user_id: str) -> Iterator[dict[str, Any]]:
    """As they come."""
    response = client.get("/api/live", headers=signed_in(user_id))
    assert (response.status_code, response.mimetype) == (200, "text/event-stream")
    for chunk in response.response:
        for line in chunk.decode().splitlines() if isinstance(chunk, bytes) else chunk.splitlines():
            if line.startswith("data: "):
                frame = json.loads(line.removeprefix("data: "))
                check(EVENTS[frame["op"]][1], frame["d"])
                yield frame


def test_messages_and_members_come_as_frames(app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """New, edited and deleted ones, more than are read at once, of old chats and new, and until one is removed."""
    monkeypatch.setattr(live_stream, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(live_stream, "LONGEST_SECONDS", 60.0)
    anna, ben = a_user(), a_user()
    chat = a_chat(anna, ben)
    stream = frames_of(client, ben)
    assert next(stream)["d"]["userId"] == ben

    fill(chat, anna, up_to=450)
    seqs = [next(stream)["d"]["seq"] for _ in range(450)]
    assert seqs == list(range(1, 451))
    with Session.begin() as session:
        edits.edit(session, chat, seq=1, user_id=anna, content="Edited")
    edited = next(stream)
    assert (edited["op"], edited["chat"], edited["d"]["content"]) == ("message.edited", chat, "Edited")
    with Session.begin() as session:
        edits.delete(session, chat, seq=1, user_id=anna)
    assert next(stream)["op"] == "message.deleted"
    another = a_chat(anna, ben)
    assert next(stream) == {"op": "members", "chat": another, "d": {"userId": ben, "gone": False}}
    say(another, anna)
    assert next(stream)["op"] == "message.new"
    with Session.begin() as session:
        moderation.remove(session, chat, user_id=anna, member_id=ben)
    say(chat, anna, "Behind his back")
    say(another, anna, "Before him")
    assert next(stream) == {"op": "members", "chat": chat, "d": {"userId": ben, "gone": True}}
    assert next(stream)["d"]["content"] == "Before him"


def test_what_was_before_one_came_is_not_told(app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where history is hidden."""
    monkeypatch.setattr(live_stream, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(live_stream, "LONGEST_SECONDS", 60.0)
    anna, ben = a_user(), a_user()
    chat = a_chat(anna, hides_history=True)
    say(chat, anna, "Before")
    with Session.begin() as session:
        moderation.add(session, chat, user_id=anna, member_ids=[ben])
    stream = frames_of(client, ben)
    next(stream)

    with Session.begin() as session:
        edits.edit(session, chat, seq=1, user_id=anna, content="Before, edited")
    say(chat, anna, "After")

    assert next(stream)["d"]["content"] == "After"


def test_a_stream_ends_with_the_right_to_it(app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """As soon as this process asks again whether its token is good."""
    monkeypatch.setattr(live_stream, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(live_stream, "LONGEST_SECONDS", 60.0)
    anna = a_user()
    stream = frames_of(client, anna)
    next(stream)

    with Session.begin() as session:
        session.execute(text("UPDATE sessions SET revoked_at = clock_timestamp()"))
    app.extensions["parley"]["callers"].forget(anna)

    assert list(stream) == []
    assert live_stream.Streams.count == 0
