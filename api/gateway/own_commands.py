"""Own commands: those that concern the socket itself, or what is live, and so have no request of their own."""

from __future__ import annotations

import functools
from typing import Any

from werkzeug.exceptions import Forbidden, Unauthorized

from api import access, messages
from api.callers import Caller
from api.gateway.door import Door
from api.gateway.frames import Frame, RefusedFrame
from api.gateway.hub import Hub
from api.gateway.presence import WATCHED, Watch, near
from api.gateway.progress import Progress
from api.gateway.sockets import Socket
from api.message_schemas import MOST_CHANGES
from models import audiences
from models import messages as verbs
from models.api_keys import Scope
from models.base import bare
from models.errors import ChatNotFound
from models.live.broadcast import Broadcast
from models.live.chat_cache import ChatCache
from models.live.writing import Writing
from models.settings import Settings
from models.users import AI_ID, Role

MOST_SYNCED = 2_000
"""Messages in one answer, but for one of each chat; where there are more it is ``limited``, and asked for again."""
MOST_JOBS = 100
"""Of a socket, whose moves it is told."""


class OwnCommands:
    """Those of one process."""

    def __init__(  # noqa: PLR0913
        self, settings: Settings, hub: Hub, door: Door, *, broadcast: Broadcast, watch: Watch, progress: Progress
    ) -> None:
        self._hub, self._door, self._broadcast, self._watch, self._progress = hub, door, broadcast, watch, progress
        self._writing = Writing(settings)
        self._cache: ChatCache = door.cache
        self.doers = {
            "ping": self._ping,
            "open": self._open,
            "close": self._close,
            "watch": self._watch_users,
            "typing": self._type,
            "sync": self._sync,
        }

    async def _ping(self, _: Socket, __: Frame) -> Any:
        return await self._hub.ask(self._door.ping)

    async def _open(self, socket: Socket, frame: Frame) -> Any:
        check(socket.caller, Scope.CHATS_READ)
        room = self._hub.rooms.get(str(frame.chat))
        if room is None or socket.user_id not in room.members:
            await self._hub.find(str(frame.chat), str(socket.user_id))
        chat_id = self._own_room(socket, frame)
        everybody = await self._hub.ask(_members_of, self._cache, chat_id)
        if socket.user_id not in everybody or chat_id not in self._hub.rooms:
            raise _no_chat()
        self._hub.open(socket, chat_id)
        present = await self._watch.watch(socket, chat_id, set(everybody) - {AI_ID})
        await self._progress.opened(socket, chat_id)
        return {"members": present}

    async def _close(self, socket: Socket, frame: Frame) -> Any:
        chat_id = str(frame.chat)
        self._hub.close(socket, chat_id)
        return {}

    async def _watch_users(self, socket: Socket, frame: Frame) -> Any:
        check(socket.caller, Scope.CHATS_READ)
        assert socket.user_id is not None
        known = await self._hub.ask(near, socket.user_id, frame.d["users"])
        return {"presence": await self._watch.watch(socket, WATCHED, known)}

    async def _type(self, socket: Socket, frame: Frame) -> Any:
        check(socket.caller, Scope.CHATS_READ)
        self.typing(socket, self._own_room(socket, frame), on=frame.d["on"])
        return {}

    def typing(self, socket: Socket, chat_id: str, *, on: bool) -> None:
        """Tell the others in a chat that somebody writes, or does no more; who has not begun cannot stop."""
        if on or chat_id in socket.typing:
            socket.typing = socket.typing | {chat_id} if on else socket.typing - {chat_id}
            self._hub.later(self._hub.ask(functools.partial(self._writing.note, chat_id, str(socket.user_id), on=on)))
            self._broadcast.say_to_chat(chat_id, {"kind": "typing", "user": socket.user_id, "on": on})

    async def _sync(self, socket: Socket, frame: Frame) -> Any:
        check(socket.caller, Scope.CHATS_READ)
        asked = [(each["id"], each["since"]) for each in frame.d["chats"]]
        return {"chats": await self._hub.ask(_changes, socket.user_id, asked)}

    def _own_room(self, socket: Socket, frame: Frame) -> str:
        """The chat that a frame names, of which its sender is known to be a member. No SQL.

        Raises:
            RefusedFrame: they are not.
        """
        room = self._hub.rooms.get(str(frame.chat))
        if room is None or socket.user_id not in room.members:
            raise _no_chat()
        return room.id


def check(caller: Caller | None, scope: Scope) -> None:
    """Pass whoever has an account, within the scopes of a key.

    Raises:
        RefusedFrame: no one else.
    """
    try:
        assert caller is not None
        access.Rule(least=Role.USER, scope=scope).check(caller)
    except (Unauthorized, Forbidden) as refusal:
        code = refusal.data["code"]  # type: ignore[union-attr]
        raise RefusedFrame(code, str(refusal.description), title=refusal.name) from None
    if caller.user_id is None:
        raise _no_account()


def may(caller: Caller | None, scope: Scope) -> bool:
    """Whether `check` lets them pass."""
    try:
        check(caller, scope)
    except RefusedFrame:
        return False
    return True


def _no_chat() -> RefusedFrame:
    refusal = ChatNotFound()
    return RefusedFrame(refusal.code, refusal.detail, title="Not Found")


def _no_account() -> RefusedFrame:
    return RefusedFrame("no_account", "This needs an account.", title="Forbidden")


def _members_of(cache: ChatCache, chat_id: str) -> list[str]:
    return list(cache.members(chat_id, lambda: _in(chat_id)))


def _in(chat_id: str) -> list[str]:
    with bare() as session:
        return audiences.members(session, chat_id)


def _changes(user_id: str, asked: list[tuple[str, int]]) -> list[dict[str, Any]]:
    """As `GET …/changes` of each; of one that is not theirs, its code."""
    told: list[dict[str, Any]] = []
    left = MOST_SYNCED
    with bare() as session:
        for chat_id, since in asked:
            try:
                found = verbs.changes(session, chat_id, reader=user_id, since=since, limit=min(left, MOST_CHANGES))
            except ChatNotFound as refusal:
                told.append({"id": chat_id, "code": refusal.code})
                continue
            left = max(1, left - len(found.messages))
            body = {"items": [messages.as_wire(each) for each in found.messages], "limited": found.limited}
            told.append({"id": chat_id, **body, "since": found.since, "lastChangeSeq": found.last_change_seq})
    return told
