"""Schemas of an operator's lists of everybody's jobs and batches, and of processes."""

from __future__ import annotations

from typing import Any

from marshmallow import fields, validate

from api.batch_schemas import CountsSchema
from api.dead_letter_schemas import LedgerEntrySchema
from api.schemas import ErrorSchema, PageSchema, Schema, plain_text
from models.everybodys import BATCHES_AT_ONCE, Ended
from models.jobs import JobType, QueueClass
from models.states import JobStatus

LONGEST_OWNER = 200
_NOT_NULL = {"null": "wrong_type: This field may not be null."}
_AT: dict[str, Any] = {"format": "iso", "required": True}
STATUSES = [*(each.value for each in Ended), *(each.value for each in JobStatus)]


class EverybodysJobsQuerySchema(PageSchema):
    """Which page of which jobs."""

    status = fields.String(
        load_default=Ended.NO.value,
        validate=validate.OneOf(STATUSES, error="unknown_status: Use one of {choices}."),
        error_messages={**_NOT_NULL},
        metadata={"default": Ended.NO.value},
    )
    type = fields.Enum(
        JobType, by_value=True, error_messages={**_NOT_NULL, "unknown": "unknown_job_type: Use one of {choices}."}
    )
    owner = fields.String(
        validate=[validate.Length(1, LONGEST_OWNER, error="wrong_length: Use {min} to {max} characters."), plain_text],
        error_messages={**_NOT_NULL},
        metadata={"pattern": r"^[^\u0000]*$", "description": "As `user:<id>`, to the letter."},
    )


class EverybodysJobSchema(Schema):
    """A job in brief: neither its message nor its reply."""

    job_id = fields.UUID(required=True)
    owner = fields.String(required=True)
    status = fields.Enum(JobStatus, by_value=True, required=True)
    type = fields.Enum(JobType, by_value=True, required=True)
    queue_class = fields.Enum(QueueClass, by_value=True, required=True)
    priority = fields.Integer(required=True)
    created_at = fields.AwareDateTime(**_AT)
    updated_at = fields.AwareDateTime(**_AT)
    finished_at = fields.AwareDateTime(allow_none=True, **_AT)
    attempt = fields.Integer(required=True)
    failures = fields.Integer(required=True)
    max_attempts = fields.Integer(required=True)
    lost_count = fields.Integer(required=True)
    error = fields.Nested(ErrorSchema, required=True, allow_none=True)
    model = fields.String(required=True, allow_none=True)
    batch_id = fields.UUID(required=True, allow_none=True)
    worker = fields.String(required=True, allow_none=True, metadata={"description": "That has it now."})


class EverybodysJobDetailSchema(EverybodysJobSchema):
    """With what was tried."""

    attempts = fields.List(
        fields.Nested(LedgerEntrySchema), required=True, metadata={"description": "The newest 50, in order."}
    )


class EverybodysJobsSchema(Schema):
    """The last to end first, or the last to be made."""

    items = fields.List(fields.Nested(EverybodysJobSchema), required=True)
    next_cursor = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Null on the last page. Of jobs that have ended a short page need not be it."},
    )


class EverybodysBatchesQuerySchema(PageSchema):
    """Which page of the batches."""

    limit = fields.Integer(
        load_default=10,
        validate=validate.Range(1, BATCHES_AT_ONCE, error="out_of_range: Use {min} to {max}."),
        error_messages={**_NOT_NULL, "invalid": "wrong_type: Send a whole number."},
    )


class EverybodysBatchSchema(Schema):
    """A batch, and how far it is."""

    batch_id = fields.UUID(required=True)
    owner = fields.String(required=True)
    total = fields.Integer(required=True)
    counts = fields.Nested(CountsSchema, required=True)
    created_at = fields.AwareDateTime(**_AT)
    cancelled_at = fields.AwareDateTime(allow_none=True, **_AT)


class EverybodysBatchesSchema(Schema):
    """The latest first."""

    items = fields.List(fields.Nested(EverybodysBatchSchema), required=True)
    next_cursor = fields.String(required=True, allow_none=True, metadata={"description": "Null on the last page."})


class ProcessSchema(Schema):
    """A dispatcher or a worker."""

    kind = fields.String(required=True)
    instance = fields.String(
        required=True, metadata={"description": "Host, process number, and what tells twins apart."}
    )
    queue_class = fields.Enum(QueueClass, by_value=True, required=True, allow_none=True)
    slots = fields.Integer(required=True, metadata={"description": "Calls it makes at once; 0 while it stops."})
    running = fields.Integer(required=True, metadata={"description": "Jobs that it holds."})
    seen_seconds = fields.Float(required=True, metadata={"description": "Since its last sign of life."})
    live = fields.Boolean(required=True)


class ProcessesSchema(Schema):
    """The 100 that gave a sign of life last, of the last day."""

    items = fields.List(fields.Nested(ProcessSchema), required=True)
