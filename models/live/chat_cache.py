"""The chat cache: what is asked for most often of chats, kept in Redis and made of what is true.

    chat:messages:<room>          the newest messages of a hot chat   10 min, or until many others were read since
    chat:room_members:<room>      who is in it                        30 min
    chat:user_rooms:<user>        what somebody is in                 30 min
    chat:unread:<user>:<room>     how much is new to them             1 h
    chat:active:<user>            which chat they had open last       a day
    chat:page:<user>:<room>       where their pages were counted from 30 min

Nothing here permits anything: whether somebody is in a group PostgreSQL is asked, for whoever is removed must read
nothing from that moment, and one statement then answers both. So messages are kept of chats that nobody can be removed
from. Reads fill what is missing under a lease, so that nothing older replaces something newer; changes come from
`models.live.chat_changes` after their commit. Without Redis every answer here is "not known".
"""

from __future__ import annotations

import datetime as dt
import json
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models import metrics
from models.chats import ChatType
from models.live import chat_scripts as scripts
from models.live.circuit import GENERATION, GENERATION_SECONDS, Circuit
from models.live.flights import Flights
from models.newest import Newest
from models.settings import Settings

MESSAGES_SECONDS = 600
"""Since they were stored, however often they are read: what a process that was killed between a commit and its word of
it has left out is shown no longer, though nobody takes that process's place."""
MEMBERS_SECONDS = ROOMS_SECONDS = PAGE_SECONDS = 1800
UNREAD_SECONDS = 3600
ACTIVE_SECONDS = 86400
IN_ORDER_OF_USE = "chat:lru"
_MUTED = "-"
"""Behind a room's id, which ends in none."""
_TIMES = ("created_at", "edited_at", "deleted_at")

Row = Mapping[str, Any]
Counts = dict[str, int]


@dataclass(frozen=True, kw_only=True)
class Lease:
    """The right to store what is missing, until somebody changes it."""

    token: str
    generation: str


class ChatCache:
    """One for each process; connects at first use, that is, after any fork."""

    def __init__(self, settings: Settings) -> None:
        self.most_messages, self._most_chats = settings.chat_page_messages, settings.cached_chats
        self.circuit = Circuit(settings)
        self.flights = Flights()

    # The newest messages

    def newest(self, chat_id: str) -> Newest | None:
        """What is kept of a chat."""
        given = (GENERATION, messages_of(chat_id), IN_ORDER_OF_USE)
        found = self.circuit.ask(lambda redis: redis.eval(scripts.NEWEST, 3, *given)) if self._most_chats else None
        _looked("messages", hits=int(bool(found)), misses=int(not found))
        if not found:
            return None
        fields = dict(zip(found[::2], found[1::2], strict=True))
        about, seqs = json.loads(fields[b"about"]), sorted(int(name) for name in fields if name.isdigit())
        return Newest(
            type=ChatType(about["type"]),
            title=about["title"],
            readers=about["readers"],
            first=int(fields[b"first"]),
            version=int(fields[b"version"]),
            messages=[decoded(fields[b"%d" % seq]) for seq in seqs],
        )

    def keep(self, chat_id: str, newest: Newest, *, lease: Lease | None) -> None:
        """Store it, should nothing have happened since the lease was taken."""
        if lease is None or not self._most_chats:
            return
        keys = (GENERATION, messages_of(chat_id), leased(messages_of(chat_id)), IN_ORDER_OF_USE)
        about = encoded({"type": newest.type, "title": newest.title, "readers": newest.readers})
        fields: list[Any] = ["version", newest.version, "first", newest.first, "about", about]
        for row in newest.messages:
            fields += [row["seq"], encoded(row)]
        given: tuple[Any, ...] = (lease.token, lease.generation, MESSAGES_SECONDS, self._most_chats, *fields)
        self.circuit.ask(lambda redis: redis.eval(scripts.KEEP, len(keys), *keys, *given))

    # Sets of ids

    def members(self, chat_id: str, load: Callable[[], Iterable[str]]) -> Sequence[str]:
        """Ids of who is in a room."""
        return self._ids(members_of(chat_id), load, seconds=MEMBERS_SECONDS)

    def rooms(self, user_id: str) -> dict[str, bool] | None:
        """The rooms somebody is in, and whether they have muted them; None: not known."""
        (found,) = self._values([rooms_of(user_id)]) or [None]
        if found is None:
            return None
        return {word.rstrip(_MUTED): word.endswith(_MUTED) for word in filter(None, found.split(","))}

    def keep_rooms(self, user_id: str, rooms: Mapping[str, bool], *, lease: Lease | None) -> None:
        """Store them."""
        words = ",".join(room_id + _MUTED * muted for room_id, muted in rooms.items())
        self._fill({rooms_of(user_id): words}, lease=lease, seconds=ROOMS_SECONDS)

    def _ids(self, entry: str, load: Callable[[], Iterable[str]], *, seconds: int) -> Sequence[str]:
        def look() -> Sequence[str] | None:
            (found,) = self._values([entry]) or [None]
            return None if found is None else list(filter(None, found.split(",")))

        def fetch() -> Sequence[str]:
            lease = self.lease([entry])
            loaded = list(load())
            self._fill({entry: ",".join(loaded)}, lease=lease, seconds=seconds)
            return loaded

        return self.flights.found(entry, look, fetch)

    # Unread

    def unread(self, user_id: str, room_ids: Sequence[str]) -> tuple[Counts, list[str]]:
        """How many messages are new to somebody, by room, and the rooms of which that is not known. One question."""
        found = self._values([unread_of(user_id, room_id) for room_id in room_ids]) or [None] * len(room_ids)
        by_room = dict(zip(room_ids, found, strict=True))
        counts = {room_id: int(value.partition(":")[0]) for room_id, value in by_room.items() if value is not None}
        return counts, [room_id for room_id in room_ids if room_id not in counts]

    def keep_unread(self, user_id: str, counts: Mapping[str, tuple[int, int]], *, lease: Lease | None) -> None:
        """Store counts, each with the ``seq`` of the newest message that was there to be counted."""
        entries = {unread_of(user_id, room_id): f"{count}:{seq}" for room_id, (count, seq) in counts.items()}
        self._fill(entries, lease=lease, seconds=UNREAD_SECONDS)

    # What somebody looks at

    def active(self, user_id: str) -> str | None:
        """The chat they had open last."""
        found = self.circuit.ask(lambda redis: redis.get(active_of(user_id)))
        return None if found is None else found.decode()

    def opened(self, user_id: str, chat_id: str, *, counted_from: int | None = None) -> None:
        """They have this chat open now; with ``counted_from``: and see its first page, which ends before that seq."""

        def note(redis: Any) -> None:
            pipeline = redis.pipeline(transaction=False)
            pipeline.set(active_of(user_id), chat_id, ex=ACTIVE_SECONDS)
            if counted_from is not None:
                pipeline.set(page_of(user_id, chat_id), counted_from, ex=PAGE_SECONDS)
            pipeline.execute()

        self.circuit.ask(note)

    def counted_from(self, user_id: str, chat_id: str) -> int | None:
        """The seq from which their pages were counted when they saw the first."""
        found = self.circuit.ask(lambda redis: redis.get(page_of(user_id, chat_id)))
        return None if found is None else int(found)

    # Entries

    def lease(self, entries: Sequence[str]) -> Lease | None:
        """Say that these will be read and stored; None without Redis."""
        token, keys = secrets.token_hex(8), [GENERATION, *map(leased, entries)]
        given: tuple[Any, ...] = (token, secrets.token_hex(8), GENERATION_SECONDS)
        had = self.circuit.ask(lambda redis: redis.eval(scripts.LEASE, len(keys), *keys, *given))
        return had and Lease(token=token, generation=had[0].decode())

    def _values(self, entries: Sequence[str]) -> list[str | None] | None:
        found = self.circuit.ask(lambda redis: redis.mget([GENERATION, *entries]))
        if found is None or found[0] is None:
            _looked("counts", misses=len(entries))
            return None
        beginning = found[0].decode() + ":"
        kept = [value and value.decode() for value in found[1:]]
        values = [v.removeprefix(beginning) if v and v.startswith(beginning) else None for v in kept]
        _looked("counts", hits=len(values) - values.count(None), misses=values.count(None))
        return values

    def _fill(self, entries: Mapping[str, str], *, lease: Lease | None, seconds: int) -> None:
        if lease is None or not entries:
            return
        keys = [GENERATION, *(key for entry in entries for key in (entry, leased(entry)))]
        given: tuple[Any, ...] = (lease.token, lease.generation, seconds, *entries.values())
        self.circuit.ask(lambda redis: redis.eval(scripts.FILL, len(keys), *keys, *given))


