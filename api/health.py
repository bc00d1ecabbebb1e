"""Health: three questions that probes ask.

*Healthy* and *live* touch nothing: a process that answers is one that need not
be restarted, whatever else is broken. *Ready* looks at what a request needs.
"""

from __future__ import annotations

import datetime as dt
import math
import time
from collections.abc import Sequence
from typing import Any

import redis
from flask import Response, current_app
from sqlalchemy.exc import SQLAlchemyError

from api import access
from api.jobs import json_response, wire_time
from api.openapi import Noun
from api.schemas import HealthSchema, LiveSchema, ReadySchema
from models import breakers, dead_letters, heartbeats
from models.base import Autocommit
from models.breakers import Seen
from models.live import broker
from models.settings import Settings

bp = Noun("health", __name__, url_prefix="/health", description="For probes.")

REDIS_SECONDS = 0.3
BROKER_SECONDS = 1.0
"""It takes several steps to get to know RabbitMQ."""
BROKER_FRESH_SECONDS = 2.0


@bp.route("")
@bp.response(200, HealthSchema)
@access.public
def health() -> Response:
    """This process answers."""
    settings: Settings = current_app.config["SETTINGS"]
    uptime = time.monotonic() - current_app.extensions["parley"]["started"]
    now = dt.datetime.now(dt.UTC)
    return json_response(
        {"status": "healthy", "timestamp": wire_time(now), "uptime": int(uptime), "environment": settings.environment}
    )


@bp.route("/live")
@bp.response(200, LiveSchema)
@access.public
def live() -> Response:
    """This process answers; restart it if it does not."""
    return json_response({"status": "alive"})


@bp.route("/ready")
@bp.response(200, ReadySchema)
@bp.alt_response(503, schema=ReadySchema, description="Send no requests here.")
@access.public
def ready() -> Response:
    """Whether requests should be sent here.

    503 while the database cannot be used, while this process stops, and until a
    dispatcher and a worker have reported once. Their later loss, Redis's, RabbitMQ's or a
    model's is `degraded` with 200: jobs are still accepted, and nothing accepted
    is lost.
    """
    components = {**rows(), "redis": redis_state(), **broker_state()}
    stopping = current_app.extensions["parley"]["stopping"]()
    if stopping or any(
        components[name]["status"] in ("down", "never") for name in ("database", "dispatcher", "worker")
    ):
        return json_response({"status": "unready", "components": components}, status=503)
    whole = all(component["status"] == "up" for component in components.values())
    return json_response({"status": "ready" if whole else "degraded", "components": components})


def rows() -> dict[str, dict[str, Any]]:
    """What PostgreSQL knows; one query, which also proves that it works."""
    try:
        with Autocommit() as session:
            ages = heartbeats.ages(session)
            model = _model(breakers.seen(session))
            letters = _letters(*dead_letters.count(session))
    except SQLAlchemyError:
        unknown = {"status": "unknown"}
        unseen = dict.fromkeys(("dispatcher", "worker", "model", "deadLetters"), unknown)
        return {"database": {"status": "down"}, **unseen}
    seen = {kind: _beat(ages.get(kind)) for kind in (heartbeats.DISPATCHER, heartbeats.WORKER)}
    return {"database": {"status": "up"}, **seen, "model": model, "deadLetters": letters}


def _model(found: Sequence[Seen]) -> dict[str, Any]:
    """Whether the models can be asked; if not, which, and when the first of them is tried again."""
    waits = {seen.model: max(0, math.ceil(seen.wait_seconds or 0)) for seen in found if seen.state != "closed"}
    if not waits:
        return {"status": "up"}
    return {"status": "open", "retrySeconds": min(waits.values()), "models": sorted(waits)}


def _letters(number: int, oldest: float | None) -> dict[str, Any]:
    """Always up: dead letters are work for the operator, not a fault of the installation."""
    return {
        "status": "up",
        "count": min(number, dead_letters.COUNTED),
        "atLeast": number > dead_letters.COUNTED,
        "oldestSeconds": None if oldest is None else round(oldest),
    }


def _beat(age: float | None) -> dict[str, Any]:
    if age is None:
        return {"status": "never"}
    return {"status": "up" if age <= heartbeats.LIVE_SECONDS else "silent", "lastSeenSeconds": round(age, 1)}


def broker_state() -> dict[str, dict[str, Any]]:
    """Whether RabbitMQ answers, where it carries the hints; asked once in two seconds, for that costs it some."""
    settings: Settings = current_app.config["SETTINGS"]
    if not settings.celery_broker_url:
        return {}
    ours = current_app.extensions["parley"]
    asked_at, answered = ours.get("broker", (-math.inf, False))
    if time.monotonic() - asked_at > BROKER_FRESH_SECONDS:
        answered = broker.answers(settings, seconds=BROKER_SECONDS)
        ours["broker"] = (time.monotonic(), answered)
    return {"broker": {"status": "up" if answered else "down"}}


def redis_state() -> dict[str, Any]:
    """Whether Redis answers, within `REDIS_SECONDS`."""
    settings: Settings = current_app.config["SETTINGS"]
    client = redis.Redis.from_url(
        settings.redis_url, socket_timeout=REDIS_SECONDS, socket_connect_timeout=REDIS_SECONDS, retry=None
    )
    try:
        with client:
            client.ping()
    except (redis.RedisError, OSError):
        return {"status": "down"}
    return {"status": "up"}
