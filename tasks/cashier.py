"""Cashier: lets only those jobs be announced for which something is left of the budgets, and says when that gets less.

One for each dispatcher, where there is a budget at all. The rules stand in `models.budgets`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from sqlalchemy.orm import Session

from models import budget_alerts, budgets, logs
from models.announcements import Room
from models.budget_alerts import ALL, Level, Told
from models.budgets import Budgets, Hint, Purse
from models.prices import wire
from models.settings import Settings
from tasks import metrics
from tasks.gates import Gates

log = logs.logger()


class Cashier:
    """What is allowed, and of what has been told today.

    Args:
        posts: whether there is a receiver of alerts (`tasks.budget_alerts`).
    """

    def __init__(self, allowed: Budgets, *, again_after: float, posts: bool = False) -> None:
        self._allowed, self._again_after, self._posts = allowed, again_after, posts
        self._day: dt.date | None = None
        self._known: set[tuple[Level, str]] = set()
        """Noted on `_day`, by whomever."""
        self._noting: set[tuple[Level, str]] = set()
        self._news: list[Told] = []
        """What `standing` found first; told once that is committed."""

    @classmethod
    def of(cls, settings: Settings) -> Cashier | None:
        """None: there is no budget."""
        allowed = budgets.of(settings)
        if allowed is None:
            return None
        return cls(allowed, again_after=settings.announce_seconds, posts=bool(settings.budget_webhook_url))

    def stamp(self, session: Session, queue_class: str, *, gates: Gates, room: Room, again_after: float) -> list[Hint]:
        """`Gates.stamp` for what is left: who has nothing left is passed over, and the rest is reserved."""
        if not room.free:
            return gates.stamp(session, queue_class, room=room, again_after=again_after)
        purse = budgets.look_alone(session, self._allowed, again_after=again_after)
        if purse.is_empty:
            room = replace(room, free=0)
        hints = gates.stamp(session, queue_class, room=room, again_after=again_after, resting=purse.empty)
        return budgets.reserve(session, self._allowed, hints, again_after=again_after)

    def standing(self, session: Session) -> dict[str, Any]:
        """For whom nothing is left, for the snapshot of the backlog; who has come so far is noted."""
        purse = budgets.look(session, self._allowed, again_after=self._again_after)
        if purse.day != self._day:
            self._day, self._known = purse.day, set()
        self._noting, self._news = set(), []
        for level, owners, budget in self._reached(purse):
            if fresh := [owner for owner in owners if (level, owner) not in self._known]:
                self._noting.update((level, owner) for owner in fresh)
                self._news += budget_alerts.tell(
                    session, day=purse.day, level=level, owners=fresh, budget=budget, is_posted=self._posts
                )
        return purse.as_json()

    def _reached(self, purse: Purse) -> Iterator[tuple[Level, Sequence[str], Decimal]]:
        for level, is_of_all, owners in (
            (Level.LOW, purse.is_low, purse.low),
            (Level.USED, purse.is_empty, purse.empty[: budgets.MOST_NAMED]),
        ):
            if self._allowed.day is not None and is_of_all:
                yield level, [ALL], self._allowed.day
            if self._allowed.owner_day is not None:
                yield level, owners, self._allowed.owner_day

    def report(self) -> None:
        """Log which budgets have been used up, or nearly; of each once a day. To be called after the commit."""
        self._known |= self._noting
        for told in self._news:
            metrics.BUDGET_ALERTS.labels(told.level.value).inc()
            event = "budget_low" if told.level is Level.LOW else "budget_used"
            log.warning(event, owner=told.owner, spent=wire(told.spent), budget=wire(told.budget))
        self._noting, self._news = set(), []
