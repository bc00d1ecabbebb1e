"""Stale state + event = fresh state, for each kind of event there is. (Experiment C29.)

`EVENTS` names them; one that has no case here fails. What they come to in histories of any kind, `test_state` shows.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import redis
from sqlalchemy import text

from api.gateway.event_schemas import EVENTS
from models import edits, members, moderation, summaries
from models.base import Session
from models.live.partial import PartialText
from models.settings import Settings
from tests.factories import a_chat, a_user, an_ai_chat, ask, call, claim, create, say
from tests.gateway.clients import Client
from tests.gateway.conftest import Live
from tests.gateway.pages import Page
from tests.system.stack import eventually

pytestmark = pytest.mark.xdist_group("gateway")
States = tuple[Any, Any, Any]
"""What was read before; that, with the event applied; what is read now."""


@dataclass
class Scene:
    """Two people in a group where something was said; Ben's page is looked at."""

    live: Live
    client: Callable[..., Client]
    start: Callable[..., Live]
    settings: Settings

    def __post_init__(self) -> None:
        self.anna, self.ben = a_user(), a_user()
        self.chat = a_chat(self.anna, self.ben)
        say(self.chat, self.anna, "One", "Two")
        self.socket = self.client(self.ben)
        self.page = Page(self.live.app.test_client(), self.ben)
        self.page.load()
        self.stale = self.page.state()

    def states(self) -> States:
        """Of a page that has applied what it should."""
        fresh = Page(self.page.http, self.ben)
        fresh.load()
        return self.stale, self.page.state(), fresh.state()

    def status(self, job_id: str) -> str:
        """As Ben reads it."""
        found: str = self.page.get(f"/api/jobs/{job_id}")["status"]
        return found


def after(op: str, act: Callable[[Scene], object]) -> Callable[[Scene], States]:
    """The case of an event that a page applies as it comes."""

    def case(scene: Scene) -> States:
        scene.stale = copy.deepcopy(scene.stale)
        act(scene)
        scene.page.apply(scene.socket.event(op))
        return scene.states()

    return case


def edit(scene: Scene) -> None:
    with Session.begin() as session:
        edits.edit(session, scene.chat, seq=1, user_id=scene.anna, content="Eins")


def delete(scene: Scene) -> None:
    with Session.begin() as session:
        edits.delete(session, scene.chat, seq=1, user_id=scene.anna)


def rename(scene: Scene) -> None:
    with Session.begin() as session:
        moderation.change(session, scene.chat, user_id=scene.anna, title="Journey")


def add(scene: Scene) -> None:
    with Session.begin() as session:
        moderation.add(session, scene.chat, user_id=scene.anna, member_ids=[a_user()])


def see(scene: Scene) -> None:
    with Session.begin() as session:
        members.see(session, scene.chat, user_id=scene.ben, seq=1)


def see_anew(scene: Scene) -> None:
    """By somebody else: Anna, whom a new message of Ben's waits for."""
    say(scene.chat, scene.ben, "Three")
    scene.page.apply(scene.socket.event("message.new"))
    scene.stale = copy.deepcopy(scene.page.state())
    with Session.begin() as session:
        members.see(session, scene.chat, user_id=scene.anna, seq=3)


def hello(scene: Scene) -> States:
    """What was before it, the page reads; what comes after it, it hears."""
    scene.stale = copy.deepcopy(scene.stale)
    say(scene.chat, scene.anna, "Three")
    socket = scene.client(scene.ben)
    scene.page.load()
    say(scene.chat, scene.anna, "Four")
    scene.page.apply(socket.event("message.new", content="Four"))
    return scene.states()


def unread(scene: Scene) -> States:
    """On another device, and the mark was heard of before."""
    see(scene)
    scene.page.apply(scene.socket.event("seen"))
    scene.stale = copy.deepcopy(scene.page.state())
    scene.page.apply(scene.socket.event("unread"))
    return scene.states()


def resync(scene: Scene) -> States:
    """Nothing is heard until it comes; then all is read."""
    say(scene.chat, scene.anna, "Unheard")
    news = scene.live.gateway.news
    scene.live.inside(news.bus_lost)
    scene.live.inside(news.bus_found)
    scene.socket.event("resync", reason="bus")
    scene.stale = copy.deepcopy(scene.stale)
    scene.page.load()
    return scene.states()


def reconnect(scene: Scene) -> States:
    """Elsewhere: greeted there, the page reads all."""
    other = scene.start()
    socket = scene.client(scene.ben, at=other)
    other.stop()
    assert socket.event("reconnect")["d"]["afterMs"] >= 0
    say(scene.chat, scene.anna, "In between")
    return hello(scene)


