"""Commands: what a socket may ask for, and who does it.

Most are requests in another dress (`REQUESTS`, by way of `api.gateway.door`). Those that concern the socket itself are
done here.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from api.gateway import frames, schemas
from api.gateway.door import Answer, Credentials, Door
from api.gateway.frames import Frame, RefusedFrame
from api.gateway.hub import Hub
from api.gateway.lines import Lines
from api.gateway.own_commands import MOST_JOBS, OwnCommands, may
from api.gateway.progress import Progress
from api.gateway.sockets import Socket
from models import logs
from models.api_keys import Scope
from models.base import is_outage
from models.live.broadcast import Broadcast

REPLAYED = "idempotency-replayed"
log = logs.logger()


def credentials_of(socket: Socket) -> Credentials:
    """What a socket has shown."""
    return Credentials(token=socket.token, cookie=socket.cookie, address=socket.address, forwarded=socket.forwarded)


class Commands:
    """Those of one process."""

    def __init__(  # noqa: PLR0913, PLR0917
        self, hub: Hub, door: Door, broadcast: Broadcast, own: OwnCommands, progress: Progress, lines: Lines
    ) -> None:
        self._hub, self._door, self._broadcast, self._own, self._progress = hub, door, broadcast, own, progress
        self._lines = lines
        self._doers: Mapping[str, Callable[[Socket, Frame], Awaitable[Any]]] = {
            "send": self._send,
            "edit": self._edit,
            "delete": self._delete,
            "seen": self._see,
            "stop": self._stop,
            "regenerate": self._regenerate,
            "seen_all": self._see_all,
            "watch_job": self._watch_job,
            **own.doers,
        }

    async def do(self, socket: Socket, frame: Frame) -> bytes:
        """The answer to a command: ``ack`` or ``err``."""
        try:
            d = await self._done(socket, frame)
        except RefusedFrame as refused:
            return frames.encoded("err", refused.d, answers=frame.id)
        except SQLAlchemyError as error:
            if not is_outage(error):
                log.exception("frame_failed", op=frame.op)
            refusal = RefusedFrame("database_unavailable", _OPEN, title="Service Unavailable", retry_seconds=2)
            return frames.encoded("err", refusal.d, answers=frame.id)
        except Exception:
            # Whatever it was: this command failed, and the socket and its neighbours need not.
            log.exception("frame_failed", op=frame.op)
            refusal = RefusedFrame("internal_error", "Something went wrong here.", title="Internal Server Error")
            return frames.encoded("err", refusal.d, answers=frame.id)
        return frames.encoded("ack", d, answers=frame.id)

    async def _done(self, socket: Socket, frame: Frame) -> Any:
        doer = self._doers.get(frame.op)
        if doer is None:
            raise RefusedFrame("unknown_op", "There is no such op.")
        schemas.check(frame)
        return await doer(socket, frame)

    async def ask(self, socket: Socket, method: str, path: str, body: Any = None) -> Answer:
        """Have something asked of the application on a socket's behalf."""
        answer: Answer = await self._hub.ask(self._door.ask, method, path, credentials_of(socket), body)
        return answer

    async def _write(self, socket: Socket, frame: Frame, method: str, path: str, body: Any = None) -> Answer:
        """The same, of something that changes what is said in a chat."""
        async with self._lines.turn(str(frame.chat)):
            return await self.ask(socket, method, f"{_chat(frame)}/messages{path}", body)

    async def _send(self, socket: Socket, frame: Frame) -> Any:
        self._own.typing(socket, str(frame.chat), on=False)
        self._announce(socket, frame, "pending", "clientMsgId", "content", "replyTo")
        try:
            answer = await self._write(socket, frame, "POST", "", frame.d)
            return {**answer.wanted(), "replayed": answer.headers.get(REPLAYED) == "true"}
        except Exception:
            # Should it have been stored all the same, it is told as every message is.
            self._announce(socket, frame, "refused", "clientMsgId")
            raise

    def _announce(self, socket: Socket, frame: Frame, kind: str, *names: str) -> None:
        """Have the sender's other sockets show what is likely to be accepted, or show it no more."""
        room, user = self._hub.rooms.get(str(frame.chat)), self._hub.users.get(str(socket.user_id))
        if room is None or user is None or user.id not in room.members or not may(socket.caller, Scope.CHATS_WRITE):
            return
        if user.has_company:
            d = {name: frame.d[name] for name in names if frame.d.get(name) is not None}
            said = {"kind": kind, "chat": frame.chat, "socket": socket.id, "d": d}
            self._broadcast.say_to_user(user.id, said)

    async def _edit(self, socket: Socket, frame: Frame) -> Any:
        body = {"content": frame.d["content"]}
        return (await self._write(socket, frame, "PATCH", f"/{frame.d['seq']}", body)).wanted()

    async def _delete(self, socket: Socket, frame: Frame) -> Any:
        return (await self._write(socket, frame, "DELETE", f"/{frame.d['seq']}")).wanted()

    async def _see(self, socket: Socket, frame: Frame) -> Any:
        return (await self.ask(socket, "POST", f"{_chat(frame)}/seen", {"seq": frame.d["seq"]})).wanted()

    async def _stop(self, socket: Socket, frame: Frame) -> Any:
        return (await self.ask(socket, "POST", f"{_chat(frame)}/stop")).wanted()

    async def _regenerate(self, socket: Socket, frame: Frame) -> Any:
        return (await self._write(socket, frame, "POST", f"/{frame.d['seq']}/regenerate")).wanted()

    async def _see_all(self, socket: Socket, _: Frame) -> Any:
        return (await self.ask(socket, "POST", "/api/chats/seen-all")).wanted()

    async def _watch_job(self, socket: Socket, frame: Frame) -> Any:
        job_id = str(uuid.UUID(frame.d["jobId"]))
        if len(socket.jobs) >= MOST_JOBS and job_id not in socket.jobs:
            raise RefusedFrame("too_many_jobs", f"A socket watches {MOST_JOBS} jobs at most.", title="Conflict")
        job = (await self.ask(socket, "GET", f"/api/jobs/{job_id}")).wanted()
        self._progress.watch(socket, job_id)
        # Once more: it may have moved before it was watched.
        job = (await self.ask(socket, "GET", f"/api/jobs/{job_id}")).wanted() or job
        return {"status": job["status"]}


def _chat(frame: Frame) -> str:
    """Its address. Nothing but an id gets into it: `api.gateway.schemas` has looked."""
    return f"/api/chats/{uuid.UUID(frame.chat)}"


_OPEN = "The database does not answer, so what became of this is open. Send it again, by the same clientMsgId."
