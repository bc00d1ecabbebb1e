"""The server: takes connections, asks who they are, and reads their commands."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import functools
import random
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from flask import Flask
from sqlalchemy.exc import SQLAlchemyError
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from werkzeug.exceptions import Unauthorized

from api.gateway import frames
from api.gateway.bus import Bus
from api.gateway.commands import Commands, credentials_of
from api.gateway.door import Door
from api.gateway.frames import BadFrame, Frame, RefusedFrame
from api.gateway.hub import Hub
from api.gateway.lines import Lines
from api.gateway.news import News
from api.gateway.own_commands import OwnCommands
from api.gateway.presence import Watch
from api.gateway.progress import Progress
from api.gateway.sockets import CLOSE_SECONDS, Socket
from api.gateway.standing import Standing
from api.jobs import wire_time
from api.tokens import Tokens
from api.writers import SHARE
from models import logs
from models.live import chat_changes
from models.settings import Settings

PATH = "/ws"
AUTH_SECONDS = 5.0
THREADS = 8
MOST_SOCKETS = 12_000
MOST_OF_ONE_USER = 50
RECONNECT_WITHIN_MS = 5_000
TRY_AGAIN = 1013

log = logs.logger()


class Gateway:
    """One process's."""

    def __init__(self, settings: Settings, app: Flask) -> None:
        self._settings = settings
        self._origins = frozenset(filter(None, settings.cors_origins.split(",")))
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="verbs")
        self._tokens = Tokens(settings)
        self._door = Door(app, trusted_proxies=settings.trusted_proxies)
        self.bus = Bus(settings, heard=self._heard, lost=self._lost, found=self._found)
        self.hub = Hub(settings, self.bus, self.ask)
        self.news = News(settings, self.hub, self._door.chat_reads)
        self.progress = Progress(settings, self.hub)
        self.standing = Standing(self.hub, self._door)
        said = chat_changes.broadcast()
        self._watch = Watch(settings, self.hub, said)
        own = OwnCommands(settings, self.hub, self._door, broadcast=said, watch=self._watch, progress=self.progress)
        self.lines = Lines(seconds=SHARE * settings.db_answer_seconds)
        self.commands = Commands(self.hub, self._door, said, own, self.progress, self.lines)
        self.hub.closed = self._watch.unwatch
        self.hub.parted = lambda user: self.hub.later(self._watch.recheck(list(user.sockets)))
        self.news.heard_of = {
            "presence": self._watch.heard,
            "revoked": lambda user_id, _: self.standing.revoked(user_id),
        }
        self.server: Server | None = None
        self._is_stopping = False

    async def ask(self, question: Any, *given: Any) -> Any:
        """Run what may wait for the database or for Redis, in a thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, functools.partial(question, *given))

    def _heard(self, channel: str, said: bytes) -> None:
        if channel == self.progress.channel:
            self.progress.heard(said)
        else:
            self.news.heard(channel, said)

    def _lost(self) -> None:
        self.news.bus_lost()

    def _found(self) -> None:
        self.news.bus_found()

    @contextlib.asynccontextmanager
    async def running(self, host: str, port: int) -> Any:
        """``async with gateway.running(host, port) as its_port``: serve until the block ends."""
        options: dict[str, Any] = {
            "compression": None,  # 170 kB a connection with it, 15 without
            "max_size": frames.FRAME_BYTES,
            "max_queue": 8,
            "ping_interval": None,
            "open_timeout": AUTH_SECONDS,
            "close_timeout": min(CLOSE_SECONDS, max(0.5, self._settings.stop_grace_seconds - 1)),
            "server_header": None,
        }
        await self.bus.listen(self.progress.channel)
        loops = [asyncio.create_task(loop) for loop in self._loops()]
        try:
            async with serve(self._serve, host, port, process_request=self._admit, **options) as self.server:
                (listening, *_) = self.server.sockets
                yield listening.getsockname()[1]
                await self._stop()
        finally:
            self.bus.end()
            self._watch.end()
            for task in loops:
                task.cancel()
            await asyncio.gather(*loops, return_exceptions=True)
            await self.bus.close()
            self._threads.shutdown(wait=False, cancel_futures=True)

    def _loops(self) -> list[Coroutine[Any, Any, None]]:
        return [
            *(self.bus.run(), self.news.run(), self.news.poll(), self.progress.run(), self.progress.repeat()),
            *(self._watch.beat(), self.standing.check(), self.standing.listen()),
        ]

    async def _stop(self) -> None:
        """Tell everybody to come back in a while, each at another time, and let them go."""
        self._is_stopping = True
        for socket in list(self.hub.sockets):
            after_ms = random.randrange(RECONNECT_WITHIN_MS)  # noqa: S311 # nosec B311 - no secret
            socket.send(frames.encoded("reconnect", {"afterMs": after_ms}))
        assert self.server is not None
        self.server.close(code=frames.RESTART, reason="restart")

    def _admit(self, _: ServerConnection, request: Request) -> Response | None:
        """Refuse what is no socket for us, before it is one."""
        if request.path.partition("?")[0] == "/health":
            return _plain(HTTPStatus.OK, "alive\n")
        if request.path.partition("?")[0] != PATH:
            return _plain(HTTPStatus.NOT_FOUND, "There is nothing at this address.\n")
        if self._is_stopping or len(self.hub.sockets) >= MOST_SOCKETS:
            return _plain(HTTPStatus.SERVICE_UNAVAILABLE, "No more sockets here.\n")
        if not self._is_ours(request):
            return _plain(HTTPStatus.FORBIDDEN, "This origin is not allowed.\n")
        return None

    def _is_ours(self, request: Request) -> bool:
        """Whether a page of this site sent it, or one of ``CORS_ORIGINS``, or no page at all."""
        origin = request.headers.get("Origin")
        if origin is None or origin in self._origins:
            return True
        host = urlsplit(f"//{request.headers.get('Host', '')}").hostname
        return bool(host) and urlsplit(origin).hostname == host

    async def _serve(self, connection: ServerConnection) -> None:
        socket = Socket(connection)
        socket.forget_handshake()
        try:
            if await self._greet(socket):
                await self._obey(socket)
        except ConnectionClosed:
            pass
        finally:
            await self.hub.leave(socket)
            self.progress.forget(socket)
            await self._watch.left(socket)
            await socket.ended()

    # Who it is

    async def _greet(self, socket: Socket) -> bool:
        """Have it say who it is; whether it may stay."""
        try:
            async with asyncio.timeout(AUTH_SECONDS):
                frame = frames.decoded(await socket.connection.recv())
        except TimeoutError:
            socket.close(frames.NOT_SIGNED_IN, "not signed in in time")
            return False
        except BadFrame as bad:
            socket.close(frames.BAD_FRAME, str(bad))
            return False
        if frame.op != "auth":
            refused = RefusedFrame("no_token", "The first frame is auth.", title="Unauthorized")
            socket.send(frames.encoded("err", refused.d, answers=frame.id))
            socket.close(frames.NOT_SIGNED_IN, "the first frame is auth")
            return False
        if not await self._authenticate(socket, frame):
            return False
        try:
            await self.hub.enter(socket)
        except SQLAlchemyError as error:
            log.warning("database_unavailable", error=type(error).__name__)
            socket.close(TRY_AGAIN, "database unavailable")
            return False
        socket.send(frames.encoded("ack", {}, answers=frame.id))
        socket.send(frames.encoded("hello", self._hello(socket)))
        socket.is_live = True
        await self._watch.arrived(socket)
        return True

    async def _authenticate(self, socket: Socket, frame: Frame) -> bool:
        """Take a token, the first or a newer one; whether it is good. If not, the socket is closed."""
        token = frame.d.get("token")
        before, previous = socket.caller, socket.token
        socket.token = token if isinstance(token, str) else None
        try:
            caller = await self.ask(self._door.caller, credentials_of(socket))
        except (Unauthorized, SQLAlchemyError) as error:
            is_outage = isinstance(error, SQLAlchemyError)
            code = "database_unavailable" if is_outage else "invalid_token"
            refused = RefusedFrame(code, "The token is not valid, or no longer.", title="Unauthorized")
            socket.send(frames.encoded("err", refused.d, answers=frame.id))
            socket.close(TRY_AGAIN if is_outage else frames.NOT_SIGNED_IN, code)
            return False
        if before is not None and caller.owner != before.owner:
            socket.token = previous
            refused = RefusedFrame("another_user", "A socket stays with who opened it.", title="Forbidden")
            socket.send(frames.encoded("err", refused.d, answers=frame.id))
            return True
        user = self.hub.users.get(caller.user_id or "")
        if before is None and user is not None and len(user.sockets) >= MOST_OF_ONE_USER:
            socket.close(frames.TOO_MANY_SOCKETS, "too many sockets")
            return False
        socket.caller = caller
        self._set_timer(socket)
        if before is not None:
            socket.send(frames.encoded("ack", {}, answers=frame.id))
        return True

    def _set_timer(self, socket: Socket) -> None:
        """Let it end with its token."""
        if socket.timer is not None:
            socket.timer.cancel()
            socket.timer = None
        if socket.caller is None or socket.caller.session_id is None or socket.token is None:
            return
        seconds = self._tokens.read(socket.token).expires_at - time.time()
        loop = asyncio.get_running_loop()
        socket.timer = loop.call_later(max(0.0, seconds), socket.close, frames.NO_LONGER, "token expired")

    def _hello(self, socket: Socket) -> dict[str, Any]:
        return frames.hello(connection=socket.id, user_id=socket.user_id, now=wire_time(dt.datetime.now(dt.UTC)))

    # What it wants

    async def _obey(self, socket: Socket) -> None:
        """Do what it says, one command after the other."""
        loop = asyncio.get_running_loop()
        async for said in socket.connection:
            socket.heard_at = loop.time()
            try:
                frame = frames.decoded(said)
            except BadFrame as bad:
                socket.close(frames.BAD_FRAME, str(bad))
                return
            if not socket.bucket.take(loop.time()):
                if socket.bucket.refused > frames.MOST_REFUSED:
                    socket.close(frames.TOO_MANY_FRAMES, "too many frames")
                    return
                refused = RefusedFrame("rate_limited", _SLOWER, title="Too Many Requests", retry_seconds=1)
                socket.send(frames.encoded("err", refused.d, answers=frame.id))
            elif frame.op == "auth":
                if not await self._authenticate(socket, frame):
                    return
            else:
                socket.send(await self.commands.do(socket, frame))


_SLOWER = f"At most {frames.OPS_PER_SECOND} frames a second."


def _plain(status: HTTPStatus, text: str) -> Response:
    body = text.encode()
    headers = Headers({"Content-Type": "text/plain; charset=utf-8", "Content-Length": str(len(body))})
    headers["Connection"] = "close"
    return Response(status.value, status.phrase, headers, body)