def echoes(scene: Scene, content: str, *heard: str) -> States:
    """What Ben's other socket shows as being sent, by its name, beside what is stored under it."""
    shown: dict[str, str] = {}
    stale: dict[str, str] = {}
    scene.client(scene.ben).answer("send", chat=scene.chat, content=content, clientMsgId="m1")
    for op in heard:
        stale, d = dict(shown), scene.socket.event(op)["d"]
        shown.pop(d["clientMsgId"], None)
        shown |= {d["clientMsgId"]: d["content"]} if op == "message.pending" else {}
    stored = scene.page.get(f"/api/chats/{scene.chat}/messages")["items"]
    return stale, shown, {each["clientMsgId"]: each["content"] for each in stored if each["senderId"] == scene.ben}


def ai_status(scene: Scene) -> States:
    """Of whoever asked."""
    job_id = str(call(an_ai_chat(scene.ben), scene.ben))
    stale = scene.status(job_id)
    scene.socket.event("members", userId=scene.ben)
    assert claim(job_id) is not None
    heard = scene.socket.event("ai.status", jobId=job_id, status="processing")["d"]
    return stale, heard["status"], scene.status(job_id)


def ai_text(scene: Scene) -> States:
    """Piece by piece."""
    scene.socket.ask("open", chat=scene.chat)
    job_id = str(call(scene.chat, scene.anna))
    claimed, partial, heard = claim(job_id), PartialText(scene.settings), ""
    assert claimed is not None
    assert ask(claimed)
    scene.socket.event("ai.status", status="analyzing")
    for said in ("Because", "Because of Rayleigh"):
        partial.put({(job_id, 1): said.encode()})
        d = scene.socket.event("ai.text", chat=scene.chat)["d"]
        heard = heard[: d["offset"]] + d["text"]
    return "", heard, partial.since(job_id, attempt=1, offset=0).decode()


def summary(scene: Scene) -> States:
    """There is another: the one that was, forgotten."""
    with Session.begin() as session:
        given = {"chat": scene.chat}
        session.execute(text("INSERT INTO ai_cache_contexts (chat_id) VALUES (:chat) ON CONFLICT DO NOTHING"), given)
    path = f"/api/chats/{scene.chat}/summary"
    stale = scene.page.get(path)["version"]
    with Session.begin() as session:
        summaries.reset(session, scene.chat, user_id=scene.anna)
    return stale, scene.socket.event("summary", chat=scene.chat)["d"]["version"], scene.page.get(path)["version"]


def typing(scene: Scene) -> States:
    """As Redis has it while she writes."""
    scene.socket.ask("open", chat=scene.chat)
    scene.client(scene.anna).ask("typing", chat=scene.chat, on=True)
    heard = scene.socket.event("typing", chat=scene.chat, on=True)["d"]["userId"]
    name = f"chat:typing:{scene.chat}:{heard}"
    with redis.Redis.from_url(scene.settings.redis_url) as keys:
        return None, name, eventually(lambda: name if keys.exists(name) else None, seconds=3)


def presence(scene: Scene) -> States:
    """As whoever opens the chat now is answered."""
    stale = {each["userId"]: each for each in scene.socket.ask("open", chat=scene.chat)["members"]}
    scene.client(scene.anna)
    heard = {**stale, scene.anna: scene.socket.event("presence", userId=scene.anna)["d"]}
    fresh = scene.client(scene.ben).ask("open", chat=scene.chat)["members"]
    return stale, heard, {each["userId"]: each for each in fresh}


def job(scene: Scene) -> States:
    """One's own, in no chat."""
    job_id = create(owner=f"user:{scene.ben}")
    stale = scene.socket.ask("watch_job", jobId=job_id)["status"]
    assert claim(job_id) is not None
    return stale, scene.socket.event("job", jobId=job_id)["d"]["status"], scene.status(job_id)


CASES: Mapping[str, Callable[[Scene], States]] = {
    "hello": hello,
    "message.pending": lambda scene: echoes(scene, "Hello", "message.pending"),
    "message.refused": lambda scene: echoes(scene, " ", "message.pending", "message.refused"),
    "message.new": after("message.new", lambda scene: say(scene.chat, scene.anna, "Three")),
    "message.edited": after("message.edited", edit),
    "message.deleted": after("message.deleted", delete),
    "ai.status": ai_status,
    "ai.text": ai_text,
    "chat": after("chat", rename),
    "members": after("members", add),
    "summary": summary,
    "seen": after("seen", see_anew),
    "unread": unread,
    "typing": typing,
    "presence": presence,
    "job": job,
    "resync": resync,
    "reconnect": reconnect,
}


@pytest.mark.parametrize("op", EVENTS)
def test_what_was_read_and_the_event_are_what_is_read_now(
    live: Live, client: Callable[..., Client], start: Callable[..., Live], db: Settings, op: str
) -> None:
    """Whatever kind it is; and without the event it would not be so."""
    stale, heard, fresh = CASES[op](Scene(live, client, start, db))

    assert stale != fresh
    assert heard == fresh
