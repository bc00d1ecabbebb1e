"""Standing: whether whoever is behind a socket still may be, and whether anybody is.

A token that ends closes its socket by a timer. One that was revoked does so at once where word of it comes, and within
`CHECK_SECONDS` where none does: sessions are asked for together. A socket that says nothing is pinged, and cut off if
that is not answered: a connection whose other half is gone looks like a quiet one.
"""

from __future__ import annotations

import asyncio

from sqlalchemy.exc import SQLAlchemyError
from websockets.exceptions import ConnectionClosed

from api.gateway import frames
from api.gateway.commands import credentials_of
from api.gateway.door import Door
from api.gateway.hub import Hub
from api.gateway.sockets import Socket
from models import logs, principals
from models.base import bare

CHECK_SECONDS = 20.0
SESSIONS_AT_ONCE = 500
TICK_SECONDS = 5.0
QUIET_SECONDS = 30.0
"""Until a socket is pinged."""
GONE_SECONDS = 75.0
"""Until it is cut off."""

log = logs.logger()


class Standing:
    """Of one hub."""

    def __init__(self, hub: Hub, door: Door) -> None:
        self._hub, self._door = hub, door
        self._checks: set[asyncio.Task[None]] = set()

    def revoked(self, user_id: str) -> None:
        """Something of this user's was revoked: find out what."""
        check = asyncio.create_task(self._check_each(list(self._hub.sockets_of([user_id]))))
        self._checks.add(check)
        check.add_done_callback(self._checks.discard)

    async def check(self) -> None:
        """Now and then ask for all; ends when cancelled."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            try:
                await self.check_all()
            except SQLAlchemyError as error:
                log.warning("looking_waits", error=type(error).__name__)

    async def check_all(self) -> None:
        """Close the sockets of whoever may be here no longer.

        Raises:
            SQLAlchemyError: nobody knows.
        """
        sockets = [each for each in self._hub.sockets if each.caller is not None]
        await self._check_sessions(list({s.caller.session_id for s in sockets if s.caller and s.caller.session_id}))
        await self._check_each([s for s in sockets if s.caller and s.caller.scopes is not None])

    async def _check_sessions(self, session_ids: list[str]) -> None:
        good: set[str] = set()
        for first in range(0, len(session_ids), SESSIONS_AT_ONCE):
            good |= await self._hub.ask(_standing, session_ids[first : first + SESSIONS_AT_ONCE])
        ended = set(session_ids) - good
        for socket in list(self._hub.sockets):
            if socket.caller is not None and socket.caller.session_id in ended:
                socket.close(frames.NO_LONGER, "revoked")

    async def _check_each(self, sockets: list[Socket]) -> None:
        for socket in sockets:
            try:
                if socket.caller and not await self._hub.ask(self._door.still, credentials_of(socket), socket.caller):
                    socket.close(frames.NO_LONGER, "revoked")
            except SQLAlchemyError as error:
                log.warning("looking_waits", error=type(error).__name__)

    async def listen(self) -> None:
        """Find those whose other half is gone; ends when cancelled."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            await self.listen_to_all()

    async def listen_to_all(self) -> None:
        """Ping the quiet, and cut off who has not answered."""
        now = asyncio.get_running_loop().time()
        for socket in list(self._hub.sockets):
            quiet = now - socket.heard_at
            if quiet > GONE_SECONDS:
                socket.connection.transport.abort()
            elif quiet > QUIET_SECONDS and not socket.is_stuck:
                await _ping(socket)


async def _ping(socket: Socket) -> None:
    try:
        pong = await socket.connection.ping()
    except ConnectionClosed:
        return

    def answered(_: object) -> None:
        socket.heard_at = asyncio.get_running_loop().time()

    asyncio.ensure_future(pong).add_done_callback(answered)


def _standing(session_ids: list[str]) -> set[str]:
    with bare() as session:
        return principals.standing(session, session_ids)
