"""Every command, by whoever has no business there: nothing is done, nothing is told. (Experiment A31, over sockets.)

Made of the table of commands: one that is new is tried as well, and one that is in none of the lists below must refuse.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import redis
from sqlalchemy import text

from api.gateway.schemas import COMMANDS
from models import moderation
from models.api_keys import Scope
from models.base import Session
from models.settings import Settings
from tests.factories import a_chat, a_guest, a_key, a_user, create, say
from tests.gateway.clients import Client
from tests.gateway.conftest import Live

pytestmark = pytest.mark.xdist_group("gateway")
Connect = Callable[..., Client]

SECRET = "Behind closed doors"
OF_NOBODY = {"ping", "close"}
"""Done for whoever asks: they say nothing of anybody."""
OF_ONESELF = OF_NOBODY | {"seen_all", "watch", "sync"}
"""Done for whoever has an account, on what is their own: of another's thing the answer is that there is none."""


class Others:
    """Anna's and Ben's chat, and what must not get out of it."""

    def __init__(self, client: Connect) -> None:
        self.anna, self.ben = a_user(), a_user()
        self.chat = a_chat(self.anna, self.ben, title=SECRET)
        say(self.chat, self.anna, SECRET, SECRET)
        self.job = create(owner=f"user:{self.anna}", message=SECRET)
        self.page = client(self.ben)
        self.page.ask("open", chat=self.chat)
        self.writer = client(self.anna)
        self.page.event("presence", userId=self.anna)

    def frame(self, op: str) -> dict[str, Any]:
        """A command that is well formed and about them."""
        names_chat, schema = COMMANDS[op]
        values = {
            "content": SECRET,
            "clientMsgId": "m1",
            "seq": 1,
            "on": True,
            "users": [self.anna, self.ben],
            "chats": [{"id": self.chat, "since": 0}],
            "jobId": self.job,
        }
        return {"chat": self.chat if names_chat else None, **{name: values[name] for name in schema["required"]}}

    def facts(self) -> Any:
        """What is stored of it."""
        with Session() as session:
            rows = session.execute(_FACTS, {"chat": self.chat, "job": self.job}).mappings().all()
        return [dict(row) for row in rows]


_FACTS = text("""
    SELECT chats.*, to_jsonb(chat_members) AS member, to_jsonb(messages) AS message, to_jsonb(jobs) AS job
    FROM chats JOIN chat_members ON chat_members.chat_id = chats.id JOIN messages ON messages.chat_id = chats.id
    CROSS JOIN jobs WHERE chats.id = CAST(:chat AS uuid) AND jobs.id = CAST(:job AS uuid)
    ORDER BY chat_members.user_id, messages.seq
""")


def a_stranger(_: Others, client: Connect) -> Client:
    """With an account, and chats of their own."""
    user_id = a_user()
    a_chat(user_id)
    return client(user_id)


def a_removed_member(others: Others, client: Connect) -> Client:
    """Who had the chat open."""
    user_id = a_user()
    with Session.begin() as session:
        moderation.add(session, others.chat, user_id=others.anna, member_ids=[user_id])
    page = client(user_id)
    page.ask("open", chat=others.chat)
    for each in (others.page, others.writer):
        each.event("members", userId=user_id, gone=False)
    with Session.begin() as session:
        moderation.remove(session, others.chat, user_id=others.anna, member_id=user_id)
    for each in (page, others.page, others.writer):
        each.event("members", userId=user_id, gone=True)
    page.heard()
    return page


def a_guest_of_a_browser(_: Others, client: Connect) -> Client:
    """Without an account."""
    return client(additional_headers={"Cookie": f"parley_guest={a_guest()[0]}"})


def a_poor_key(others: Others, client: Connect) -> Client:
    """Of Anna herself, and good for nothing that concerns chats or jobs."""
    return client(token=a_key(others.anna, Scope.ADMIN))


Who = Callable[[Others, Connect], Client]
WHO = [a_stranger, a_removed_member, a_guest_of_a_browser, a_poor_key]
MAY: Mapping[Who, set[str]] = {a_stranger: OF_ONESELF, a_removed_member: OF_ONESELF}


@pytest.mark.parametrize("who", WHO, ids=lambda who: who.__name__)
def test_no_command_of_others_does_or_tells_anything(live: Live, client: Connect, db: Settings, who: Who) -> None:
    """Whoever is concerned hears nothing, what is stored stays, and no answer holds what they said or who they are."""
    others = Others(client)
    intruder = who(others, client)
    others.page.heard()
    before = others.facts()

    answers = {op: intruder.answer(op, **others.frame(op)) for op in COMMANDS}

    done = {op for op, answer in answers.items() if answer["op"] == "ack"}
    assert done <= MAY.get(who, OF_NOBODY)
    told = json.dumps([*answers.values(), *intruder.heard()])
    assert [each for each in (SECRET, others.anna, others.ben) if each in told] == []
    assert others.facts() == before
    assert (others.page.heard(), others.writer.heard()) == ([], [])
    with redis.Redis.from_url(db.redis_url) as keys:
        assert list(keys.scan_iter(f"chat:typing:{others.chat}:*")) == []
    print(f"\nA31: {who.__name__}: {len(answers)} commands, {len(done)} on their own things, 0 leaks")  # noqa: T201
