"""The application: its parts, put together once for each process."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Callable
from typing import Any

from flask import Flask
from flask_smorest import Api
from werkzeug.middleware.proxy_fix import ProxyFix

from api import (
    access,
    analytics,
    audit,
    auth,
    batches,
    chat_members,
    chat_replies,
    chats,
    compression,
    configuration,
    cors,
    cost,
    dashboard,
    dashboard_lists,
    dead_letters,
    errors,
    events,
    guests,
    headers,
    health,
    invariants,
    jobs,
    keys,
    live_stream,
    me,
    messages,
    metrics,
    new_jobs,
    openapi,
    own_jobs,
    pages,
    pings,
    searches,
    seed_routes,
    summaries,
    traced,
    trail,
    users,
)
from api.assets import WithAssets
from api.callers import Callers
from api.hashing import Hashing
from api.installation import Installation
from api.limits import Limits
from api.oversight import Lately
from api.queue import Queue
from api.reader import Reader
from api.redis_figures import RedisFigures
from api.tokens import Tokens
from api.waiters import Waiters
from api.wake import Waker
from api.writers import Writers
from models import base, logs
from models.live import changes, chat_changes
from models.live.chat_reads import ChatReads
from models.passwords import Passwords
from models.settings import Settings

MAX_BODY_BYTES = 256 * 1024
STATIC = pathlib.Path(__file__).resolve().parent.parent / "static"

log = logs.logger()


def create_app(
    settings: Settings,
    *,
    name: str = "api",
    stopping: Callable[[], bool] = lambda: False,
    passwords: Passwords | None = None,
) -> Flask:
    """The Flask application on a database that is opened here.

    Args:
        name: of the process, shown in ``pg_stat_activity``.
        stopping: whether this process has been told to stop (`/health/ready` then says no).
        passwords: hashed with other parameters than the product's; tests use cheap ones.
    """
    base.open_database(settings, name=name, answers=True)
    changes.publish_from_now_on(settings)
    app = WithAssets("parley", folder=STATIC)
    app.config.update(openapi.CONFIG, MAX_CONTENT_LENGTH=MAX_BODY_BYTES, SETTINGS=settings)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.wsgi_app = proxied(app.wsgi_app, settings.trusted_proxies)  # type: ignore[method-assign]
    callers, cache = Callers(settings), chat_changes.cache_from_now_on(settings)
    app.extensions["parley"] = {
        "waker": Waker(settings),
        "pings": pings.Pings(),
        "queue": Queue(settings),
        "callers": callers,
        "chat_cache": cache,
        "chat_reads": ChatReads(cache),
        "limits": Limits(app, settings),
        "tokens": Tokens(settings),
        "hashing": Hashing(passwords),
        "lately": Lately(),
        "reader": Reader(patience_seconds=settings.db_answer_seconds),
        "writers": Writers(answer_seconds=settings.db_answer_seconds),
        "waiters": Waiters(settings, stopping=stopping),
        "installation": Installation(settings.data_folder),
        "redis_figures": RedisFigures(settings),
        "stopping": stopping,
        "started": time.monotonic(),
    }
    metrics.add_to(app)
    traced.add_to(app)
    trail.add_to(app)
    headers.add_to(app, settings)
    compression.add_to(app)
    cors.add_to(app, list(filter(None, settings.cors_origins.split(","))))
    errors.add_to(app)
    enforce_access = access.add_to(app, callers)
    api: Api = openapi.ProblemApi(app)
    for noun in (
        auth,
        guests,
        me,
        keys,
        users,
        new_jobs,
        jobs,
        own_jobs,
        events,
        batches,
        chats,
        searches,
        chat_members,
        messages,
        live_stream,
        chat_replies,
        summaries,
        analytics,
        cost,
        dashboard,
        dashboard_lists,
        dead_letters,
        audit,
        invariants,
        health,
        pings,
        configuration,
        seed_routes,
    ):
        api.register_blueprint(noun.bp)
    app.register_blueprint(pages.bp)
    app.register_blueprint(metrics.bp)
    enforce_access()
    if settings.environment == "production" and settings.allow_guests:
        log.warning("guests_allowed")  # as somebody may well want, but not by mistake
    return app


def proxied(app: Any, number: int) -> Any:
    """Take from so many proxies who calls, and whether by https. What the caller itself wrote there is not reached."""
    return ProxyFix(app, x_for=number, x_proto=number, x_host=0, x_port=0, x_prefix=0) if number else app
