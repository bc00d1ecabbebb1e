"""Stale state + events = fresh state: for every event that says what has changed, by random histories.

After Zulip's ``verify_action``: a model of a page applies what it hears to what it had read before, and must then have
what it would read now. `test_every_event` has a case for each kind of event.
"""

from __future__ import annotations

import contextlib
import json
import random
import re
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.orm import Session as OrmSession

from api.gateway.event_schemas import ANSWERS, EVENTS, schemas
from models import edits, members, messages, moderation
from models.base import Session
from models.errors import Refusal
from tests.conftest import ROOT
from tests.factories import a_chat, a_user
from tests.gateway.clients import Client
from tests.gateway.conftest import Live
from tests.gateway.pages import Page

pytestmark = pytest.mark.xdist_group("gateway")
Connect = Callable[..., Client]
STEPS = 60


def act(dice: random.Random, chats: list[str], people: list[str]) -> None:
    """Somebody does something; who may not, does not."""
    chat, user_id, seq, boss = dice.choice(chats), dice.choice(people), dice.randint(1, 12), people[0]
    another = dice.choice(people[1:])
    role = dice.choice(list(members.MemberRole))
    said: dict[str, Any] = {
        "content": f"said {dice.random()}",
        "client_msg_id": uuid.UUID(int=dice.getrandbits(128)).hex,
    }
    acts: list[Callable[[OrmSession], object]] = [
        lambda session: messages.post(session, chat_id=chat, sender_id=user_id, **said),
        lambda session: edits.edit(session, chat, seq=seq, user_id=user_id, content=f"edited {seq}"),
        lambda session: edits.delete(session, chat, seq=seq, user_id=user_id),
        lambda session: members.see(session, chat, user_id=user_id, seq=seq),
        lambda session: members.mute(session, chat, user_id=user_id, muted=bool(seq % 2)),
        lambda session: moderation.change(session, chat, user_id=boss, title=f"Trip {seq}"),
        lambda session: moderation.add(session, chat, user_id=boss, member_ids=[user_id]),
        lambda session: moderation.remove(session, chat, user_id=boss, member_id=another),
        lambda session: moderation.set_role(session, chat, user_id=boss, member_id=another, role=role),
    ]
    act = dice.choices(acts, weights=[6, 2, 2, 2, 1, 1, 1, 1, 1])[0]
    with contextlib.suppress(Refusal), Session.begin() as session:
        act(session)


@pytest.mark.parametrize("seed", range(3))
def test_what_was_read_before_and_what_was_heard_since_is_what_is_read_now(
    live: Live, client: Connect, seed: int
) -> None:
    """Of each of three people in two groups, whatever they do and whenever they look."""
    dice = random.Random(seed)
    people = [a_user(), a_user(), a_user()]
    chats = [a_chat(*people, hides_history=bool(seed % 2)), a_chat(*people)]
    sockets = [client(each) for each in people]
    pages = [Page(live.app.test_client(), each) for each in people]
    for page in pages:
        page.load()

    for _ in range(STEPS):
        act(dice, chats, people)
    last = a_chat(*people)
    for socket, page in zip(sockets, pages, strict=True):
        settled(socket, page, last)
        heard, fresh = page.state(), Page(page.http, page.user_id)
        fresh.load()
        assert heard == fresh.state()


def settled(socket: Client, page: Page, last: str) -> None:
    """Apply everything up to the word of a chat that was made at the very end, and what is on its way still."""
    end = socket.until(lambda frame: frame["op"] == "members" and frame.get("chat") == last)
    for frame in [*socket.waiting, end]:
        page.apply(frame)
    socket.waiting.clear()
    try:
        while True:
            page.apply(socket.received(0.5))
    except TimeoutError:
        return


def test_every_frame_has_its_schema_in_the_documentation() -> None:
    """Under its name, word for word."""
    text = (ROOT / "docs/reference/websocket.md").read_text()
    blocks = re.findall(r"^`([a-z_. ]+)`\n\n```json\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    documented = {name: json.loads(block) for name, block in blocks}

    assert documented == json.loads(json.dumps(schemas()))
    assert {f"answer {op}" for op in ANSWERS} <= documented.keys() >= {f"event {op}" for op in EVENTS}
