"""The queue as callers see it: what they may add, where a job stands, and why it waits.

Each api process keeps the announcer's snapshot, and who has used up a daily quota, for a second. A caller's own
jobs since then are counted on top, so that a burst does not slip through.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from models import quotas, snapshots
from models.base import bare
from models.errors import BacklogFull, BudgetUsed, DailyQuotaUsed, OwnerBacklogFull
from models.quotas import Exhausted
from models.settings import Settings
from models.states import JobStatus

KEPT_SECONDS = 1.0


NOWHERE = {"queuePosition": None, "etaSeconds": None, "waitReason": None}
"""Where a job stands that does not wait."""


class Queue:
    """One for each process."""

    def __init__(self, settings: Settings) -> None:
        self._most, self._most_per_owner = settings.most_waiting, settings.most_waiting_per_owner
        self._daily_tokens, self._exhausted = settings.daily_tokens_per_owner, Exhausted()
        self._refuses = settings.budget_action == "refuse"
        self._bodies: Mapping[str, Any] = {}
        self._places: dict[str, int] = {}
        self._since: Counter[str] = Counter()
        self._load_at = 0.0
        self._loading = threading.Lock()

    def admit(self, owner: str, *, jobs: int = 1) -> None:
        """Count these jobs in.

        Raises:
            OwnerBacklogFull: too many of this owner's wait.
            BacklogFull: too many wait.
            BudgetUsed: nothing may be spent any more today, and jobs are not to wait for tomorrow.
            DailyQuotaUsed: this owner's have used their tokens of today.
        """
        self._refresh()
        if self._refuses and self._has_no_budget(owner):
            raise BudgetUsed
        if owner in self._exhausted.owners:
            raise DailyQuotaUsed(most=self._daily_tokens, retry_seconds=math.ceil(self._exhausted.seconds_left))
        backlog = self._bodies.get(snapshots.BACKLOG) or {"waiting": 0, "owners": {}}
        # First what the caller can mend: both are true at once after a burst that the last second did not show.
        if backlog["owners"].get(owner, 0) + self._since[owner] + jobs > self._most_per_owner:
            raise OwnerBacklogFull(self._most_per_owner)
        if backlog["waiting"] + self._since.total() + jobs > self._most:
            raise BacklogFull
        self._since[owner] += jobs

    def look(self) -> None:
        """Ask the database now, if it is time to, so that `admit` need not."""
        self._refresh()

    def place(self, job: Mapping[Any, Any]) -> dict[str, Any]:
        """``queuePosition``, ``etaSeconds`` and ``waitReason`` of a waiting job; null where nobody knows."""
        if not job["due"]:
            reason = "scheduled" if job["status"] == JobStatus.CREATED else "backoff"
            return {"queuePosition": None, "etaSeconds": None, "waitReason": reason}
        self._refresh()
        queue = self._bodies.get(job["queue_class"]) or {}
        position, rate = self._places.get(job["id"]), queue.get("rate")
        reason = self._reason(job, queue)
        # Nobody knows how long an outage lasts, nor what tomorrow's budget is spent on first.
        rate = None if reason in ("breaker_open", "budget") else rate
        return {
            "queuePosition": position,
            "etaSeconds": math.ceil(position / rate) if position and rate else None,
            "waitReason": reason,
        }

    def eta(self, queue_class: str, jobs: int) -> int | None:
        """Seconds until so many jobs of a class are finished, at its present rate; None if nobody knows."""
        self._refresh()
        rate = (self._bodies.get(queue_class) or {}).get("rate")
        return math.ceil(jobs / rate) if rate else None

    def _reason(self, job: Mapping[Any, Any], queue: Mapping[str, Any]) -> str:
        if self._has_no_budget(job["owner"]):
            return "budget"
        paused_from = queue.get("paused_from")
        if paused_from is not None and job["fallback"] >= paused_from:
            return "breaker_open"
        return "owner_limit" if job["owner"] in queue.get("limited", ()) else "behind"

    def _has_no_budget(self, owner: str) -> bool:
        budget = (self._bodies.get(snapshots.BACKLOG) or {}).get("budget")
        return budget is not None and (budget["all"] or owner in budget["owners"])

    def _refresh(self) -> None:
        """Only one request a second asks; the others go on with what there is."""
        if time.monotonic() < self._load_at or not self._loading.acquire(blocking=False):
            return
        try:
            self._load_at = time.monotonic() + KEPT_SECONDS
            with bare() as session:
                bodies = snapshots.latest(session)
                if self._daily_tokens:
                    self._exhausted = quotas.exhausted(session, most=self._daily_tokens)
            if bodies != self._bodies:
                self._bodies, self._since = bodies, Counter()
                self._places = {
                    job_id: place
                    for name, body in bodies.items()
                    if name != snapshots.BACKLOG
                    for place, job_id in enumerate(body["ids"], start=1)
                }
        finally:
            self._loading.release()
