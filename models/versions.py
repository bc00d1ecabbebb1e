"""Versions: how one tells that a job has changed since one last looked, and how many look at once.

A version is made of what every change writes. It says nothing of what moves by
itself: the place in the queue, and the time left.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import text

from models.base import Bare
from models.owners import readable_job_by

SHOWN_ATTEMPTS = 50
"""A throttled job may be claimed often before its deadline; the newest of its attempts are shown."""
# PostgreSQL's own JSON times drop zeros at the end, so they would not sort as strings. Sessions are in UTC.
_WIRE_TIME = r"""'YYYY-MM-DD"T"HH24\:MI\:SS.US"Z"'"""
SHOW = f"""
    SELECT id::text AS id, status, type, created_at, updated_at, next_attempt_at, result, error_code, error_message,
           attempt, failures, max_attempts, model, truncated, degraded, cached, fallback, note, owner, queue_class,
           due, priority, run_at, deadline_at, discarded_at, batch_id::text AS batch_id, custom_id,
           chat_id::text AS chat_id, purpose,
           CAST(CEIL(EXTRACT(EPOCH FROM next_attempt_at - clock_timestamp())) AS int) AS due_in,
           CASE WHEN attempt > 0 THEN ARRAY(
               SELECT json_build_object(
                   'attempt', attempt, 'startedAt', to_char(started_at, {_WIRE_TIME}),
                   'askedAt', to_char(asked_at, {_WIRE_TIME}), 'finishedAt', to_char(finished_at, {_WIRE_TIME}),
                   'outcome', outcome, 'errorCode', error_code,
                   'cost', trim_scale(cost)::text,
                   'tokens', json_build_array(prompt_tokens, completion_tokens))
               FROM attempts WHERE job_id = jobs.id ORDER BY attempt DESC LIMIT {SHOWN_ATTEMPTS}
           ) END AS newest_attempts,
           CASE WHEN attempt > 0 THEN (SELECT sum(cost) FROM attempts WHERE job_id = jobs.id) END AS cost
    FROM jobs
"""  # noqa: S608

_EPOCH = dt.datetime.fromtimestamp(0, dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)
_VERSIONS = text("SELECT id::text AS id, status, attempt, updated_at FROM jobs WHERE id = ANY(CAST(:ids AS uuid[]))")
# An array of ids and one of readers: jobs are found by their keys, each for whoever wants to see it.
_SHOWN = text(f"""
    SELECT shown.*, reader FROM unnest(CAST(:ids AS uuid[]), CAST(:readers AS text[])) AS wanted(wanted_id, reader),
    LATERAL ({SHOW} WHERE id = wanted_id AND {readable_job_by("wanted.reader")}) AS shown
""")  # noqa: S608


def version_of(job: Mapping[Any, Any]) -> str:
    """A word that is another one after each change of the job's row that its owner can see.

    >>> version_of({"status": "analyzing", "attempt": 2, "updated_at": _EPOCH + 31 * _MICROSECOND})
    'analyzing-2-1f'
    """
    return f"{job['status']}-{job['attempt']}-{(job['updated_at'] - _EPOCH) // _MICROSECOND:x}"


def versions(session: Bare, job_ids: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Status and version of each of these jobs that there is."""
    rows = session.execute(_VERSIONS, {"ids": list(job_ids)}).mappings().all()
    return {job["id"]: (job["status"], version_of(job)) for job in rows}


def shown_at_once(session: Bare, wanted: Collection[tuple[str, str]]) -> dict[tuple[str, str], Mapping[str, Any]]:
    """Those of these jobs that their readers may see, each as `models.jobs.shown` has it; by id and reader."""
    ids, readers = zip(*wanted, strict=True)
    rows = session.execute(_SHOWN, {"ids": list(ids), "readers": list(readers)}).mappings().all()
    return {(job["id"], job["reader"]): job for job in rows}
