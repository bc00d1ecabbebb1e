"""Schemas of the list of one's own jobs."""

from __future__ import annotations

from marshmallow import fields

from api.schemas import ErrorSchema, Moment, PageSchema, Schema
from models.jobs import JobType
from models.states import JobStatus

_NOT_NULL = {"null": "wrong_type: This field may not be null."}


def _moment(description: str) -> Moment:
    return Moment(
        format="iso",
        error_messages={
            **_NOT_NULL,
            "invalid": "invalid_time: Send an ISO 8601 time.",
            "invalid_awareness": "time_zone_missing: Say which time zone, as in 2030-01-31T08:00:00Z.",
        },
        metadata={"description": description},
    )


class OwnJobsQuerySchema(PageSchema):
    """Which page of which jobs; what is left out does not matter."""

    status = fields.Enum(
        JobStatus,
        by_value=True,
        error_messages={**_NOT_NULL, "unknown": "unknown_status: Use one of {choices}."},
        metadata={"description": "Only those that have this status now."},
    )
    type = fields.Enum(
        JobType, by_value=True, error_messages={**_NOT_NULL, "unknown": "unknown_job_type: Use one of {choices}."}
    )
    created_after = _moment("Handed in at that time or later.")
    created_before = _moment("Handed in before that time.")


class OwnJobSchema(Schema):
    """A job in brief: neither its message nor its reply."""

    job_id = fields.UUID(required=True)
    status = fields.Enum(JobStatus, by_value=True, required=True)
    type = fields.Enum(JobType, by_value=True, required=True)
    created_at = fields.AwareDateTime(format="iso", required=True)
    updated_at = fields.AwareDateTime(format="iso", required=True)
    finished_at = fields.AwareDateTime(format="iso", required=True, allow_none=True)
    batch_id = fields.UUID(required=True, allow_none=True)
    error = fields.Nested(ErrorSchema, required=True, allow_none=True)
    model = fields.String(required=True, allow_none=True)


class OwnJobsPageSchema(Schema):
    """The latest first."""

    items = fields.List(fields.Nested(OwnJobSchema), required=True)
    next_cursor = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Null on the last page. With `status` or `type` a short page need not be it."},
    )
