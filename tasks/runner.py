"""The runner: the attempts this worker process has in hand.

Hints arrive as bundles of ``(job id, attempt)`` and gather. One thread claims as
many as there are free slots in one statement, whichever bundles they came in,
notes in another that the model is being asked, and gives each job a thread.

    take ──▶ claimer: claim ──▶ asked ──▶ thread: provider ──▶ recorder ──▶ slot free

Threads and not greenlets or processes: they only wait for sockets, 500 of them
fit one process of about 130 MB, and whatever library a provider brings works.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from models import attempts, breakers, logs, traces
from models.attempts import Claimed, Ending, Outcome
from models.base import Session, is_outage
from models.jobs import QueueClass
from models.live.reply_cache import ReplyCache
from models.settings import OFFLINE, Settings
from tasks import alone, endings, metrics, purposes, retry, reuse, traced
from tasks.chat_turns import Limits
from tasks.llm import speakers
from tasks.llm.base import LOST, ROLLING_SUMMARY, STOPPING, Call, Prompt, Provider, ProviderError, Reply
from tasks.recorder import Recorder
from tasks.watchdog import Watchdog

CLAIMER = "claimer"
ALONE_FROM_LOST_COUNT = 3
MOST_HINTS = 10_000
"""Kept while no slot is free. The dispatcher's window is far below it; the oldest go first."""
WRITE_SECONDS = 1.5
"""At the end of `Runner.stop`: for broken calls to return and be written."""

log = logs.logger()


Hint = tuple[str, int]
"""A job's id and an attempt's number."""


@dataclass(frozen=True)
class Running:
    """A claimed job and its call to the model."""

    claimed: Claimed
    call: Call
    past_deadline_at: float
    """On this process's monotonic clock."""
    span: traces.Span = traces.NOTHING
    """Ends when the attempt's end is written."""


