"""The chat cache: whatever happens to a chat, and to Redis, it says what the database says, or nothing."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from sqlalchemy import text

from models import chats, departures, edits, members, messages, moderation, own_chats
from models.base import Session, bare
from models.errors import ChatNotFound
from models.live import chat_cache, chat_changes, circuit, client
from models.live.chat_cache import ChatCache
from models.live.chat_reads import ChatReads
from models.members import MemberRole
from models.own_chats import Unread
from models.settings import Settings
from models.users import AI_ID
from tests.conftest import Servers
from tests.factories import TOKEN_KEY, a_chat, a_user, an_ai_chat, say
from tests.statements import number_of
from tests.system.stack import eventually

KEPT = 5
NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture
def make_cache(db: Settings) -> Iterator[Callable[..., ChatCache]]:
    """Makes caches that this process's commits are told to, the newest of them; ends that with the test."""
    yield lambda **ours: chat_changes.cache_from_now_on(dataclasses.replace(db, chat_page_messages=KEPT, **ours))
    chat_changes.forget()


@pytest.fixture
def cache(make_cache: Callable[..., ChatCache]) -> ChatCache:
    return make_cache()


class Room:
    """A chat of Anna's, with somebody else or the AI in it, and more messages than are kept."""

    def __init__(self, kind: str, cache: ChatCache) -> None:
        self.anna, self.ben, self.reads = a_user(), a_user(), ChatReads(cache)
        if kind == "ai":
            self.id, self.other = an_ai_chat(self.anna), AI_ID
        elif kind == "group":
            self.id, self.other = a_chat(self.anna, self.ben), self.ben
        else:
            with Session.begin() as session:
                self.id, _ = chats.create_pair(session, user_id=self.anna, other_id=self.ben, key=TOKEN_KEY)
                self.other = self.ben
        say(self.id, self.anna, *("Hello " + str(number) for number in range(KEPT)))
        say(self.id, self.other, "Hello yourself", "Still there?")

    def said(self, reader: str, *, limit: int = KEPT) -> list[Any]:
        """The newest page as the cache has it, or whatever stands for it."""
        return self._told(self.reads.page(self.id, reader=reader, limit=limit))

    def stored(self, reader: str, *, limit: int = KEPT) -> list[Any]:
        """The same as PostgreSQL has it."""
        with bare() as session:
            return self._told(messages.page(session, self.id, reader=reader, limit=limit))

    @staticmethod
    def _told(page: messages.Page) -> list[Any]:
        return [page.before, page.after, page.last_change_seq, *map(dict, page.messages)]

    def as_cached(self) -> dict[str, Any]:
        """All that the cache is asked for; a refusal is an answer, too."""
        return self._everything(self.said, lambda user: by_chat(self.reads.unread(user)))

    def as_stored(self) -> dict[str, Any]:
        """The same as PostgreSQL says it."""

        def counts(user_id: str) -> Any:
            with bare() as session:
                return by_chat(own_chats.unread(session, user_id))

        return self._everything(self.stored, counts)

    def _everything(self, page: Callable[[str], Any], counts: Callable[[str], Any]) -> dict[str, Any]:
        return {user: (or_refused(page, user), counts(user)) for user in (self.anna, self.ben)}


def by_chat(unread: Unread) -> dict[str, tuple[int, bool]]:
    """How much, and whether it is muted."""
    return {chat["chat_id"]: (chat["unread"], chat["muted"]) for chat in unread.chats}


def warm(room: Room) -> None:
    """Ask until all is kept."""
    for _ in range(3):
        room.as_cached()


def or_refused(read: Callable[[str], Any], user_id: str) -> Any:
    """None if it is."""
    try:
        return read(user_id)
    except ChatNotFound:
        return None


def verb(change: Callable[[Any, Room], object]) -> Callable[[Room], object]:
    """Done by a door."""

    def done(room: Room) -> object:
        with Session.begin() as session:
            return change(session, room)

    return done


CHANGES: dict[str, Callable[[Room], object]] = {
    "post": lambda room: say(room.id, room.anna, "Yes"),
    "be answered": lambda room: say(room.id, room.other, "Good"),
    "post many": lambda room: say(room.id, room.other, *map(str, range(2 * KEPT))),
    "post many at once": verb(
        lambda session, room: [
            messages.post(session, chat_id=room.id, sender_id=room.anna, content=str(n), client_msg_id=str(n))
            for n in range(2 * KEPT)
        ]
    ),
    "resend": lambda room: [say(room.id, room.anna, "Once", client_msg_id="once") for _ in range(2)],
    "edit": verb(lambda session, room: edits.edit(session, room.id, seq=4, user_id=room.anna, content="Hi")),
    "edit what is not kept": verb(
        lambda session, room: edits.edit(session, room.id, seq=1, user_id=room.anna, content="Hi")
    ),
    "delete": verb(lambda session, room: edits.delete(session, room.id, seq=4, user_id=room.anna)),
    "delete what is unread": verb(lambda session, room: edits.delete(session, room.id, seq=7, user_id=room.other)),
    "read some": verb(lambda session, room: members.see(session, room.id, user_id=room.anna, seq=6)),
    "read all": verb(lambda session, room: members.see(session, room.id, user_id=room.anna, seq=7)),
    "read what a page has shown": verb(lambda session, room: members.see(session, room.id, user_id=room.other, seq=7)),
    "mute": verb(lambda session, room: members.mute(session, room.id, user_id=room.anna, muted=True)),
}


