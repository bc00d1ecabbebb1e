"""Cashier: lets only those jobs be announced for which something is left of the budgets, and says when that gets less.

One for each dispatcher, where there is a budget at all. The rules stand in `models.budgets`.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

from sqlalchemy.orm import Session

from models import budgets, logs
from models.announcements import Room
from models.budgets import Budgets, Hint, Purse
from models.prices import wire
from models.settings import Settings
from tasks.gates import Gates

log = logs.logger()


class Cashier:
    """What is allowed, and of what has been told today."""

    def __init__(self, allowed: Budgets, *, again_after: float) -> None:
        self._allowed, self._again_after = allowed, again_after
        self._day: dt.date | None = None
        self._told: set[tuple[str, str | None]] = set()
        self._purse = Purse()

    @classmethod
    def of(cls, settings: Settings) -> Cashier | None:
        """None: there is no budget."""
        allowed = budgets.of(settings)
        return None if allowed is None else cls(allowed, again_after=settings.announce_seconds)

    def stamp(self, session: Session, queue_class: str, *, gates: Gates, room: Room, again_after: float) -> list[Hint]:
        """`Gates.stamp` for what is left: who has nothing left is passed over, and the rest is reserved."""
        if not room.free:
            return gates.stamp(session, queue_class, room=room, again_after=again_after)
        purse = self._purse = budgets.look_alone(session, self._allowed, again_after=again_after)
        if purse.is_empty:
            room = replace(room, free=0)
        hints = gates.stamp(session, queue_class, room=room, again_after=again_after, resting=purse.empty)
        return budgets.reserve(session, self._allowed, hints, again_after=again_after)

    def standing(self, session: Session) -> dict[str, Any]:
        """For whom nothing is left, for the snapshot of the backlog."""
        return budgets.look(session, self._allowed, again_after=self._again_after).as_json()

    def report(self) -> None:
        """Log which budgets have been used up, or nearly; of each once a day. To be called after the commit."""
        purse = self._purse
        if purse.day != self._day:
            self._day, self._told = purse.day, set()
        for event, is_of_all, owners in (
            ("budget_low", purse.is_low, purse.low),
            ("budget_used", purse.is_empty, purse.empty),
        ):
            for owner in (*([None] if is_of_all else []), *owners):
                if (event, owner) not in self._told:
                    self._told.add((event, owner))
                    log.warning(event, owner=owner, spent=wire(purse.spent), reserved=wire(purse.reserved))
