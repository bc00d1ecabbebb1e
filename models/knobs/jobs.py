"""How jobs are worked on, how often they are tried, and how long they are kept."""

from __future__ import annotations

from dataclasses import dataclass

from models import forms
from models.knobs.knob import knob


@dataclass(frozen=True, kw_only=True)
class JobKnobs:
    """The engine."""

    worker_slots: int = knob(
        "WORKER_SLOTS",
        forms.whole(1, 2000),
        default=200,
        example="500",
        meaning="Model calls one worker process makes at once.",
    )
    stop_grace_seconds: float = knob(
        "STOP_GRACE_SECONDS",
        forms.seconds(0, 3600),
        default=30.0,
        example="30",
        meaning="How long a stopping worker lets running calls finish before it gives them back (`make run`: 3).",
    )
    lease_seconds: float = knob(
        "LEASE_SECONDS",
        forms.seconds(2, 600),
        default=15.0,
        example="15",
        meaning="A worker unheard of for this long has lost its jobs.",
    )
    watchdog_seconds: float = knob(
        "WATCHDOG_SECONDS",
        forms.seconds(1, 3600),
        default=60.0,
        example="60",
        meaning="A dispatcher or worker that makes no progress for this long ends itself, to be started anew.",
    )
    announce_seconds: float = knob(
        "ANNOUNCE_SECONDS",
        forms.seconds(0.5, 600),
        default=5.0,
        example="5",
        meaning="An announced job nobody claimed for this long is announced again.",
    )

    max_attempts: int = knob(
        "MAX_ATTEMPTS", forms.whole(1, 100), default=5, example="5", meaning="Failures after which a job is dead."
    )
    retry_base_seconds: float = knob(
        "RETRY_BASE_SECONDS",
        forms.seconds(0.01, 60),
        default=2.0,
        example="2",
        meaning="Ceiling of the first back-off; doubles with each failure.",
    )
    retry_max_seconds: float = knob(
        "RETRY_MAX_SECONDS",
        forms.seconds(0.01, 3600),
        default=300.0,
        example="300",
        meaning="Ceiling of every back-off.",
    )
    chat_deadline_seconds: float = knob(
        "CHAT_DEADLINE_SECONDS",
        forms.seconds(1, 86400),
        default=600.0,
        example="600",
        meaning="A `chat` job unfinished after this long has failed.",
    )
    summarize_deadline_seconds: float = knob(
        "SUMMARIZE_DEADLINE_SECONDS",
        forms.seconds(1, 86400),
        default=1800.0,
        example="1800",
        meaning="A `summarize` job unfinished after this long has failed.",
    )

    batch_deadline_seconds: float = knob(
        "BATCH_DEADLINE_SECONDS",
        forms.seconds(1, 86400),
        default=86400.0,
        example="86400",
        meaning="A job of a batch unfinished after this long has failed; nobody waits for it in particular.",
    )
    chat_ttl_seconds: float = knob(
        "CHAT_TTL_SECONDS",
        forms.seconds(0, 86400),
        default=0.0,
        example="60",
        meaning="A `chat` job no worker has begun after this long has failed; 0: only its deadline counts.",
    )
    summarize_ttl_seconds: float = knob(
        "SUMMARIZE_TTL_SECONDS",
        forms.seconds(0, 86400),
        default=0.0,
        example="60",
        meaning="A `summarize` job no worker has begun after this long has failed; 0: only its deadline counts.",
    )
    job_retention_days: float = knob(
        "JOB_RETENTION_DAYS",
        forms.seconds(0.01, 3650, unit="days"),
        default=30.0,
        example="30",
        meaning="Finished jobs are removed after so many days.",
    )
    most_waiting: int = knob(
        "MOST_WAITING",
        forms.whole(1, 10_000_000),
        default=200_000,
        example="200000",
        meaning="With so many jobs waiting no more are accepted (503).",
    )
    most_waiting_per_owner: int = knob(
        "MOST_WAITING_PER_OWNER",
        forms.whole(1, 10_000_000),
        default=20_000,
        example="20000",
        meaning="With so many of one caller's jobs waiting no more of it are accepted (429).",
    )