IN_GROUPS: dict[str, Callable[[Room], object]] = {
    "rename": verb(lambda session, room: moderation.change(session, room.id, user_id=room.anna, title="Another")),
    "add": verb(lambda session, room: moderation.add(session, room.id, user_id=room.anna, member_ids=[a_user()])),
    "remove": verb(lambda session, room: moderation.remove(session, room.id, user_id=room.anna, member_id=room.ben)),
    "leave": verb(lambda session, room: moderation.remove(session, room.id, user_id=room.anna, member_id=room.anna)),
    "promote": verb(
        lambda session, room: moderation.set_role(
            session, room.id, user_id=room.anna, member_id=room.ben, role=MemberRole.ADMIN
        )
    ),
    "shut the AI out": verb(
        lambda session, room: moderation.change(session, room.id, user_id=room.anna, ai_mode="off")
    ),
}
IN_ALL: dict[str, Callable[[Room], object]] = {
    "end an account": verb(lambda session, room: departures.some(session, room.anna, most=500)),
    "end an account to its end": lambda room: [
        verb(lambda session, room: departures.some(session, room.anna, most=500))(room) for _ in range(4)
    ],
}
CASES = [
    *((kind, name) for kind in ("ai", "pair", "group") for name in CHANGES | IN_ALL),
    *(("group", name) for name in IN_GROUPS),
]


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_whatever_happens_to_a_chat_the_cache_says_what_the_database_says(
    cache: ChatCache, kind: str, name: str
) -> None:
    """To each of its people, before and after; asked again before, so that all there is to keep is kept."""
    room = Room(kind, cache)
    assert [room.as_cached() for _ in range(3)] == [room.as_stored()] * 3

    (CHANGES | IN_GROUPS | IN_ALL)[name](room)

    assert room.as_cached() == room.as_stored()


@pytest.mark.parametrize(("kind", "cold", "warm"), [("ai", 1, 0), ("pair", 1, 0), ("group", 1, 1)])
def test_a_page_that_is_kept_costs_no_statement_unless_somebody_could_have_been_removed(
    cache: ChatCache, kind: str, cold: int, warm: int
) -> None:
    """Kept through what is posted: that is written through."""
    room = Room(kind, cache)

    assert number_of(lambda: room.said(room.anna)) == cold
    assert number_of(lambda: room.said(room.anna)) == warm
    say(room.id, room.other, "Something new")
    assert number_of(lambda: room.said(room.anna)) == warm


def test_unread_counts_of_many_rooms_cost_no_statement_once_they_are_known(cache: ChatCache) -> None:
    """Nor after what is posted and read, which changes them where they are."""
    anna, ben, reads = a_user(), a_user(), ChatReads(cache)
    rooms = [a_chat(anna, ben) for _ in range(3)]
    for room in rooms:
        say(room, ben, "One", "Two")

    # Her rooms are kept first, then the counts of all of them.
    assert [number_of(lambda: reads.unread(anna)) for _ in range(3)] == [1, 1, 0]
    say(rooms[0], ben, "Three")
    say(rooms[1], anna, "I have read it")
    with Session.begin() as session:
        members.see(session, rooms[2], user_id=anna, seq=2)
    assert number_of(lambda: reads.unread(anna)) == 0
    assert by_chat(reads.unread(anna)) == {rooms[0]: (3, False)}


