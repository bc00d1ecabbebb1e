"""Silences: what a running job says of itself while its model says nothing.

A model may keep silent for long and still be at work. Whoever waits is told so, by the worker that watches the call.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.states import JobStatus, note_change

STILL_WORKING = "still_working"
_NOTE = text("""
    WITH given AS (
        SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:attempts AS int[]), CAST(:notes AS text[]))
            AS given(id, attempt, note)
    ), held AS MATERIALIZED (
        SELECT given.id, given.note FROM jobs JOIN given USING (id)
        WHERE jobs.attempt = given.attempt AND jobs.leased_by = :worker AND jobs.status = 'analyzing'
        AND jobs.note IS DISTINCT FROM given.note
        ORDER BY jobs.id FOR UPDATE OF jobs
    )
    UPDATE jobs SET note = held.note, updated_at = clock_timestamp() FROM held WHERE jobs.id = held.id
    RETURNING jobs.id
""")


def note(session: Session, notes: Mapping[tuple[str, int], str | None], *, worker: str) -> None:
    """Say of these attempts, by job id and attempt, that the model keeps silent, or that it no longer does."""
    parameters = {
        "ids": [job_id for job_id, _ in notes],
        "attempts": [attempt for _, attempt in notes],
        "notes": list(notes.values()),
        "worker": worker,
    }
    noted = session.execute(_NOTE, parameters).scalars()
    note_change(session, noted, status=JobStatus.ANALYZING)
