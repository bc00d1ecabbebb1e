"""Progress: what the AI does in chats, and what it says while it says it.

Words of all jobs come over one channel. Of a job that answers in a chat of ours its members are told the status. Its
text is read from Redis while a socket shows the chat, `TEXT_SECONDS` apart at most, and kept as long as it runs: who
opens the chat meanwhile gets what there is, and everybody then the same pieces. Where a piece is missing, for Redis was
away, offsets tell.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from api.gateway import frames
from api.gateway.hub import Hub
from api.gateway.sockets import Socket, deliver
from models import answering, logs
from models.base import bare
from models.live import client
from models.live.changes import CHANNEL, Change
from models.live.partial import WATCHED_SECONDS, PartialText
from models.settings import Settings
from models.states import FINISHED, RUNNING

TEXT_SECONDS = 0.1
MOST_REMEMBERED = 20_000
JOBS_AT_ONCE = 500

log = logs.logger()


class Saying:
    """A job that answers in a chat which somebody here shows."""

    __slots__ = ("attempt", "chat_id", "job_id", "taken", "text")

    def __init__(self, job_id: str, chat_id: str, attempt: int) -> None:
        self.job_id, self.chat_id, self.attempt = job_id, chat_id, attempt
        self.text = ""
        self.taken = 0
        """Bytes of it."""

    def take(self, more: bytes) -> str:
        """What is new of the text. Half a character waits for its other half."""
        for cut in range(len(more), max(-1, len(more) - 4), -1):
            try:
                added = more[:cut].decode()
            except UnicodeDecodeError:
                continue
            self.text += added
            self.taken += cut
            return added
        return ""

    def frame(self, offset: int) -> bytes:
        """The text from that character on."""
        d = {"jobId": self.job_id, "attempt": self.attempt, "offset": offset, "text": self.text[offset:]}
        return frames.encoded("ai.text", d, chat=self.chat_id)


class Progress:
    """Of one hub."""

    def __init__(self, settings: Settings, hub: Hub) -> None:
        self._hub = hub
        self.channel = client.name(settings, CHANNEL)
        self._partial = PartialText(settings)
        self._chat_of: OrderedDict[str, str | None] = OrderedDict()
        """Of the jobs that were heard of lately; None: it answers in none."""
        self._moved: dict[str, str] = {}
        self._said: set[str] = set()
        self._sayings: dict[str, Saying] = {}
        self._watchers: defaultdict[str, set[Socket]] = defaultdict(set)
        self._woken = asyncio.Event()

    def heard(self, said: bytes) -> None:
        """Take a word of jobs."""
        change = Change.decoded(said)
        for job_id, status in change.jobs.items():
            for socket in list(self._watchers.get(job_id, ())):
                socket.send(frames.encoded("job", {"jobId": job_id, "status": status}))
            if self._hub.rooms and self._chat_of.get(job_id, "unknown") is not None:
                self._moved[job_id] = status
        self._said.update(job_id for job_id in change.texts if job_id in self._sayings)
        if self._moved or self._said:
            self._woken.set()

    def watch(self, socket: Socket, job_id: str) -> None:
        """Have a socket told how a job moves."""
        socket.jobs |= {job_id}
        self._watchers[job_id].add(socket)

    def forget(self, socket: Socket) -> None:
        """No more of any."""
        for job_id in socket.jobs:
            self._watchers[job_id].discard(socket)
            if not self._watchers[job_id]:
                del self._watchers[job_id]
        socket.jobs = frozenset()

    # Loops

    async def run(self) -> None:
        """Tell; ends when cancelled."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            try:
                await self._tell_moves()
                await self._tell_texts()
            except SQLAlchemyError as error:
                log.warning("looking_waits", error=type(error).__name__)
            await asyncio.sleep(TEXT_SECONDS)

    async def repeat(self) -> None:
        """Go on saying what is watched; ends when cancelled."""
        while True:
            await asyncio.sleep(WATCHED_SECONDS / 3)
            for job_id, saying in list(self._sayings.items()):
                room = self._hub.rooms.get(saying.chat_id)
                if room is None or not room.opened:
                    del self._sayings[job_id]
            await self._hub.ask(self._partial.watch, list(self._sayings))
            self._said.update(self._sayings)  # a word may be lost
            self._woken.set()

    async def _tell_moves(self) -> None:
        moved = dict(list(self._moved.items())[:JOBS_AT_ONCE])
        if not moved:
            return
        for job_id in moved:
            del self._moved[job_id]
        if self._moved:
            self._woken.set()
        wanted = [each for each in moved if self._chat_of.get(each, "unknown") == "unknown" or self._is_ours(each)]
        jobs = {job["id"]: job for job in await self._hub.ask(_jobs, wanted)} if wanted else {}
        for job_id in wanted:
            job = jobs.get(job_id)
            self._remember(job_id, job["chat_id"] if job else None)
            if job is not None and self._is_ours(job_id):
                self._tell(job, moved[job_id])
        await self._hub.ask(self._partial.watch, list(self._sayings))

    def _is_ours(self, job_id: str) -> bool:
        return self._chat_of.get(job_id) in self._hub.rooms

    def _remember(self, job_id: str, chat_id: str | None) -> None:
        self._chat_of[job_id] = chat_id
        self._chat_of.move_to_end(job_id)
        while len(self._chat_of) > MOST_REMEMBERED:
            self._chat_of.popitem(last=False)

    def _tell(self, job: Any, status: str) -> None:
        room = self._hub.rooms[job["chat_id"]]
        d = {"jobId": job["id"], "status": status, "attempt": job["attempt"], "askedBy": job["asked_by"]}
        deliver(self._hub.sockets_of(room.members), frames.encoded("ai.status", d, chat=room.id))
        if status in FINISHED:
            self._sayings.pop(job["id"], None)
        elif status in RUNNING and room.opened:
            self._follow(job)

    def _follow(self, job: Any) -> Saying:
        saying = self._sayings.get(job["id"])
        if saying is None or saying.attempt != job["attempt"]:
            saying = self._sayings[job["id"]] = Saying(job["id"], job["chat_id"], job["attempt"])
        return saying

    async def _tell_texts(self) -> None:
        said, self._said = self._said, set()
        for job_id in said:
            saying = self._sayings.get(job_id)
            if saying is not None:
                more = await self._hub.ask(_read, self._partial, saying.job_id, saying.attempt, saying.taken)
                self._tell_more(saying, more)

    def _tell_more(self, saying: Saying, more: bytes) -> None:
        room, offset = self._hub.rooms.get(saying.chat_id), len(saying.text)
        if self._sayings.get(saying.job_id) is saying and saying.take(more) and room is not None:
            deliver(list(room.opened), saying.frame(offset), is_ephemeral=True)

    # Somebody opens a chat

    async def opened(self, socket: Socket, chat_id: str) -> None:
        """Send what the AI is saying there.

        Raises:
            SQLAlchemyError: nobody knows.
        """
        job = await self._hub.ask(_present, chat_id)
        if job is None or job["status"] not in RUNNING or chat_id not in socket.opened:
            return
        self._remember(job["id"], chat_id)
        saying = self._follow({**job, "chat_id": chat_id})
        if saying.text:
            socket.send(saying.frame(0))
        await self._hub.ask(self._partial.watch, [job["id"]])
        self._said.add(job["id"])
        self._woken.set()


def _read(partial: PartialText, job_id: str, attempt: int, offset: int) -> bytes:
    return partial.since(job_id, attempt=attempt, offset=offset)


def _jobs(job_ids: Sequence[str]) -> Sequence[Any]:
    with bare() as session:
        return answering.jobs(session, job_ids)


def _present(chat_id: str) -> Any:
    with bare() as session:
        return answering.present(session, chat_id)
