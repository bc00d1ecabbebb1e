"""Where things are, and how long they are waited for."""

from __future__ import annotations

from dataclasses import dataclass

from models import forms
from models.flags import shares
from models.knobs.knob import knob


@dataclass(frozen=True, kw_only=True)
class ServerKnobs:
    """The API, its database and Redis."""

    environment: str = knob(
        "ENVIRONMENT",
        forms.one_of("development", "production", "test"),
        default="development",
        example="production",
        meaning="Shown by `/health`; `production` demands servers of its own.",
    )
    host: str = knob("HOST", forms.text, default="127.0.0.1", example="0.0.0.0", meaning="Address the API listens on.")  # noqa: S104
    port: int = knob("PORT", forms.whole(1, 65535), default=8000, example="8001", meaning="Port the API listens on.")
    gateway_port: int = knob(
        "GATEWAY_PORT",
        forms.whole(0, 65535),
        default=0,
        example="8002",
        meaning="Port the WebSocket gateway listens on, at `HOST`; 0: the one after `PORT`.",
    )
    gateway_url: str = knob(
        "GATEWAY_URL",
        forms.gateway,
        default="",
        example="wss://chat.example.com/ws",
        meaning="Where browsers find the gateway: a URL, `/ws` behind the API's proxy, or `none`. "
        "Empty: the API's host, `GATEWAY_PORT`.",
    )
    data: str = knob(
        "PARLEY_DATA",
        forms.text,
        default=".data",
        example="/var/lib/parley",
        meaning="Folder for everything `make run` keeps: database, Valkey, logs, keys, `admin-token`.",
    )
    flags: str = knob(
        "FLAGS",
        shares,
        default="",
        example="gateway=10,reply_cache=50",
        meaning="How many owners in a hundred have what is rolled out step by step. Empty: as each flag has it.",
    )
    log_level: str = knob(
        "LOG_LEVEL",
        forms.one_of("debug", "info", "warning", "error"),
        default="info",
        example="warning",
        meaning="Least severe log line that is written.",
    )

    database_url: str = knob(
        "DATABASE_URL",
        forms.database_url,
        default="",
        example="postgresql://parley:secret@db.internal:5432/parley",
        meaning="PostgreSQL 16 or newer: what is true. Empty: `make run` starts its own.",
        secret=True,
    )
    redis_url: str = knob(
        "REDIS_URL",
        forms.url("redis", "rediss", "unix"),
        default="",
        example="redis://:secret@cache.internal:6379/0",
        meaning="Redis or Valkey: hints and what is live; may be erased at any time. Empty: `make run` starts its own.",
        secret=True,
    )
    celery_broker_url: str = knob(
        "CELERY_BROKER_URL",
        forms.url("amqp"),
        default="",
        example="amqp://parley:secret@rabbit.internal:5672/parley",
        meaning="RabbitMQ, to carry the hints in the place of Redis. Empty: `REDIS_URL` does.",
        secret=True,
    )
    db_pool_size: int = knob(
        "DB_POOL_SIZE",
        forms.whole(1, 100),
        default=10,
        example="10",
        meaning="Connections in each of two pools a process: for transactions (5 more in a rush), for lone statements.",
    )
    db_connect_seconds: float = knob(
        "DB_CONNECT_SECONDS",
        forms.seconds(0.1, 60),
        default=2.0,
        example="2",
        meaning="Longest wait for a database connection, a free place in the pool included.",
    )
    db_statement_seconds: float = knob(
        "DB_STATEMENT_SECONDS",
        forms.seconds(0.5, 600),
        default=5.0,
        example="5",
        meaning="Longest run of one SQL statement.",
    )
    db_answer_seconds: float = knob(
        "DB_ANSWER_SECONDS",
        forms.seconds(0.5, 60),
        default=2.0,
        example="2",
        meaning="Longest a request waits for the database, all in all, before the API answers 503.",
    )

    api_workers: int = knob("API_WORKERS", forms.whole(1, 64), default=2, example="4", meaning="Processes of the API.")
