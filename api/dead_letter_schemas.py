"""Schemas of dead letters: the form of what comes in and goes out."""

from __future__ import annotations

from typing import Any

from marshmallow import fields, validate

from api.job_schemas import AttemptSchema
from api.schemas import ErrorSchema, Moment, Number, PageSchema, Schema, UsageSchema, Whole, plain_text
from models.dead_letters import MOST_AT_ONCE
from models.jobs import JobType

MODEL_CHARACTERS = 200
MOST = 1000
PER_SECOND = 10
_TIME: dict[str, Any] = {"format": "iso", "required": True}
_ALWAYS = {"null": "wrong_type: This field may not be null."}
_STRING: dict[str, Any] = {**_ALWAYS, "invalid": "wrong_type: Send a string."}


class Flag(fields.Boolean):
    """A JSON boolean; marshmallow alone would also take ``1`` and ``"yes"``."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid")
        return bool(super()._deserialize(value, attr, data, **kwargs))


def _moment(description: str) -> Moment:
    return Moment(
        format="iso",
        error_messages={
            **_ALWAYS,
            "invalid": "invalid_time: Send an ISO 8601 time.",
            "invalid_awareness": "time_zone_missing: Say which time zone, as in 2030-01-31T08:00:00Z.",
        },
        metadata={"description": description},
    )


_DISCARDED: dict[str, Any] = {
    "error_messages": {**_ALWAYS, "invalid": "wrong_type: Send true or false."},
    "metadata": {"default": False, "description": "True: only the discarded ones. False: only the others."},
}


class FilterSchema(Schema):
    """Which dead letters; what is left out does not matter."""

    error_code = fields.String(
        validate=validate.Regexp(
            r"\A[a-z][a-z0-9_]{0,63}\Z", error="invalid_code: Use small letters, digits and underscores."
        ),
        error_messages=_STRING,
        metadata={"pattern": "^[a-z][a-z0-9_]{0,63}$", "examples": ["provider_unavailable"]},
    )
    model = fields.String(
        validate=[
            validate.Length(1, MODEL_CHARACTERS, error="wrong_length: Use {min} to {max} characters."),
            plain_text,
        ],
        error_messages=_STRING,
        metadata={"pattern": r"^[^\u0000]*$", "description": "The model that was asked last."},
    )
    finished_after = _moment("Given up at that time or later.")
    finished_before = _moment("Given up before that time.")


class DeadLetterQuerySchema(FilterSchema, PageSchema):
    """Which page of which dead letters."""

    discarded = fields.Boolean(truthy={"true"}, falsy={"false"}, **_DISCARDED)


class DiscardSchema(FilterSchema):
    """Which dead letters, and how many of them, the oldest first."""

    most = Whole(
        load_default=MOST,
        validate=validate.Range(1, MOST_AT_ONCE, error="out_of_range: Use {min} to {max}."),
        error_messages={**_ALWAYS, "invalid": "wrong_type: Send a whole number."},
        metadata={"default": MOST},
    )


class RedriveSchema(DiscardSchema):
    """And how fast they may come due."""

    discarded = Flag(**_DISCARDED)
    per_second = Number(
        load_default=PER_SECOND,
        validate=validate.Range(0.1, 1000, error="out_of_range: Use {min} to {max}."),
        error_messages={
            **_ALWAYS,
            "invalid": "wrong_type: Send a number.",
            "special": "wrong_type: Send a number.",
        },
        metadata={"default": PER_SECOND, "description": "How many of them come due in a second."},
    )


class RedrivenSchema(Schema):
    """How many there were."""

    redriven = fields.Integer(required=True)
    spread_seconds = fields.Float(required=True, metadata={"description": "Until the last of them is due."})
    owners_at_limit = fields.Integer(
        required=True,
        metadata={"description": "Owners whose letters were left, because they have as many jobs waiting as they may."},
    )


class DiscardedSchema(Schema):
    """How many there were."""

    discarded = fields.Integer(required=True)


class DeadLetterSchema(Schema):
    """A job that was given up."""

    job_id = fields.UUID(required=True)
    owner = fields.String(
        required=True, metadata={"description": "`user:<id>`, `guest:<digest>`, `address:<network>` or `operator`."}
    )
    type = fields.Enum(JobType, by_value=True, required=True)
    error = fields.Nested(ErrorSchema, required=True)
    attempt = fields.Integer(required=True)
    failures = fields.Integer(required=True)
    max_attempts = fields.Integer(required=True)
    lost_count = fields.Integer(required=True, metadata={"description": "Attempts whose worker vanished."})
    model = fields.String(required=True, allow_none=True, metadata={"description": "The model that was asked last."})
    created_at = fields.AwareDateTime(**_TIME)
    finished_at = fields.AwareDateTime(**_TIME)
    discarded_at = fields.AwareDateTime(allow_none=True, **_TIME)


class LedgerEntrySchema(AttemptSchema):
    """An attempt, as the operator sees it."""

    worker = fields.String(required=True)
    model = fields.String(required=True, allow_none=True)
    usage = fields.Nested(UsageSchema, required=True, allow_none=True)


class DeadLetterDetailSchema(DeadLetterSchema):
    """With the message that could not be answered, and what was tried."""

    message = fields.String(required=True)
    attempts = fields.List(
        fields.Nested(LedgerEntrySchema), required=True, metadata={"description": "The newest 50, in order."}
    )
    usage = fields.Nested(
        UsageSchema, required=True, allow_none=True, metadata={"description": "Of all attempts together."}
    )


class DeadLetterPageSchema(Schema):
    """The latest first."""

    items = fields.List(fields.Nested(DeadLetterSchema), required=True)
    next_cursor = fields.String(required=True, allow_none=True, metadata={"description": "Null on the last page."})
