"""Reports: what each process has counted lately, left in a table for the sampler to take.

No process can look into another's memory, and a dispatcher need not even reach the others' ports. So each of them
writes down every few seconds by how much its counters have grown. The sampler takes the reports out of the table in
the transaction that stores the sample: each is counted once, whichever dispatcher samples.

A process that ends takes its last seconds along. What cannot be handed in stays in the next report.
"""

from __future__ import annotations

import datetime as dt
import json
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from prometheus_client.registry import Collector
from sqlalchemy import BigInteger, Identity, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.orm import Session as OrmSession

from models import clock, heartbeats, logs
from models.base import Base, Session
from models.metrics import REGISTRY
from models.process_figures import ProcessFigures
from models.settings import Settings

MOST_WAITING = 5000
"""Reports that nobody has taken: where no dispatcher lives for hours they must not fill the disk."""
PER_SAMPLE = 3
"""So many in the time of a sample: each sample then has one of every process at least."""
API_ROUTES = ("/api/", "/chat")
"""What is measured as an answer of the API: neither files, nor probes, nor pages."""

DISK = "disk_used"
"""Among the gauges: what part of the disk that PARLEY_DATA lies on, or would, is taken."""

log = logs.logger()

Counts = Mapping[str, float]


class Report(Base):
    """What one process has counted since its report before."""

    __tablename__ = "reports"
    # Taken within seconds, and what a crash of the database costs is a dent in a chart: no write-ahead log.
    __table_args__ = {"prefixes": ["UNLOGGED"]}  # noqa: RUF012

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    kind: Mapped[str] = mapped_column(Text)
    """``api``, ``gateway``, ``dispatcher`` or ``worker``."""
    instance: Mapped[str] = mapped_column(Text)
    reported_at: Mapped[dt.datetime] = mapped_column(server_default=clock.now())
    body: Mapped[dict[str, Any]] = mapped_column(JSONB)
    """``counts``: by how much each has grown. ``gauges``: how things stand."""


_HAND_IN = text(f"""
    INSERT INTO reports (kind, instance, body) SELECT :kind, :instance, CAST(:body AS jsonb)
    WHERE (SELECT count(*) FROM reports) < {MOST_WAITING} RETURNING id
""")  # noqa: S608
_TAKE = text("""
    WITH taken AS (DELETE FROM reports RETURNING *)
    SELECT kind, instance, body FROM taken
    WHERE reported_at > clock_timestamp() - make_interval(secs => :seconds) ORDER BY id
""")


def hand_in(session: OrmSession, *, kind: str, instance: str, counts: Counts, gauges: Counts) -> bool:
    """Leave a report; False if there are too many already."""
    body = json.dumps({"counts": counts, "gauges": gauges})
    given = {"kind": kind, "instance": instance, "body": body}
    return session.execute(_HAND_IN, given).one_or_none() is not None


def take(session: OrmSession, *, seconds: float) -> Sequence[Any]:
    """All reports, the oldest first; those that are older than that are thrown away."""
    return session.execute(_TAKE, {"seconds": seconds}).all()


class Reporter:
    """Hands in what this process counts.

    Args:
        gauges: how things stand in this process, by name.
    """

    def __init__(
        self, settings: Settings, *, kind: str, gauges: Callable[[], Counts] = dict, registry: Collector = REGISTRY
    ) -> None:
        self._folder, self._kind, self._gauges, self._registry = settings.data_folder, kind, gauges, registry
        self._instance = heartbeats.name_of_this_process()
        self._pause = settings.sample_seconds / PER_SAMPLE
        self._reported = counted(registry)

    def start(self) -> None:
        """Hand in from a thread of its own (a greenlet under gunicorn), which ends with the process."""
        threading.Thread(target=self._run, name="reporter", daemon=True).start()

    def report(self) -> None:
        """Hand in one.

        Raises:
            SQLAlchemyError: it could not be; what it would have said is in the next one.
        """
        now = counted(self._registry)
        grown = {name: value - self._reported.get(name, 0) for name, value in now.items()}
        with Session.begin() as session:
            handed_in = hand_in(
                session,
                kind=self._kind,
                instance=self._instance,
                counts={name: more for name, more in grown.items() if more},
                gauges={**self._standing(), **self._gauges()},
            )
        if handed_in:
            self._reported = now

    def _standing(self) -> Counts:
        there = next(each for each in (self._folder, *self._folder.parents) if each.exists())
        disk = shutil.disk_usage(there)
        taken = {_TAKEN[each.name]: each.samples[0].value for each in ProcessFigures().collect() if each.name in _TAKEN}
        return {**taken, DISK: 1 - disk.free / disk.total}

    def _run(self) -> None:
        while True:
            time.sleep(self._pause)
            try:
                self.report()
            except SQLAlchemyError as error:
                log.warning("report_waits", error=type(error).__name__)
            except Exception:
                log.exception("tick_failed", loop="reporter")


_TAKEN = {"process_resident_memory_bytes": "resident", "process_open_fds": "files"}


def counted(registry: Collector = REGISTRY) -> dict[str, float]:
    """What this process has counted since it began, as far as a dashboard shows it, folded to few numbers."""
    totals: Counter[str] = Counter()
    for family in registry.collect():
        if (name := _NAMES.get(family.name)) is not None:
            for sample in family.samples:
                if (key := name(sample.name, sample.labels)) is not None:
                    totals[key] += sample.value  # type: ignore[assignment]
    for family in ProcessFigures().collect():
        if family.name == "process_cpu_seconds":
            totals["cpu"] += family.samples[0].value  # type: ignore[assignment]
    return dict(totals)


Labels = Mapping[str, str]


def _requests(_: str, labels: Labels) -> str | None:
    return f"requests.{labels['status'][0]}xx" if labels["route"].startswith(API_ROUTES) else None


def _answers(sample: str, labels: Labels) -> str | None:
    return _buckets("answers")(sample, labels) if labels["route"].startswith(API_ROUTES) else None


def _buckets(name: str) -> Callable[[str, Labels], str | None]:
    """As Prometheus has them: each bucket holds the smaller ones, too."""
    return lambda sample, labels: f"{name}.{labels['le']}" if sample.endswith("_bucket") else None


def _calls(_: str, labels: Labels) -> str:
    return f"{'calls_answered' if labels['code'] == 'none' else 'calls_failed'}.{labels['model']}"


_NAMES: Mapping[str, Callable[[str, Labels], str | None]] = {
    "parley_http_requests": _requests,
    "parley_http_request_duration_seconds": _answers,
    "parley_gateway_delivery_duration_seconds": _buckets("deliveries"),
    "parley_gateway_resyncs": lambda *_: "resyncs",
    "parley_gateway_events_dropped": lambda *_: "dropped",
    "parley_provider_call_duration_seconds": _buckets("call_seconds"),
    "parley_provider_calls": _calls,
    "parley_chat_cache_lookups": lambda _, labels: f"chat_cache.{labels['result']}",
    "parley_reply_cache_lookups": lambda _, labels: f"reply_cache.{labels['result']}",
}
