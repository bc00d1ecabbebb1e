"""Pings: how the service is, for pages. The polling form of the WebSocket's ``ping``."""

from __future__ import annotations

import datetime as dt
import threading
import time
from typing import Any

from flask import Response, current_app
from sqlalchemy.exc import SQLAlchemyError

from api import access, health
from api.jobs import json_response, wire_time
from api.openapi import Noun
from api.ping_schemas import DEGRADED, DOWN, OK, PingSchema
from models import snapshots
from models.base import bare

bp = Noun("ping", __name__, url_prefix="/api/ping", description="How the service is.")

KEPT_SECONDS = 1.0
"""However many ask."""


class Pings:
    """What is known of the service. One for each process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, Any] = {}
        self._until = 0.0

    def state(self) -> dict[str, Any]:
        """``database``, ``redis``, ``ai``: ``ok``, ``degraded`` or ``down``; and ``queueDepth``, null if unknown."""
        if time.monotonic() > self._until and self._lock.acquire(blocking=not self._known):
            try:
                self._known = _looked_up()
                self._until = time.monotonic() + KEPT_SECONDS
            finally:
                self._lock.release()
        return self._known


@bp.route("")
@bp.doc(security=[{}])
@bp.response(200, PingSchema)
@access.public
def ping() -> Response:
    """How the service is; the answer itself says that you reach it."""
    pings: Pings = current_app.extensions["parley"]["pings"]
    return json_response({"t": wire_time(dt.datetime.now(dt.UTC)), **pings.state()})


def _looked_up() -> dict[str, Any]:
    rows = health.rows()
    is_up = rows["database"]["status"] == "up"
    redis = OK if health.redis_state()["status"] == "up" else DOWN
    return {"database": OK if is_up else DOWN, "redis": redis, "ai": _ai(rows), "queueDepth": _depth()}


def _ai(rows: dict[str, dict[str, Any]]) -> str:
    if rows["worker"]["status"] != "up":
        return DOWN
    return OK if rows["model"]["status"] == "up" else DEGRADED


def _depth() -> int | None:
    """Jobs that wait."""
    try:
        with bare() as session:
            backlog = snapshots.latest(session).get(snapshots.BACKLOG)
    except SQLAlchemyError:
        return None
    return int(backlog["waiting"]) if backlog else 0
