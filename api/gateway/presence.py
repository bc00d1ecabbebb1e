"""Presence: sockets are told of those in the chats they show, and of whom they watch. Nobody else is."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from api.gateway import frames
from api.gateway.hub import Hub
from api.gateway.sockets import Socket, deliver
from api.jobs import wire_time
from models import audiences
from models.base import bare
from models.live import presence
from models.live.broadcast import Broadcast
from models.live.presence import Presence, Presences
from models.settings import Settings

WATCHED = ""
"""Beside chats, the name of what a socket watches without showing it."""


class Watch:
    """Of one hub."""

    def __init__(self, settings: Settings, hub: Hub, broadcast: Broadcast) -> None:
        self._hub, self._broadcast = hub, broadcast
        self._presences = Presences(settings)
        self._watchers: defaultdict[str, set[Socket]] = defaultdict(set)
        self._sets: dict[Socket, dict[str, frozenset[str]]] = {}
        self._told: dict[str, bool] = {}
        """What the watchers of somebody were told last: whether they are online."""
        self._graces: set[asyncio.Task[None]] = set()

    # One's own

    async def arrived(self, socket: Socket) -> None:
        """Somebody has one socket more."""
        user = self._hub.users.get(socket.user_id or "")
        if user is None:
            return
        before = await self._hub.ask(self._presences.arrived, user.id, socket.id)
        if before == 0:
            self._say(user.id, is_online=True, last_seen_at=None)
        elif before:  # and whoever holds those does not know of this one
            user.has_company = True
            self._broadcast.say_to_user(user.id, {"kind": "company"})

    async def left(self, socket: Socket) -> None:
        """One is gone; in a while it is said, should it have been the last."""
        self.forget(socket)
        if socket.user_id is None or not socket.is_live:
            return
        await self._hub.ask(self._presences.left, socket.user_id, socket.id)
        grace = asyncio.create_task(self._settle(socket.user_id))
        self._graces.add(grace)
        grace.add_done_callback(self._graces.discard)

    async def _settle(self, user_id: str) -> None:
        await asyncio.sleep(presence.GRACE_SECONDS + 1)  # Redis counts whole seconds
        settled = await self._hub.ask(self._presences.settled, user_id)
        if settled is not None and not settled.is_online:
            last_seen = settled.last_seen_at
            self._say(user_id, is_online=False, last_seen_at=last_seen and wire_time(last_seen))

    def end(self) -> None:
        """Wait for no grace any more."""
        for grace in self._graces:
            grace.cancel()

    def _say(self, user_id: str, *, is_online: bool, last_seen_at: str | None) -> None:
        said = {"kind": "presence", "online": is_online, "lastSeenAt": last_seen_at}
        self._broadcast.say_to_user(user_id, said)

    async def beat(self) -> None:
        """Prolong the leases, and look at those who are watched: word of them may be lost. Ends when cancelled."""
        while True:
            await asyncio.sleep(presence.HEARTBEAT_SECONDS)
            sockets = [(each.user_id, each.id) for each in self._hub.sockets if each.user_id and each.is_live]
            for first in range(0, len(sockets), presence.ASKED_AT_ONCE):
                await self._hub.ask(self._presences.still, sockets[first : first + presence.ASKED_AT_ONCE])
            await self._look(list(self._watchers))

    # Others'

    async def watch(self, socket: Socket, name: str, user_ids: Iterable[str]) -> list[dict[str, Any]]:
        """Have a socket told of these from now on, under a name; how it stands with them now."""
        wanted = frozenset(user_ids)
        self.unwatch(socket, name)
        self._sets.setdefault(socket, {})[name] = wanted
        new = [user_id for user_id in wanted if not self._watchers.get(user_id)]
        for user_id in wanted:
            self._watchers[user_id].add(socket)
        await self._hub.bus.listen(*map(self._hub.channel_of_user, new))
        found = await self._hub.ask(self._presences.of, sorted(wanted))
        for user_id, each in found.items():
            if user_id in self._told:  # others watch, and may not have heard of it yet
                self._tell_found(user_id, each)
            elif user_id in self._watchers:
                self._told[user_id] = each.is_online
        return [_as_wire(user_id, each.is_online, each.last_seen_at) for user_id, each in found.items()]

    def unwatch(self, socket: Socket, name: str) -> None:
        """No more of what it watches under that name."""
        sets = self._sets.get(socket, {})
        for user_id in sets.pop(name, frozenset()):
            if not any(user_id in each for each in sets.values()):
                self._watchers[user_id].discard(socket)
                if not self._watchers[user_id]:
                    del self._watchers[user_id]
                    self._told.pop(user_id, None)
                    self._hub.bus.leave(self._hub.channel_of_user(user_id))

    def forget(self, socket: Socket) -> None:
        """No more of anything."""
        for name in list(self._sets.get(socket, {})):
            self.unwatch(socket, name)
        self._sets.pop(socket, None)

    async def recheck(self, sockets: Iterable[Socket]) -> None:
        """Somebody has left a chat: whom they shared no other with, they watch no more."""
        for socket in sockets:
            wanted = self._sets.get(socket, {}).get(WATCHED)
            if wanted and socket.user_id is not None:
                await self.watch(socket, WATCHED, await self._hub.ask(near, socket.user_id, wanted))

    def heard(self, user_id: str, word: Mapping[str, Any]) -> None:
        """Somebody has come or gone."""
        self._tell(user_id, is_online=word["online"], last_seen_at=word["lastSeenAt"])

    def _tell(self, user_id: str, *, is_online: bool, last_seen_at: str | None) -> None:
        if user_id not in self._watchers or self._told.get(user_id) is is_online:
            return
        self._told[user_id] = is_online
        d = {"userId": user_id, "online": is_online, "lastSeenAt": last_seen_at}
        deliver(list(self._watchers[user_id]), frames.encoded("presence", d), is_ephemeral=True)

    async def _look(self, user_ids: list[str]) -> None:
        for first in range(0, len(user_ids), presence.ASKED_AT_ONCE):
            found = await self._hub.ask(self._presences.of, user_ids[first : first + presence.ASKED_AT_ONCE])
            for user_id, each in found.items():
                self._tell_found(user_id, each)

    def _tell_found(self, user_id: str, found: Presence) -> None:
        gone = found.last_seen_at if not found.is_online else None
        self._tell(user_id, is_online=found.is_online, last_seen_at=None if gone is None else wire_time(gone))


def near(user_id: str, user_ids: Iterable[str]) -> list[str]:
    """As `models.audiences.near`; in a thread."""
    with bare() as session:
        return audiences.near(session, user_id, list(user_ids))


def _as_wire(user_id: str, is_online: bool, last_seen_at: Any) -> dict[str, Any]:  # noqa: FBT001
    return {
        "userId": user_id,
        "online": is_online,
        "lastSeenAt": None if is_online or last_seen_at is None else wire_time(last_seen_at),
    }