@pytest.mark.parametrize("name", ["keep", "keep_unread"])
def test_what_was_read_before_a_change_is_not_stored_after_it(
    cache: ChatCache, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The reader has the rows of before in hand when the change is committed and told."""
    room = Room("ai", cache)
    store = getattr(cache, name)

    def late(*given: Any, **more: Any) -> None:
        say(room.id, AI_ID, "In between")
        store(*given, **more)

    monkeypatch.setattr(cache, name, late)
    warm(room)
    monkeypatch.setattr(cache, name, store)

    assert room.as_cached() == room.as_stored()


def test_a_message_that_nobody_told_of_is_noticed_with_the_next(cache: ChatCache) -> None:
    """Counts go up by the message that comes next, and by no other."""
    room = Room("ai", cache)
    warm(room)
    told = chat_changes._Process.changes, chat_changes._Process.broadcast
    chat_changes.forget()
    say(room.id, AI_ID, "Nobody has told Redis")
    chat_changes._Process.changes, chat_changes._Process.broadcast = told

    say(room.id, AI_ID, "Told")

    assert room.as_cached() == room.as_stored()


def test_what_is_kept_ends_though_it_is_read_again_and_again(cache: ChatCache, servers: Servers) -> None:
    """What a process left out that was killed after a commit is not shown for ever."""
    room = Room("ai", cache)
    warm(room)

    with redis.Redis.from_url(servers.environment["REDIS_URL"]) as client:
        client.expire(chat_cache.messages_of(room.id), 100)
        room.said(room.anna)
        say(room.id, AI_ID, "One more")
        assert room.as_cached() == room.as_stored()
        assert 0 < client.ttl(chat_cache.messages_of(room.id)) <= 100


def test_many_who_miss_at_once_ask_once(cache: ChatCache) -> None:
    """The first does; the others look again when it has."""
    room = Room("ai", cache)
    everybody = ThreadPoolExecutor(8)

    def crowd() -> None:
        answers = list(everybody.map(lambda _: room.said(room.anna), range(8)))
        assert answers == [room.stored(room.anna)] * 8

    assert number_of(crowd) - 1 < 8
    everybody.shutdown()


def test_the_least_recently_read_of_too_many_chats_goes(make_cache: Callable[..., ChatCache], servers: Servers) -> None:
    """Whole; and no chat keeps more messages than it may."""
    cache = make_cache(cached_chats=2)
    rooms = [Room("ai", cache) for _ in range(3)]
    for room in (rooms[0], rooms[1], rooms[0], rooms[2]):
        room.said(room.anna)
        say(room.id, AI_ID, "One", "more")

    with redis.Redis.from_url(servers.environment["REDIS_URL"]) as client:
        kept = set(client.scan_iter("chat:messages:*"))
        assert kept == {chat_cache.messages_of(rooms[place].id).encode() for place in (0, 2)}
        assert all(len(client.hkeys(name)) == KEPT + 4 for name in kept)
        assert [name for name in client.scan_iter("chat:*") if client.ttl(name) < 0] == []


@pytest.mark.parametrize("reach", [{"redis_url": NOWHERE}, {"cached_chats": 0}])
@pytest.mark.parametrize("name", ["post", "delete", "read all"])
def test_everything_works_without_the_cache(
    make_cache: Callable[..., ChatCache], reach: dict[str, Any], name: str
) -> None:
    """Redis may be away for all time."""
    room = Room("ai", make_cache(**reach))

    CHANGES[name](room)

    assert room.as_cached() == room.as_stored()


def test_a_redis_that_fails_is_asked_no_more_until_it_is_found_again(
    make_cache: Callable[..., ChatCache], db: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a thread in the background: nobody else waits for it. What it held before is not believed."""
    monkeypatch.setattr(circuit, "FIRST_PAUSE_SECONDS", 0.01)
    cache = make_cache()
    room = Room("ai", cache)
    asked: list[object] = []
    warm(room)
    good, broken = cache.circuit._redis, client.connect(dataclasses.replace(db, redis_url=NOWHERE))
    monkeypatch.setattr(cache.circuit, "_redis", broken)
    assert room.as_cached() == room.as_stored()
    assert cache.circuit.is_open
    cache.circuit.ask(asked.append)
    say(room.id, AI_ID, "Nobody has told Redis")
    monkeypatch.setattr(cache.circuit, "_redis", good)

    eventually(lambda: not cache.circuit.is_open)

    assert asked == []
    assert room.as_cached() == room.as_stored()


def test_what_happened_while_redis_was_away_outdates_all_it_kept(
    make_cache: Callable[..., ChatCache], db: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes back with what it had, and knows nothing of what was posted, read and deleted meanwhile."""
    cache = make_cache()
    room = Room("ai", cache)
    warm(room)
    monkeypatch.setattr(cache.circuit, "is_open", True)
    say(room.id, AI_ID, "Nobody has told Redis")
    monkeypatch.setattr(cache.circuit, "is_open", False)

    assert room.as_cached() == room.as_stored()


def test_a_new_process_believes_nothing_of_before(make_cache: Callable[..., ChatCache]) -> None:
    """Whoever ran before may have died between a commit and its word of it."""
    room = Room("ai", make_cache())
    warm(room)
    chat_changes.forget()
    say(room.id, AI_ID, "Nobody has told Redis")

    room.reads = ChatReads(make_cache())

    assert room.as_cached() == room.as_stored()


def test_who_is_removed_from_a_group_reads_nothing_from_that_moment(cache: ChatCache) -> None:
    """Even if Redis never learns of it."""
    room = Room("group", cache)
    room.as_cached()
    chat_changes.forget()
    with Session.begin() as session:
        session.execute(text("DELETE FROM chat_members WHERE user_id = :id"), {"id": room.ben})

    with pytest.raises(ChatNotFound):
        room.said(room.ben)


def test_nobody_reads_a_kept_chat_of_others(cache: ChatCache) -> None:
    """What Anna's reading has stored is hers and the AI's."""
    room = Room("ai", cache)
    room.said(room.anna)

    for stranger in (room.ben, str(uuid.uuid4())):
        with pytest.raises(ChatNotFound):
            room.said(stranger)
