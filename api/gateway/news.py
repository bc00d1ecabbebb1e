"""News: what others say of chats, read from PostgreSQL where it matters, and handed to the sockets concerned.

A word on the bus says only that something has happened. For messages the room goes on from the last change it has
delivered, so that a word which was lost is made good by the next. Whoever is to have them is asked of PostgreSQL in the
same moment as the messages: who was removed before one was said gets none of it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from api.chats import unread_of
from api.gateway import counts, frames
from api.gateway.hub import Hub, Room, User, places_of
from api.gateway.sockets import RESYNC, deliver
from api.messages import as_wire
from models import audiences, logs
from models.audiences import Place
from models.base import bare, is_outage
from models.live import client
from models.live.chat_reads import ChatReads
from models.settings import Settings

ROOMS_AT_ONCE = 50
PAUSE_SECONDS = 0.5
"""After the database did not answer."""
POLL_SECONDS = 2.0
"""Between two looks at all rooms while there is no bus."""

log = logs.logger()


class News:
    """Of one hub."""

    def __init__(self, settings: Settings, hub: Hub, chat_reads: ChatReads) -> None:
        self._hub, self._chat_reads = hub, chat_reads
        self._uncounted: defaultdict[str, set[str]] = defaultdict(set)
        """Chats of users here who have just read something there."""
        self._chats, self._users = client.name(settings, "chat", ""), client.name(settings, "user", "")
        self._dirty: set[str] = set()
        self.is_bus_up = self._is_behind = False
        self.heard_chat: dict[str, Callable[[Room, Mapping[str, Any]], None]] = {
            "posted": self._moved,
            "edited": self._moved,
            "deleted": self._moved,
            "members": self._members,
            "erased": self._erased,
            "read": self._seen,
            "chat": self._changed,
            "summary": self._summarised,
            "typing": self._typing,
        }
        self.heard_user: dict[str, Callable[[User, Mapping[str, Any]], None]] = {
            "members": self._doubted,
            "erased": self._doubted,
            "muted": self._muted,
            "company": self._accompanied,
            "pending": lambda user, word: self._pending(user, word, "message.pending"),
            "refused": lambda user, word: self._pending(user, word, "message.refused"),
            "read": self._read_own,
        }

        self.heard_of: dict[str, Callable[[str, Mapping[str, Any]], None]] = {}
        """Of users who need not be here."""

    # What is said

    def heard(self, channel: str, said: bytes) -> None:
        """Take a word of the bus."""
        try:
            word = json.loads(said)
            kind = word["kind"]
        except (ValueError, TypeError, KeyError):
            return  # not of ours
        if channel.startswith(self._chats):
            room = self._hub.rooms.get(channel[len(self._chats) :])
            take = self.heard_chat.get(kind)
            if room is not None and take is not None:
                take(room, word)
        elif channel.startswith(self._users):
            user_id = channel[len(self._users) :]
            user, take_own, take_any = self._hub.users.get(user_id), self.heard_user.get(kind), self.heard_of.get(kind)
            if user is not None and take_own is not None:
                take_own(user, word)
            if take_any is not None:
                take_any(user_id, word)

    def _moved(self, room: Room, _: Mapping[str, Any]) -> None:
        self._dirty.add(room.id)
        self._hub.woken.set()

    def _members(self, room: Room, word: Mapping[str, Any]) -> None:
        if word["user"] is not None:
            self._hub.doubt(room.id, word["user"])

    def _erased(self, room: Room, _: Mapping[str, Any]) -> None:
        for user_id in room.members:
            self._hub.doubt(room.id, user_id)

    def _seen(self, room: Room, word: Mapping[str, Any]) -> None:
        self.to_room(room, "seen", {"userId": word["user"], "seq": word["seq"]})

    def _changed(self, room: Room, _: Mapping[str, Any]) -> None:
        self.to_room(room, "chat", {})

    def _summarised(self, room: Room, word: Mapping[str, Any]) -> None:
        self.to_room(room, "summary", {"version": word["seq"]})

    def _typing(self, room: Room, word: Mapping[str, Any]) -> None:
        others = [socket for socket in room.opened if socket.user_id != word["user"]]
        frame = frames.encoded("typing", {"userId": word["user"], "on": word["on"]}, chat=room.id)
        deliver(others, frame, is_ephemeral=True)

    def _read_own(self, user: User, word: Mapping[str, Any]) -> None:
        self._uncounted[user.id].add(word["chat"])
        self._hub.woken.set()

    def _doubted(self, user: User, word: Mapping[str, Any]) -> None:
        self._hub.doubt(word["chat"], user.id)

    def _muted(self, user: User, word: Mapping[str, Any]) -> None:
        deliver(user.sockets, frames.encoded("chat", {}, chat=word["chat"]))

    def _accompanied(self, user: User, _: Mapping[str, Any]) -> None:
        user.has_company = True

    def _pending(self, user: User, word: Mapping[str, Any], op: str) -> None:
        others = [socket for socket in user.sockets if socket.id != word["socket"]]
        deliver(others, frames.encoded(op, word["d"], chat=word["chat"]))

    def to_room(self, room: Room, op: str, d: Mapping[str, Any]) -> None:
        """An event for everybody here who is in a chat."""
        deliver(self._hub.sockets_of(room.members), frames.encoded(op, d, chat=room.id))

    # The bus

    def bus_lost(self) -> None:
        """From now on rooms are looked at now and then."""
        self.is_bus_up = False

    def bus_found(self) -> None:
        """Something may have been missed: here it is looked for, and the pages are told to look, too."""
        was_up, self.is_bus_up = self.is_bus_up, True
        self._is_behind = True
        self._dirty.update(self._hub.rooms)
        self._hub.woken.set()
        if not was_up:
            counts.RESYNCS.labels("bus").inc(len(self._hub.sockets))
            deliver(self._hub.sockets, frames.encoded(RESYNC, {"reason": "bus"}))

    # The loops

    async def run(self) -> None:
        """Deliver; ends when cancelled."""
        while True:
            await self._hub.woken.wait()
            self._hub.woken.clear()
            try:
                await self._place()
                await self._advance()
                await self._count()
            except SQLAlchemyError as error:
                if not is_outage(error):
                    log.exception("tick_failed", loop="news")
                await asyncio.sleep(PAUSE_SECONDS)
            except Exception:
                # A defect that one room or message shows: the others are told all the same, and that room by its next.
                log.exception("tick_failed", loop="news")
                await asyncio.sleep(PAUSE_SECONDS)
            if self._dirty or self._hub.unsure or self._is_behind or self._uncounted:
                self._hub.woken.set()

    async def poll(self) -> None:
        """While there is no bus, find out what has moved; ends when cancelled."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            if self.is_bus_up or not self._hub.rooms:
                continue
            since = {room.id: room.since for room in self._hub.rooms.values() if room.since is not None}
            try:
                self._dirty.update(await self._hub.ask(_moved, since))
            except SQLAlchemyError as error:
                log.warning("looking_waits", error=type(error).__name__)
            if self._dirty:
                self._hub.woken.set()

    async def _place(self) -> None:
        """Ask where those stand of whom it is not sure, and tell who is concerned."""
        if self._is_behind:
            await self._hub.doubt_all()
            self._is_behind = False
        asked = list(self._hub.unsure)
        if not asked:
            return
        self._hub.unsure.difference_update(asked)
        try:
            # Who has gone comes first: they hear nothing of who has come since.
            for place in sorted(await self._hub.ask(places_of, asked), key=lambda each: each.joined_seq is not None):
                await self._placed(place)
        except BaseException:
            self._hub.unsure.update(asked)
            raise

    async def _placed(self, place: Place) -> None:
        room, user = self._hub.rooms.get(place.chat_id), self._hub.users.get(place.user_id)
        gone = place.joined_seq is None
        was_in = user is not None and place.chat_id in user.rooms
        if user is not None and not gone and not was_in:
            gone = not await self._hub.join(place, user)
            room = self._hub.rooms.get(place.chat_id)
        elif user is not None and room is not None and place.joined_seq is not None:
            room.members[user.id] = place.joined_seq  # they may have left and come back meanwhile
        event = frames.encoded("members", {"userId": place.user_id, "gone": gone}, chat=place.chat_id)
        if gone and user is not None:
            self._hub.part(place.chat_id, user)
            self._hub.parted(user)
            if was_in:
                deliver(user.sockets, event)
        if room is not None:
            deliver(self._hub.sockets_of(room.members), event)

    async def _advance(self) -> None:
        """Deliver what is new in rooms where something has happened."""
        rooms = {}
        for chat_id in list(itertools.islice(self._dirty, ROOMS_AT_ONCE)):
            self._dirty.discard(chat_id)
            room = self._hub.rooms.get(chat_id)
            if room is not None and room.since is not None:
                rooms[chat_id] = room
        if not rooms:
            return
        since = {room.id: room.since for room in rooms.values()}
        asked = {user_id for room in rooms.values() for user_id in room.members}
        try:
            found, readers = await self._hub.ask(_read, since, asked)
        except BaseException:
            self._dirty.update(rooms)
            raise
        for chat_id, rows in itertools.groupby(found, key=lambda row: row["chat_id"]):
            self._deliver(rooms[chat_id], list(rows), readers, asked)

    async def _count(self) -> None:
        """Tell those who have read something how much is left."""
        while self._uncounted:
            user_id, chat_ids = self._uncounted.popitem()
            try:
                found = await self._hub.ask(self._chat_reads.unread_in, user_id, sorted(chat_ids))
            except BaseException:
                self._uncounted[user_id] |= chat_ids
                raise
            for chat_id, unread in found.items():
                event = frames.encoded("unread", unread_of({"unread": unread}), chat=chat_id)
                deliver(self._hub.sockets_of([user_id]), event)

    def _deliver(
        self, room: Room, rows: list[Mapping[Any, Any]], readers: Mapping[tuple[str, str], int], asked: set[str]
    ) -> None:
        for user_id in list(room.members):
            joined = readers.get((room.id, user_id))
            if joined is not None:
                room.members[user_id] = joined
            elif user_id in asked:  # who has come since is where they were put
                self._hub.doubt(room.id, user_id)
        readable = {u: joined for u, joined in room.members.items() if (room.id, u) in readers or u not in asked}
        for row in rows:
            if row["seq"] > room.last_seq:
                counts.DELIVERY_SECONDS.observe(row["age_seconds"])
            frame = frames.encoded(frames.op_of(row, last_seq=room.last_seq), as_wire(row), chat=room.id)
            may = [user_id for user_id, joined in readable.items() if joined < row["seq"]]
            deliver(self._hub.sockets_of(may), frame)
            room.since, room.last_seq = row["change_seq"], max(room.last_seq, row["seq"])
        if len(rows) >= audiences.MOST_NEWS:
            self._dirty.add(room.id)


def _moved(since: Mapping[str, int]) -> list[str]:
    with bare() as session:
        return audiences.moved(session, since)


def _read(since: Mapping[str, int], user_ids: set[str]) -> tuple[list[dict[str, Any]], audiences.Readers]:
    with bare() as session:
        return audiences.told(session, since, user_ids)
