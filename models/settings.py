"""Settings: every knob of the product, read once from the environment and then frozen.

Nothing else reads ``os.environ``. A value that cannot be right is refused at
start, with its name, the reason and an example, because a process that starts
with a wrong value fails later, at night, somewhere else. Each row of `Settings`
names its own environment variable; `docs/reference/settings.md` lists them all and a test
holds the two together.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from models import forms


class SettingRefused(ValueError):
    """A setting's value is refused; the message names it, says why and shows one that works."""


def _knob(  # noqa: PLR0913
    env: str, parse: Callable[[str], Any], *, default: Any, example: str, meaning: str, secret: bool = False
) -> Any:
    return field(
        default=default,
        repr=not secret,
        metadata={"env": env, "parse": parse, "example": example, "meaning": meaning, "secret": secret},
    )


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings, validated. Durations are seconds."""

    environment: str = _knob(
        "ENVIRONMENT",
        forms.one_of("development", "production", "test"),
        default="development",
        example="production",
        meaning="Shown by `/health`; `production` demands servers of its own.",
    )
    host: str = _knob("HOST", forms.text, default="127.0.0.1", example="0.0.0.0", meaning="Address the API listens on.")  # noqa: S104
    port: int = _knob("PORT", forms.whole(1, 65535), default=8000, example="8001", meaning="Port the API listens on.")
    data: str = _knob(
        "PARLEY_DATA",
        forms.text,
        default=".data",
        example="/var/lib/parley",
        meaning="Folder for everything `make run` keeps: database, Valkey, logs, keys, `admin-token`.",
    )
    log_level: str = _knob(
        "LOG_LEVEL",
        forms.one_of("debug", "info", "warning", "error"),
        default="info",
        example="warning",
        meaning="Least severe log line that is written.",
    )

    database_url: str = _knob(
        "DATABASE_URL",
        forms.database_url,
        default="",
        example="postgresql://parley:secret@db.internal:5432/parley",
        meaning="PostgreSQL 16 or newer: what is true. Empty: `make run` starts its own.",
        secret=True,
    )
    redis_url: str = _knob(
        "REDIS_URL",
        forms.url("redis", "rediss", "unix"),
        default="",
        example="redis://:secret@cache.internal:6379/0",
        meaning="Redis or Valkey: hints and what is live; may be erased at any time. Empty: `make run` starts its own.",
        secret=True,
    )
    db_pool_size: int = _knob(
        "DB_POOL_SIZE",
        forms.whole(1, 100),
        default=10,
        example="10",
        meaning="Connections in each of two pools a process: for transactions (5 more in a rush), for lone statements.",
    )
    db_connect_seconds: float = _knob(
        "DB_CONNECT_SECONDS",
        forms.seconds(0.1, 60),
        default=2.0,
        example="2",
        meaning="Longest wait for a database connection, a free place in the pool included.",
    )
    db_statement_seconds: float = _knob(
        "DB_STATEMENT_SECONDS",
        forms.seconds(0.5, 600),
        default=5.0,
        example="5",
        meaning="Longest run of one SQL statement.",
    )

    api_workers: int = _knob("API_WORKERS", forms.whole(1, 64), default=2, example="4", meaning="Processes of the API.")
    admin_token: str = _knob(
        "ADMIN_TOKEN",
        forms.token,
        default="",
        example="a 43-character random string",
        meaning="Bearer token of the operator (dead letters). Empty: nobody is. `make run` makes one.",
        secret=True,
    )

    llm_base_url: str = _knob(
        "LLM_BASE_URL",
        forms.url("http", "https"),
        default="",
        example="http://127.0.0.1:11434/v1",
        meaning="Any OpenAI-compatible server. Set, it selects the `openai` provider.",
    )
    llm_api_key: str = _knob(
        "LLM_API_KEY",
        forms.text,
        default="",
        example="sk-…",
        meaning="Key for that server. Set, it selects the `openai` provider.",
        secret=True,
    )
    llm_model: str = _knob(
        "LLM_MODEL",
        forms.text,
        default="",
        example="llama3.2",
        meaning="Model to ask; required as soon as `LLM_BASE_URL` or `LLM_API_KEY` is set.",
    )
    llm_connect_seconds: float = _knob(
        "LLM_CONNECT_SECONDS",
        forms.seconds(0.1, 60),
        default=3.0,
        example="3",
        meaning="Longest wait for a connection to the model's server.",
    )
    llm_read_seconds: float = _knob(
        "LLM_READ_SECONDS",
        forms.seconds(0.1, 600),
        default=20.0,
        example="20",
        meaning="Longest silence of the model's server within one call.",
    )
    llm_total_seconds: float = _knob(
        "LLM_TOTAL_SECONDS",
        forms.seconds(0.1, 3600),
        default=120.0,
        example="120",
        meaning="Longest a whole call may take, however it drips.",
    )
    llm_max_response_bytes: int = _knob(
        "LLM_MAX_RESPONSE_BYTES",
        forms.whole(1024, 64 * 1024 * 1024),
        default=1024 * 1024,
        example="1048576",
        meaning="Reply text beyond this is cut off and the job marked `truncated`.",
    )

    worker_slots: int = _knob(
        "WORKER_SLOTS",
        forms.whole(1, 2000),
        default=200,
        example="500",
        meaning="Model calls one worker process makes at once.",
    )
    stop_grace_seconds: float = _knob(
        "STOP_GRACE_SECONDS",
        forms.seconds(0, 3600),
        default=30.0,
        example="30",
        meaning="How long a stopping worker lets running calls finish before it gives them back (`make run`: 3).",
    )
    lease_seconds: float = _knob(
        "LEASE_SECONDS",
        forms.seconds(2, 600),
        default=15.0,
        example="15",
        meaning="A worker unheard of for this long has lost its jobs.",
    )
    announce_seconds: float = _knob(
        "ANNOUNCE_SECONDS",
        forms.seconds(0.5, 600),
        default=5.0,
        example="5",
        meaning="An announced job nobody claimed for this long is announced again.",
    )

    max_attempts: int = _knob(
        "MAX_ATTEMPTS", forms.whole(1, 100), default=5, example="5", meaning="Failures after which a job is dead."
    )
    retry_base_seconds: float = _knob(
        "RETRY_BASE_SECONDS",
        forms.seconds(0.01, 60),
        default=2.0,
        example="2",
        meaning="Ceiling of the first back-off; doubles with each failure.",
    )
    retry_max_seconds: float = _knob(
        "RETRY_MAX_SECONDS",
        forms.seconds(0.01, 3600),
        default=300.0,
        example="300",
        meaning="Ceiling of every back-off.",
    )
    chat_deadline_seconds: float = _knob(
        "CHAT_DEADLINE_SECONDS",
        forms.seconds(1, 86400),
        default=600.0,
        example="600",
        meaning="A `chat` job unfinished after this long has failed.",
    )
    summarize_deadline_seconds: float = _knob(
        "SUMMARIZE_DEADLINE_SECONDS",
        forms.seconds(1, 86400),
        default=1800.0,
        example="1800",
        meaning="A `summarize` job unfinished after this long has failed.",
    )

    chat_ttl_seconds: float = _knob(
        "CHAT_TTL_SECONDS",
        forms.seconds(0, 86400),
        default=0.0,
        example="60",
        meaning="A `chat` job no worker has begun after this long has failed; 0: only its deadline counts.",
    )
    summarize_ttl_seconds: float = _knob(
        "SUMMARIZE_TTL_SECONDS",
        forms.seconds(0, 86400),
        default=0.0,
        example="60",
        meaning="A `summarize` job no worker has begun after this long has failed; 0: only its deadline counts.",
    )
    job_retention_days: float = _knob(
        "JOB_RETENTION_DAYS",
        forms.seconds(0.01, 3650, unit="days"),
        default=30.0,
        example="30",
        meaning="Finished jobs are removed after so many days.",
    )
    most_waiting: int = _knob(
        "MOST_WAITING",
        forms.whole(1, 10_000_000),
        default=200_000,
        example="200000",
        meaning="With so many jobs waiting no more are accepted (503).",
    )
    most_waiting_per_owner: int = _knob(
        "MOST_WAITING_PER_OWNER",
        forms.whole(1, 10_000_000),
        default=20_000,
        example="20000",
        meaning="With so many of one caller's jobs waiting no more of it are accepted (429).",
    )

    @property
    def data_folder(self) -> pathlib.Path:
        """The folder of ``PARLEY_DATA``, whole."""
        return pathlib.Path(self.data).resolve()

    @property
    def libpq_url(self) -> str:
        """``DATABASE_URL`` without SQLAlchemy's name of the driver, for psycopg2 itself."""
        return self.database_url.replace("+psycopg2", "", 1)

    @property
    def llm_configured(self) -> bool:
        """Whether a model is to be asked; otherwise the offline provider answers."""
        return bool(self.llm_base_url or self.llm_api_key)


