"""The sweeper: sees to it that no chat's summary falls behind, though nobody calls the AI there or asks for one."""

from __future__ import annotations

from models import announcements, logs, summary_jobs
from models.base import Session

TURN = "summaries"
"""Of several dispatchers one sweeps at a time."""

log = logs.logger()


class Sweeper:
    """One for each dispatcher: it knows how far it has come in the table."""

    def __init__(self) -> None:
        self._after: str | None = None

    def sweep(self) -> bool:
        """Look at some more chats, and have a job made for each that needs one; whether there are more to look at."""
        with Session.begin() as session:
            if not announcements.take_turn(session, TURN):
                return False
            swept = summary_jobs.sweep(session, after=self._after)
        self._after = swept.last
        if swept.made:
            log.info("summaries_behind", jobs=len(swept.made))
        return swept.last is not None