def _looked(kind: str, *, hits: int = 0, misses: int = 0) -> None:
    metrics.CHAT_CACHE.labels(kind, "hit").inc(hits)
    metrics.CHAT_CACHE.labels(kind, "miss").inc(misses)


def encoded(row: Mapping[str, Any]) -> str:
    """As it is kept."""
    return json.dumps(dict(row), default=_text_of, ensure_ascii=False, separators=(",", ":"))


def _text_of(value: object) -> str:
    return value.isoformat() if isinstance(value, dt.datetime) else str(value)


def decoded(encoded: bytes) -> Row:
    """The row it was made of.

    >>> decoded(encoded({"seq": 7, "created_at": dt.datetime(2030, 1, 31, tzinfo=dt.UTC), "edited_at": None}).encode())
    {'seq': 7, 'created_at': datetime.datetime(2030, 1, 31, 0, 0, tzinfo=datetime.timezone.utc), 'edited_at': None}
    """
    row: dict[str, Any] = json.loads(encoded)
    for name in _TIMES:
        if row.get(name) is not None:
            row[name] = dt.datetime.fromisoformat(row[name])
    return row


def messages_of(chat_id: str) -> str:
    """The name of the entry, here and below."""
    return f"chat:messages:{chat_id}"


def members_of(chat_id: str) -> str:
    """
    >>> members_of("5f0c")
    'chat:room_members:5f0c'
    """
    return f"chat:room_members:{chat_id}"


def rooms_of(user_id: str) -> str:
    """
    >>> rooms_of("5f0c")
    'chat:user_rooms:5f0c'
    """
    return f"chat:user_rooms:{user_id}"


def unread_of(user_id: str, room_id: str) -> str:
    """
    >>> unread_of("5f0c", "77aa")
    'chat:unread:5f0c:77aa'
    """
    return f"chat:unread:{user_id}:{room_id}"


def active_of(user_id: str) -> str:
    """
    >>> active_of("5f0c")
    'chat:active:5f0c'
    """
    return f"chat:active:{user_id}"


def page_of(user_id: str, chat_id: str) -> str:
    """
    >>> page_of("5f0c", "77aa")
    'chat:page:5f0c:77aa'
    """
    return f"chat:page:{user_id}:{chat_id}"


def leased(entry: str) -> str:
    """The name of the lease on an entry."""
    return entry + scripts.LEASED