def from_environment(environ: Mapping[str, str]) -> Settings:
    """Settings out of ``environ``; a name that is absent or empty keeps its default.

    Raises:
        SettingRefused: a value, or a combination, cannot be right.
    """
    values: dict[str, object] = {}
    for knob in dataclasses.fields(Settings):
        raw = environ.get(knob.metadata["env"], "").strip()
        if raw:
            values[knob.name] = _parsed(knob, raw)
    settings = Settings(**values)  # type: ignore[arg-type]
    _check_combinations(settings)
    return settings


def _parsed(knob: dataclasses.Field[Any], raw: str) -> object:
    try:
        return knob.metadata["parse"](raw)
    except ValueError as why:
        shown = "its value" if knob.metadata["secret"] else repr(raw)
        raise SettingRefused(
            f"{knob.metadata['env']}: {shown} {why}; for example {knob.metadata['env']}={knob.metadata['example']}"
        ) from None


def _check_combinations(settings: Settings) -> None:
    if settings.llm_configured and not settings.llm_model:
        raise SettingRefused(
            "LLM_MODEL: is empty although LLM_BASE_URL or LLM_API_KEY is set; for example LLM_MODEL=llama3.2"
        )
    if settings.llm_model and not settings.llm_configured:
        raise SettingRefused(
            "LLM_MODEL: is set, but no server to ask is; for example LLM_BASE_URL=http://127.0.0.1:11434/v1"
        )
    if settings.retry_base_seconds > settings.retry_max_seconds:
        raise SettingRefused("RETRY_BASE_SECONDS: is above RETRY_MAX_SECONDS; for example RETRY_BASE_SECONDS=2")
    if settings.environment == "production":
        _check_servers(settings)


def _check_servers(settings: Settings) -> None:
    for name in ("database_url", "redis_url"):
        if not getattr(settings, name):
            knob = Settings.__dataclass_fields__[name].metadata
            raise SettingRefused(
                f"{knob['env']}: is empty (only `make run` starts servers of its own); "
                f"for example {knob['env']}={knob['example']}"
            )


@cache
def current() -> Settings:
    """The settings of this process, read at the first call; it must know its servers.

    Raises:
        SettingRefused: see `from_environment`; or a server is not named.
    """
    settings = from_environment(os.environ)
    _check_servers(settings)
    return settings


def current_or_exit() -> Settings:
    """`current`, for the door of a process: a refused setting ends it with the sentence and no trace."""
    try:
        return current()
    except SettingRefused as refused:
        sys.exit(str(refused))
