"""The hub: which users and chats this process has sockets of, and who of them is to hear what.

A chat is a *room* here as long as somebody is here who is in it. Its channel is confirmed before its state is read, and
that before whoever came is greeted: so what is committed from the greeting on is delivered, and what was before, the
page reads. Only the event loop changes what stands here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

from api.gateway.bus import Bus
from api.gateway.sockets import Socket
from models import audiences
from models.audiences import Place
from models.base import bare
from models.live import broadcast
from models.settings import Settings

USERS_AT_ONCE = 500


class Room:
    """A chat that somebody here is in."""

    __slots__ = ("id", "last_seq", "members", "opened", "since")

    def __init__(self, chat_id: str) -> None:
        self.id = chat_id
        self.members: dict[str, int] = {}
        """Users here who are in it: they see messages above this ``seq``."""
        self.opened: set[Socket] = set()
        self.since: int | None = None
        """The ``change_seq`` up to which all is delivered; None: not yet known."""
        self.last_seq = 0
        """Of the newest message that is."""


class User:
    """Somebody who has sockets here."""

    __slots__ = ("has_company", "id", "ready", "rooms", "sockets")

    def __init__(self, user_id: str) -> None:
        self.id = user_id
        self.has_company = False
        """Whether there have been more sockets than one, here or at another gateway, as far as is known."""
        self.sockets: set[Socket] = set()
        self.rooms: set[str] = set()
        self.ready: asyncio.Future[None] | None = None
        """While it is found out in which rooms they are."""


class Hub:
    """One for each process.

    Args:
        ask: runs what may wait, in a thread.
    """

    def __init__(self, settings: Settings, bus: Bus, ask: Callable[..., Any]) -> None:
        self._settings, self.bus, self.ask = settings, bus, ask
        self.closed: Callable[[Socket, str], None] = lambda *_: None
        """Called when a socket shows a chat no more."""
        self.parted: Callable[[User], None] = lambda _: None
        """Called when somebody here has left a chat, or was removed."""
        self._tasks: set[asyncio.Future[Any]] = set()
        self.users: dict[str, User] = {}
        self.rooms: dict[str, Room] = {}
        self.sockets: set[Socket] = set()
        self.unsure: set[tuple[str, str]] = set()
        """``(chat_id, user_id)``: whether, and as what, somebody is in a chat has to be asked anew."""
        self.woken = asyncio.Event()

    # Coming and going

    async def enter(self, socket: Socket) -> None:
        """Have a socket hear what concerns its user.

        Raises:
            SQLAlchemyError: nobody knows what that is.
        """
        self.sockets.add(socket)
        if socket.user_id is None:
            return
        user = self.users.get(socket.user_id)
        if user is None:
            user = self.users[socket.user_id] = User(socket.user_id)
            user.ready = asyncio.ensure_future(self._furnish(user))
        user.sockets.add(socket)
        user.has_company |= len(user.sockets) > 1
        if user.ready is not None:
            await asyncio.shield(user.ready)
            user.ready = None  # a task that is over takes as much memory as one that runs

    async def leave(self, socket: Socket) -> None:
        """Forget it."""
        self.sockets.discard(socket)
        for chat_id in socket.opened:
            self.close(socket, chat_id)
        user = self.users.get(socket.user_id or "")
        if user is None or socket not in user.sockets:
            return
        user.sockets.discard(socket)
        if not user.sockets:
            del self.users[user.id]
            if user.ready is not None and not user.ready.done():
                user.ready.cancel()  # and it leaves what it has listened to
                return
            self.bus.leave(self.channel_of_user(user.id))
            for chat_id in list(user.rooms):
                self.part(chat_id, user)

    async def _furnish(self, user: User) -> None:
        """Read which chats somebody is in, and hear of them."""
        listening: list[str] = []
        try:
            await self.bus.listen(self.channel_of_user(user.id))
            listening = [place.chat_id for place in await self.ask(rooms_of, user.id)]
            await self.bus.listen(*map(self.channel_of_chat, listening))
            # Once more, now that nothing is missed any more.
            places = {place.chat_id: place for place in await self.ask(rooms_of, user.id)}
        except BaseException:
            if self.users.get(user.id) is user:  # and not somebody who has come back meanwhile
                del self.users[user.id]
            self.bus.leave(self.channel_of_user(user.id), *map(self.channel_of_chat, listening))
            raise
        for chat_id in listening:
            if chat_id in places:
                self.place(places[chat_id], user)
            else:
                self.bus.leave(self.channel_of_chat(chat_id))
        for chat_id in places.keys() - set(listening):
            self.doubt(chat_id, user.id)

    def place(self, place: Place, user: User) -> Room:
        """Somebody is in a chat whose channel has been listened to on their behalf."""
        assert place.joined_seq is not None
        room = self.rooms.get(place.chat_id)
        if room is None:
            room = self.rooms[place.chat_id] = Room(place.chat_id)
        if room.since is None:
            room.since, room.last_seq = place.last_change_seq, place.last_seq
        room.members[user.id] = place.joined_seq
        user.rooms.add(place.chat_id)
        return room

    async def join(self, place: Place, user: User) -> bool:
        """Somebody here has come into a chat; whether they are still in it."""
        channel = self.channel_of_chat(place.chat_id)
        await self.bus.listen(channel)
        (now,) = await self.ask(places_of, [(place.chat_id, user.id)])
        if now.joined_seq is None or self.users.get(user.id) is not user or place.chat_id in user.rooms:
            self.bus.leave(channel)
            return now.joined_seq is not None
        self.place(now, user)
        return True

    async def find(self, chat_id: str, user_id: str) -> None:
        """Look for somebody here in a chat that they are not known to be in: word of it may be under way.

        Raises:
            SQLAlchemyError: nobody knows.
        """
        user = self.users.get(user_id)
        (place,) = await self.ask(places_of, [(chat_id, user_id)])
        if user is not None and place.joined_seq is not None:
            await self.join(place, user)

    def part(self, chat_id: str, user: User) -> None:
        """Somebody is not in a chat any more, or not here."""
        user.rooms.discard(chat_id)
        room = self.rooms.get(chat_id)
        if room is None or room.members.pop(user.id, None) is None:
            return
        for socket in [each for each in room.opened if each.user_id == user.id]:
            self.close(socket, chat_id)
        self.bus.leave(self.channel_of_chat(chat_id))
        if not room.members:
            del self.rooms[chat_id]

    # Showing

    def open(self, socket: Socket, chat_id: str) -> None:
        """A socket shows a chat that its user is in."""
        self.rooms[chat_id].opened.add(socket)
        socket.opened |= {chat_id}

    def close(self, socket: Socket, chat_id: str) -> None:
        """It does so no more."""
        socket.opened -= {chat_id}
        if (room := self.rooms.get(chat_id)) is not None:
            room.opened.discard(socket)
        self.closed(socket, chat_id)

    # Whom

    def later(self, do: Awaitable[Any]) -> None:
        """Have something done that nobody waits for."""
        task = asyncio.ensure_future(do)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def sockets_of(self, user_ids: Iterable[str]) -> Iterator[Socket]:
        """The sockets of these, as far as they are here."""
        for user_id in user_ids:
            if (user := self.users.get(user_id)) is not None:
                yield from list(user.sockets)

    def doubt(self, chat_id: str, user_id: str) -> None:
        """Have it asked whether somebody is in a chat."""
        self.unsure.add((chat_id, user_id))
        self.woken.set()

    async def doubt_all(self) -> None:
        """Ask for all users here whether they have come or gone unnoticed.

        Raises:
            SQLAlchemyError: nobody knows.
        """
        user_ids = list(self.users)
        for first in range(0, len(user_ids), USERS_AT_ONCE):
            asked = user_ids[first : first + USERS_AT_ONCE]
            known = {(chat_id, each) for each in asked if each in self.users for chat_id in self.users[each].rooms}
            for chat_id, user_id in known ^ set(await self.ask(memberships_of, asked)):
                self.doubt(chat_id, user_id)

    def channel_of_chat(self, chat_id: str) -> str:
        """Its name."""
        return broadcast.of_chat(self._settings, chat_id)

    def channel_of_user(self, user_id: str) -> str:
        """Its name."""
        return broadcast.of_user(self._settings, user_id)


def rooms_of(user_id: str) -> list[Place]:
    """As `models.audiences.rooms`; in a thread."""
    with bare() as session:
        return audiences.rooms(session, user_id)


def places_of(asked: list[tuple[str, str]]) -> list[Place]:
    """As `models.audiences.places`; in a thread."""
    with bare() as session:
        return audiences.places(session, asked)


def memberships_of(user_ids: list[str]) -> list[tuple[str, str]]:
    """As `models.audiences.memberships`; in a thread."""
    with bare() as session:
        return audiences.memberships(session, user_ids)