class Runner:
    """Slots, the calls that fill them, and what becomes of each.

    Args:
        name: of this process; stands in ``jobs.leased_by``.
        queue_class: of the jobs it gets.
        kept: answers that may be given again; None: there are none.
    """

    def __init__(
        self,
        settings: Settings,
        provider: Provider,
        *,
        name: str,
        queue_class: QueueClass = QueueClass.INTERACTIVE,
        kept: ReplyCache | None = None,
    ) -> None:
        self.settings, self.provider, self.name, self.queue_class = settings, provider, name, queue_class
        self.watchdog = Watchdog(seconds=settings.watchdog_seconds)
        self.recorder = Recorder(on_done=self._done, on_written=self._written, watchdog=self.watchdog)
        self.hinted_at = time.monotonic()
        self.stopping = False
        self._prices = settings.prices.models
        self._free = settings.worker_slots
        self._changed = threading.Condition()
        self._running: dict[Hint, Running] = {}
        self._hints: deque[tuple[float, Hint]] = deque(maxlen=MOST_HINTS)
        self._chain = (provider.model, *settings.llm_chain[1:])
        self._kept, self._calls = kept, metrics.Calls(self._chain)
        self._backoff = retry.Backoff(base_seconds=settings.retry_base_seconds, max_seconds=settings.retry_max_seconds)
        threading.Thread(target=self._claim_for_ever, name=CLAIMER, daemon=True).start()

    @property
    def running(self) -> list[Running]:
        """What is in hand now, finished but unwritten attempts included."""
        with self._changed:
            return list(self._running.values())

    @property
    def has_room(self) -> bool:
        """Whether another job could be begun now."""
        return self._free > 0 and not self.stopping

    def take(self, hints: Sequence[Hint]) -> None:
        """Have these jobs claimed and started as slots fall free.

        What has found no slot by the time the dispatcher announces it again is
        dropped: another worker may have room.
        """
        self.hinted_at = time.monotonic()
        until = self.hinted_at + self.settings.announce_seconds * 0.8
        with self._changed:
            self._hints.extend((until, hint) for hint in hints)
            self._changed.notify_all()

    def _claim_for_ever(self) -> None:
        while True:
            self.watchdog.heard(CLAIMER, again_within=math.inf)
            hints = self._next_hints()
            self.watchdog.heard(CLAIMER)
            try:
                self._claim(hints)
            except Exception:
                # Whatever it is, this thread is the only one that claims. The jobs wait on and are announced again.
                log.exception("claiming_failed", jobs=len(hints))

    def _next_hints(self) -> list[Hint]:
        """As many as there are free slots, which from here on are theirs."""
        with self._changed:
            self._changed.wait_for(lambda: self._hints and (self._free or self.stopping))
            now = time.monotonic()
            while self._hints and (self.stopping or self._hints[0][0] < now):
                self._hints.popleft()
            taken = min(len(self._hints), self._free)
            self._free -= taken
            return [self._hints.popleft()[1] for _ in range(taken)]

    def _claim(self, hints: Sequence[Hint]) -> None:
        claims: list[Claimed] = []
        try:
            with Session.begin() as session:
                claims = attempts.claim(session, hints, worker=self.name, lease_seconds=self.settings.lease_seconds)
        finally:
            with self._changed:
                self._free += len(hints) - len(claims)
                self._changed.notify_all()
        metrics.waited(claims, self.queue_class.value)
        self._start(claims)

    def _start(self, claims: Sequence[Claimed]) -> None:
        """From here on each claim holds a slot until `_done`; whatever happens, it must get there."""
        started = [self._running_of(claimed) for claimed in claims]
        with self._changed:
            self._running.update({_key(running.claimed): running for running in started})
            too_late = self.stopping
        if too_late:
            self._release_all(claims)
            return
        try:
            ours = self._note_asked(claims)
        except Exception:
            log.exception("asking_failed", jobs=len(claims))
            self._release_all(claims)
            return
        self._done(_key(claimed) for claimed in claims if claimed.id not in ours)
        for running in started:
            if running.claimed.id in ours:
                self._start_thread(running)

    def _note_asked(self, claims: Sequence[Claimed]) -> set[str]:
        """One statement for each model of the chain; that is one, while no breaker is open."""
        ours: set[str] = set()
        with Session.begin() as session:
            for choice in sorted({self._choice(claimed) for claimed in claims}):
                group = [claimed for claimed in claims if self._choice(claimed) == choice]
                ours |= attempts.asked(session, group, model=self._chain[choice])
        return ours

    def _choice(self, claimed: Claimed) -> int:
        """The last there is, if the dispatcher knows a longer chain."""
        return min(claimed.choice, len(self._chain) - 1)

    def _release_all(self, claims: Sequence[Claimed]) -> None:
        for claimed in claims:
            self.recorder.put(endings.released(claimed))

    def _start_thread(self, running: Running) -> None:
        try:
            threading.Thread(target=self._run, args=[running], name=f"job {running.claimed.id}", daemon=True).start()
        except RuntimeError:  # no more threads are to be had here
            log.exception("thread_refused", job_id=running.claimed.id)
            self.recorder.put(endings.released(running.claimed))

    def _running_of(self, claimed: Claimed) -> Running:
        left = max(0.0, claimed.seconds_left)
        call = Call(seconds=min(self.settings.llm_total_seconds, left))
        span = traced.attempt(claimed, queue_class=self.queue_class.value)
        return Running(claimed, call, time.monotonic() + left, span)

    def _run(self, running: Running) -> None:
        logs.about(job_id=running.claimed.id, attempt=running.claimed.attempt)
        running.span.carry()
        ending = None
        try:
            ending = self._ending(running)
        finally:
            if ending is not None:
                self.recorder.put(self._priced(running, ending))
            else:  # A bug: the trace is in the log, the lease runs out, and the reaper gives the job its next attempt.
                self._done([_key(running.claimed)])

    def _priced(self, running: Running, ending: Ending) -> Ending:
        call = running.call
        price, said = self._prices.get(self._model(running)), ending.text or "".join(call.said)
        return endings.priced(ending, price, asked=call.asked, said=said)

    def _ending(self, running: Running) -> Ending:
        try:
            limits = Limits(model=self._model(running), tokens=self.settings.llm_context_tokens)
            answer = purposes.answer(running.claimed, functools.partial(self._ask, running), limits)
            return endings.completed(running.claimed, answer, degraded=self._choice(running.claimed) > 0)
        except ProviderError as error:
            return self._failure(running, error)
        except SQLAlchemyError as error:
            if not is_outage(error):
                raise
            log.warning("prompt_waits", error=type(error).__name__)
            return endings.released(running.claimed)

    def _ask(self, running: Running, prompt: Prompt) -> Reply:
        prompt = dataclasses.replace(prompt, model=self._model(running))
        running.call.not_before = prompt.not_before
        with running.call.aside() if prompt.type == ROLLING_SUMMARY else contextlib.nullcontext():
            reply = reuse.answered(running.claimed, prompt, self._kept, lambda: self._reply(running, prompt))
        return dataclasses.replace(reply, text=speakers.without_name(reply.text, prompt.not_before))

    def _model(self, running: Running) -> str:
        return self._chain[self._choice(running.claimed)]

    def _reply(self, running: Running, prompt: Prompt) -> Reply:
        ask = alone.in_turn if running.claimed.lost_count >= ALONE_FROM_LOST_COUNT else self.provider.reply
        running.call.asked += prompt.message + "".join(turn["content"] for turn in prompt.turns)
        model = self._model(running)
        name = OFFLINE if model == OFFLINE else self.provider.name
        return traced.asked(
            running.span,
            model=model,
            provider=name,
            ask=lambda: self._calls.measured(model, lambda: ask(prompt, running.call)),
        )

    def _failure(self, running: Running, error: ProviderError) -> Ending:
        claimed = running.claimed
        if running.call.aborted in (LOST, STOPPING):
            # A lost one is released too: that matches no row any more, but keeps the tokens of the broken call, and,
            # if it was stopped, what it had said.
            return endings.released(claimed, error, said=self._said(running))
        if time.monotonic() >= running.past_deadline_at:
            error = ProviderError(
                "The job was not finished before its deadline.",
                kind=error.kind,
                code="deadline_exceeded",
                usage=error.usage,
            )
            return endings.failed(claimed, error, retry.Decision(outcome=Outcome.FAILED))
        following = self._choice(claimed) + 1
        decision = retry.decide(
            error,
            failures=claimed.failures + 1,
            max_attempts=claimed.max_attempts,
            backoff=self._backoff,
            spared=claimed.is_probe and error.code in breakers.FAILURES,
            has_next=following < len(self._chain),
        )
        return endings.failed(claimed, error, decision, fallback=following if decision.next_model else None)

    def _said(self, running: Running) -> str:
        most = self.settings.llm_max_response_bytes
        return speakers.told(running.call.said, running.call.not_before, max_bytes=most).decode()

    def _written(self, ending: Ending, taken: bool) -> None:  # noqa: FBT001
        running = self._running.get((ending.job_id, ending.attempt))
        if running is not None:
            traced.written(running.span, ending, taken=taken)

    def _done(self, attempts_done: Iterable[Hint]) -> None:
        with self._changed:
            for key in attempts_done:
                running = self._running.pop(key)
                running.span.end()
                call = running.call
                call.finish()
                metrics.HELD.observe(time.monotonic() - call.begun_at)
                self._free += 1
            self._changed.notify_all()

    def stop(self, *, grace_seconds: float) -> bool:
        """Claim nothing more, let calls finish for a while, then break and give back the rest.

        Returns:
            Whether every ending was written; what was not is left to its lease.
        """
        with self._changed:
            self.stopping = True
            self._changed.notify_all()
            if self._changed.wait_for(self._is_idle, timeout=grace_seconds):
                return True
        for running in self.running:
            running.call.abort(STOPPING)
        with self._changed:
            return self._changed.wait_for(self._is_idle, timeout=WRITE_SECONDS)

    def _is_idle(self) -> bool:
        """By slots: a claim that is being made has taken its slots, but runs nothing yet."""
        return self._free == self.settings.worker_slots


def _key(claimed: Claimed) -> Hint:
    """By attempt, not by job alone: a lost attempt may still wait here when the next one is claimed."""
    return claimed.id, claimed.attempt
