"""Oversight: what goes on record of those who may see everything, and of those who tried.

A page polls, and a scanner does nothing else. So that neither fills the disk, the
same look by the same operator, and the same refusal of the same caller, is noted
once a minute in each process. Every refusal is in the log.
"""

from __future__ import annotations

import time

from flask import current_app, request
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from api import trail
from api.callers import caller
from models import logs, owners
from models.base import is_outage

MINUTE = 60.0
MOST_REMEMBERED = 10_000

log = logs.logger()


class Lately:
    """What has been noted in this minute. One for each process."""

    def __init__(self) -> None:
        self._noted: set[tuple[str, ...]] = set()
        self._until = 0.0

    def knows(self, *what: str) -> bool:
        """Whether this has been noted."""
        if time.monotonic() >= self._until or len(self._noted) >= MOST_REMEMBERED:
            self._noted, self._until = set(), time.monotonic() + MINUTE
        return what in self._noted

    def keep(self, *what: str) -> None:
        """It has been, now."""
        self._noted.add(what)


def looked_at(subject: str, owner: str) -> None:
    """Note that the caller sees this thing, if it sees it only as an operator.

    To be called before it is shown: what cannot be put on record is not.

    Args:
        subject: ``job:<id>`` or ``batch:<id>``.
        owner: whose it is.
    """
    if not _is_anothers(owner):
        return
    lately, who = _lately(), caller().owner
    if not lately.knows(who, subject):
        trail.note("read_other", subject=subject, owner=owner)
        lately.keep(who, subject)


def listed(action: str) -> None:
    """Note that the caller sees a list of many people's things, before it is shown."""
    lately, who = _lately(), caller().owner
    if not lately.knows(who, action):
        trail.note(action)
        lately.keep(who, action)


def acted_on(action: str, subject: str, owner: str, *, session: Session) -> None:
    """Note what the caller does to this thing, if it may only as an operator. Each time, and in the transaction."""
    if _is_anothers(owner):
        trail.note(action, subject=subject, session=session, owner=owner)


def refused(code: str, *, subject: str | None = None) -> None:
    """Note that the caller wanted what it may not have. The refusal stands whether or not that can be written."""
    route, actor = str(request.endpoint), trail.actor_now()
    lately = _lately()
    if lately.knows(actor, route, code):
        log.warning("access_refused", actor=actor, code=code, route=route, subject=subject)
        return
    try:
        trail.refusal("access_refused", subject=subject, code=code, route=route)
    except SQLAlchemyError as error:
        if not is_outage(error):
            raise
        log.warning("database_unavailable", error=type(error).__name__)
    else:
        lately.keep(actor, route, code)


def _is_anothers(owner: str) -> bool:
    return caller().reader == owners.ANYONE and caller().owner != owner


def _lately() -> Lately:
    lately: Lately = current_app.extensions["parley"]["lately"]
    return lately
