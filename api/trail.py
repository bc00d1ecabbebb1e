"""The trail: what of a request goes on record in the audit log, with its request id.

Who may be made to answer for something stands there; what everybody may cause as
often as they like (a wrong password, somebody else's id) is on record too, but not
without end: the log is append-only, and a flood of refusals must not become a flood
of rows. Beyond `MOST_A_MINUTE` of one kind in one process they are counted, and the
next one that is written says how many were not.
"""

from __future__ import annotations

import time
from typing import Any

from flask import Flask, current_app, g, request
from sqlalchemy.orm import Session

from models import audit, logs, owners
from models.base import Bare, bare

MOST_A_MINUTE = 300
MINUTE = 60.0

log = logs.logger()


class Trail:
    """What this process has put on record lately, and what it only counted."""

    def __init__(self) -> None:
        self._minutes: dict[str, float] = {}
        self._written: dict[str, int] = {}
        self._unwritten: dict[str, int] = {}

    def room(self, action: str) -> int | None:
        """How many of this kind were not written since the last one that was; None: neither is this one."""
        now = time.monotonic()
        if now >= self._minutes.get(action, 0.0):
            self._minutes[action], self._written[action] = now + MINUTE, 0
        self._written[action] += 1
        if self._written[action] > MOST_A_MINUTE:
            self._unwritten[action] = self._unwritten.get(action, 0) + 1
            return None
        return self._unwritten.pop(action, 0)


def add_to(app: Flask) -> None:
    """One for each process."""
    app.extensions["parley"]["trail"] = Trail()


def note(
    action: str,
    *,
    subject: str | None = None,
    actor: str | None = None,
    session: Session | Bare | None = None,
    **facts: Any,
) -> None:
    """Put it on record.

    Args:
        action: a word of the list in `docs/security.md`, ``noun_verbed``.
        subject: what it was done to: an owner word, or ``job:<id>``.
        actor: whoever did it; the caller of this request if left out, or its address while nobody knows more.
        session: the transaction of what is done, so that it is done and on record or neither. Without one it is a
            transaction of its own: for a refusal, whose own is rolled back.
        facts: codes and numbers; never content, never a name.
    """
    row: dict[str, Any] = {
        "actor": actor or actor_now(),
        "request_id": g.get("request_id", ""),
        "subject": subject,
        **facts,
    }
    if session is not None:
        audit.note(session, action=action, **row)
        return
    with bare() as own:
        audit.note(own, action=action, **row)


def refusal(action: str, *, subject: str | None = None, actor: str | None = None, **facts: Any) -> None:
    """Put on record what anybody may cause, so long as it does not come in floods. Logs it in any case.

    Call it outside any transaction.
    """
    log.warning(action, actor=actor or actor_now(), subject=subject, **facts)
    trail: Trail = current_app.extensions["parley"]["trail"]
    missing = trail.room(action)
    if missing is not None:
        if missing:
            facts["unwritten"] = missing
        note(action, subject=subject, actor=actor, **facts)


def actor_now() -> str:
    """The owner word of whoever sends this request."""
    caller = g.get("caller")
    return owners.of_address(request.remote_addr) if caller is None else caller.owner
