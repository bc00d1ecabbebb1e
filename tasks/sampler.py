"""The sampler: has each moment of the dashboard's charts stored. Every dispatcher has one; one acts at a time."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from models import activity, base, logs, samples
from models.base import Session, is_outage

LOOK_SECONDS = 10.0
ACTIVITY_SHARE = 20
"""Where counting the day's jobs takes long it is done less often, so that it stays below a twentieth of a core."""
LOOKS = 3
"""So many in the time of a sample: whichever dispatcher is gone, another takes the next one."""

log = logs.logger()


class Sampler:
    """One for each dispatcher: it remembers what is asked less often.

    Args:
        every: seconds from one sample to the next.
    """

    def __init__(self, *, every: int) -> None:
        self._every = every
        self._activity: Mapping[str, Any] | None = None
        self._ask_at = 0.0

    def tick(self) -> float:
        """Take a sample if it is time; answers the seconds until the next look."""
        self._look()
        with Session.begin() as session:
            samples.take(session, every=self._every, activity=self._activity)
        return self._every / LOOKS

    def _look(self) -> None:
        """What cannot be counted in time is unknown, and no reason not to sample the rest."""
        begun_at = time.monotonic()
        if begun_at < self._ask_at:
            return
        try:
            with Session.begin() as session:
                base.take_time(session, seconds=LOOK_SECONDS)
                self._activity = activity.read(session)
        except SQLAlchemyError as error:
            if not is_outage(error):
                raise
            self._activity = None
            log.warning("activity_unknown", error=type(error).__name__)
        taken = time.monotonic() - begun_at
        self._ask_at = time.monotonic() + max(activity.AGAIN_SECONDS, ACTIVITY_SHARE * taken)
