"""Gates: for which models a tick's jobs are announced.

Each announcer brings what it found of the breakers up to date, by the rules of
`tasks.breaker`, and announces within what they let through. Two announcers (one
for each queue class, perhaps in two dispatchers) may do so at once: every change
is guarded, and the right to send a probe is a row lock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy.orm import Session

from models import announcements, breakers, logs
from models.announcements import Room
from models.breakers import BreakerState, Change, Seen
from tasks import breaker

log = logs.logger()

Hint = tuple[str, int]


class Gates:
    """The breakers of the models in one chain; one for each dispatcher process.

    Args:
        chain: of models, the first choice first.
        guarded: those of them that have a breaker.
        least_calls: fewer than so many calls open none.
    """

    def __init__(self, chain: Sequence[str], *, guarded: Sequence[str], least_calls: int) -> None:
        self._chain, self._guarded, self._least_calls = tuple(chain), tuple(guarded), least_calls
        self._judged: dict[str, int] = {}
        """Up to how many failed calls each model has been judged."""
        self._news: list[tuple[BreakerState, dict[str, object]]] = []

    def keep(self, session: Session) -> None:
        """See to it that each guarded model has its row."""
        breakers.keep(session, self._guarded)

    def stamp(
        self, session: Session, queue_class: str, *, room: Room, again_after: float, resting: Sequence[str] = ()
    ) -> list[Hint]:
        """Bring the breakers up to date, then `announcements.stamp` for what they let through.

        Args:
            resting: owners whose jobs wait for something else.
        """
        self._news.clear()
        known = {seen.model: self._judge(session, seen, again_after=again_after) for seen in room.breakers}
        chain = [known.get(model, Seen(model=model)) for model in self._chain]
        hints: list[Hint] = []
        if not room.free:
            return hints
        limits = [self._limit(session, place, chain[place], room, again_after) for place in range(len(chain))]
        for each in breaker.passes(limits):
            left = replace(room, free=room.free - len(hints))
            if not left.free:
                break
            only = replace(each, resting=list(resting))
            found = announcements.stamp(session, queue_class, room=left, again_after=again_after, only=only)
            if found and chain[each.choice].state is BreakerState.OPEN:
                self._send_probe(session, chain[each.choice], found[0])
            hints += found
        return hints

    def report(self) -> None:
        """Log what `stamp` has changed; to be called once that is committed."""
        events = {
            BreakerState.OPEN: "breaker_opened",
            BreakerState.HALF_OPEN: "breaker_probed",
            BreakerState.CLOSED: "breaker_closed",
        }
        for state, facts in self._news:
            log.warning(events[state], **facts)
        self._news.clear()

    def paused_from(self, found: Sequence[Seen]) -> int | None:
        """See `breaker.paused_from`."""
        states = {seen.model: seen.state for seen in found}
        return breaker.paused_from([states.get(model, BreakerState.CLOSED) for model in self._chain])

    def _judge(self, session: Session, seen: Seen, *, again_after: float) -> Seen:
        if seen.state is BreakerState.HALF_OPEN:
            return self._changed(session, seen, breaker.judged_probe(seen, again_after=again_after))
        if seen.state is BreakerState.CLOSED and self._judged.get(seen.model) != seen.failed_calls:
            self._judged[seen.model] = seen.failed_calls
            tally = breakers.tally(session, seen.model)
            return self._changed(session, seen, breaker.judged_closed(seen, tally, least_calls=self._least_calls))
        return seen

    def _changed(self, session: Session, seen: Seen, change: Change | None) -> Seen:
        if change is None:
            return seen
        won = breakers.change(session, seen, change)
        if won and change.to is BreakerState.CLOSED:
            self._news.append((change.to, {"model": seen.model}))
        elif won and change.wait_seconds:
            self._news.append((change.to, {"model": seen.model, "seconds": change.wait_seconds}))
        # Who was slower finds out at the next tick how it stands; until then it lets nothing through.
        return replace(
            seen,
            state=change.to if won else BreakerState.HALF_OPEN,
            changes=seen.changes + 1,
            open_seconds=change.open_seconds,
            unchanged_seconds=0.0,
            wait_seconds=change.wait_seconds,
            probe=None,
        )

    def _limit(self, session: Session, place: int, seen: Seen, room: Room, again_after: float) -> int | None:
        """How many jobs this model's breaker lets through now; None: all."""
        if seen.state is BreakerState.CLOSED:
            most = breaker.slow_start(seen, slots=room.slots)
            if most is None:
                return None
            return max(0, most - announcements.in_flight(session, place, again_after=again_after))
        if seen.state is BreakerState.OPEN and (seen.wait_seconds or 0.0) <= 0.0:
            return int(breakers.may_probe(session, seen))
        return 0

    def _send_probe(self, session: Session, seen: Seen, hint: Hint) -> None:
        job_id, attempt = hint
        probe = (job_id, attempt + 1)  # the number that the claim will give it
        half_open = Change(to=BreakerState.HALF_OPEN, open_seconds=seen.open_seconds, probe=probe)
        breakers.change(session, seen, half_open)
        self._news.append((BreakerState.HALF_OPEN, {"model": seen.model, "job_id": job_id}))
