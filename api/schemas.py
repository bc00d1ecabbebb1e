"""Schemas: the form of what comes in and goes out. camelCase outside, snake_case inside.

A message is written ``code: sentence``; `api.errors.flattened` takes them apart.
Schemas check form; whether something may be done is for `models` to say.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from models.attempts import Outcome
from models.jobs import DEFAULT_PRIORITY, MESSAGE_CHARACTERS, JobType
from models.states import JobStatus

MAX_PAGE = 100
SCHEDULED_DAYS = 30
DAY_SECONDS = 86_400


def camel(name: str) -> str:
    """
    >>> camel("next_attempt_at")
    'nextAttemptAt'
    """
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)


class Schema(ma.Schema):
    """Refuses fields it does not know."""

    class Meta:  # noqa: D106
        unknown = ma.RAISE

    error_messages = {"unknown": "unknown_field: There is no such field.", "type": "wrong_type: Send a JSON object."}  # noqa: RUF012

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:  # noqa: D102
        field_obj.data_key = camel(field_obj.data_key or field_name)


class Number(fields.Float):
    """A JSON number; marshmallow alone would also take ``"5"`` and ``true``."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.make_error("invalid")
        return super()._deserialize(value, attr, data, **kwargs)


class Whole(fields.Integer):
    """A whole JSON number, ``5.0`` included."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
            raise self.make_error("invalid")
        return super()._deserialize(value, attr, data, **kwargs)


class Moment(fields.AwareDateTime):
    """A time with its zone, in UTC from here on: PostgreSQL does not know every offset that Python does."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> dt.datetime:
        try:
            return super()._deserialize(value, attr, data, **kwargs).astimezone(dt.UTC)
        except OverflowError:
            raise self.make_error("invalid", input=value, obj_type="datetime") from None


_ALWAYS = {"required": "required: This field is required.", "null": "wrong_type: This field may not be null."}


SAYS_SOMETHING = r"^[^\u0000]*[^\s\u0000][^\u0000]*$"
"""For readers of the document: what `plain_text` and `_not_blank` accept."""


def plain_text(value: str) -> None:
    """What PostgreSQL's text and UTF-8 cannot hold is refused, not repaired."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise ma.ValidationError("invalid_characters: It holds half a surrogate pair.") from None
    if "\x00" in value:
        raise ma.ValidationError("invalid_characters: It holds a NUL character.")


def _not_blank(value: str) -> None:
    if not value.strip():
        raise ma.ValidationError("blank: Say something.")


def _soon(moment: dt.datetime) -> None:
    if moment > dt.datetime.now(dt.UTC) + dt.timedelta(days=SCHEDULED_DAYS):
        raise ma.ValidationError(f"too_far_ahead: At most {SCHEDULED_DAYS} days ahead.")


def _seconds(description: str) -> Number:
    return Number(
        validate=validate.Range(1, DAY_SECONDS, error="out_of_range: Use {min} to {max} seconds."),
        error_messages={
            **_ALWAYS,
            "invalid": "wrong_type: Send a number of seconds.",
            "special": "wrong_type: Send a number of seconds.",
        },
        metadata={"description": description},
    )


class NewJobSchema(Schema):
    """A message for the model."""

    message = fields.String(
        required=True,
        validate=[
            validate.Length(max=MESSAGE_CHARACTERS, error="too_long: At most {max} characters."),
            plain_text,
            _not_blank,
        ],
        error_messages={**_ALWAYS, "invalid": "wrong_type: Send a string."},
        metadata={"minLength": 1, "pattern": SAYS_SOMETHING, "examples": ["How does your system handle scalability?"]},
    )
    type = fields.Enum(
        JobType,
        by_value=True,
        load_default=JobType.CHAT,
        error_messages={**_ALWAYS, "unknown": "unknown_job_type: Use one of {choices}."},
        metadata={"default": "chat", "description": "`chat` answers the message; `summarize` shortens it."},
    )
    priority = Whole(
        validate=validate.Range(0, 9, error="out_of_range: Use {min} to {max}."),
        error_messages={**_ALWAYS, "invalid": "wrong_type: Send a whole number."},
        metadata={
            "default": DEFAULT_PRIORITY,
            "description": "9 is most urgent; each step is worth a minute of waiting.",
        },
    )
    deadline_seconds = _seconds("It fails if it has not finished so long after `runAt`, or after now.")
    ttl_seconds = _seconds("It fails if no worker has begun it so long after `runAt`, or after now.")
    run_at = Moment(
        format="iso",
        validate=_soon,
        error_messages={
            **_ALWAYS,
            "invalid": "invalid_time: Send an ISO 8601 time.",
            "invalid_awareness": "time_zone_missing: Say which time zone, as in 2030-01-31T08:00:00Z.",
        },
        metadata={
            "description": f"Not to be begun before; at most {SCHEDULED_DAYS} days ahead. A time gone by is now."
        },
    )


class JobCreatedSchema(Schema):
    """The first answer; a replay repeats it word for word."""

    job_id = fields.UUID(required=True)
    status = fields.String(required=True, validate=validate.Equal("created"))
    message = fields.String(required=True)


class ErrorSchema(Schema):
    """Why a job, or its last attempt, failed."""

    code = fields.String(required=True)
    message = fields.String(required=True)


class UsageSchema(Schema):
    """Tokens, as the provider counted them."""

    prompt_tokens = fields.Integer(required=True)
    completion_tokens = fields.Integer(required=True)
    total_tokens = fields.Integer(required=True)


def _time(**options: object) -> fields.DateTime:
    return fields.AwareDateTime(format="iso", default_timezone=dt.UTC, **options)  # type: ignore[arg-type]


class AttemptSchema(Schema):
    """One claim by one worker. Times not reached yet are null."""

    attempt = fields.Integer(required=True)
    started_at = _time(required=True)
    asked_at = _time(required=True, allow_none=True, metadata={"description": "When the model had the prompt."})
    finished_at = _time(required=True, allow_none=True)
    outcome = fields.Enum(Outcome, by_value=True, required=True, allow_none=True)
    error_code = fields.String(required=True, allow_none=True)


class JobSchema(Schema):
    """A job. Reading it never consumes its result."""

    job_id = fields.UUID(required=True)
    status = fields.Enum(JobStatus, by_value=True, required=True)
    type = fields.Enum(JobType, by_value=True, required=True)
    created_at = _time(required=True)
    updated_at = _time(required=True)
    result = fields.String(required=True, allow_none=True)
    truncated = fields.Boolean(required=True, allow_none=True, metadata={"description": "The reply was cut off."})
    error = fields.Nested(ErrorSchema, required=True, allow_none=True)
    attempt = fields.Integer(required=True, metadata={"description": "Claims so far. Only ever grows."})
    failures = fields.Integer(required=True, metadata={"description": "Attempts that failed by the model's fault."})
    max_attempts = fields.Integer(required=True, metadata={"description": "Failures after which the job is dead."})
    next_attempt_at = _time(
        required=True, allow_none=True, metadata={"description": "While it waits: not before this."}
    )
    deadline_at = _time(required=True, metadata={"description": "Unfinished by then, it has failed."})
    run_at = _time(required=True, allow_none=True)
    discarded_at = _time(
        required=True, allow_none=True, metadata={"description": "When it failed, and an operator put it aside."}
    )
    priority = fields.Integer(required=True)
    queue_position = fields.Integer(
        required=True, allow_none=True, metadata={"description": "As of about a second ago; null beyond 1,000."}
    )
    eta_seconds = fields.Integer(
        required=True, allow_none=True, metadata={"description": "Until its turn, at the rate of the last 30 s."}
    )
    wait_reason = fields.String(
        required=True,
        allow_none=True,
        validate=validate.OneOf(["behind", "backoff", "breaker_open", "owner_limit", "scheduled"]),
    )
    note = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "`still_working`: the model has had the prompt for 5 s and has said nothing yet."},
    )
    batch_id = fields.UUID(required=True, allow_none=True)
    custom_id = fields.String(required=True, allow_none=True)
    model = fields.String(required=True, allow_none=True)
    degraded = fields.Boolean(
        required=True, allow_none=True, metadata={"description": "Another model than the first choice answered."}
    )
    usage = fields.Nested(UsageSchema, required=True, allow_none=True)
    attempts = fields.List(fields.Nested(AttemptSchema), required=True, metadata={"description": "The newest 50."})


class PageSchema(Schema):
    """Which page of a list."""

    limit = fields.Integer(
        load_default=50,
        validate=validate.Range(1, MAX_PAGE, error="out_of_range: Use {min} to {max}."),
        error_messages={**_ALWAYS, "invalid": "wrong_type: Send a whole number."},
    )
    cursor = fields.String(load_default=None, metadata={"description": "`nextCursor` of the page before."})


class ProblemFieldSchema(Schema):
    """One field at fault."""

    line = fields.Integer(metadata={"description": "Of NDJSON, from 1."})
    pointer = fields.String(required=True)
    code = fields.String(required=True)
    message = fields.String(required=True)


class ProblemSchema(Schema):
    """RFC 9457, with a stable `code` for programs."""

    type = fields.String(required=True)
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    detail = fields.String()
    code = fields.String(required=True)
    request_id = fields.String(required=True)
    errors = fields.List(fields.Nested(ProblemFieldSchema))


class InvariantSchema(Schema):
    """One invariant, and the jobs that break it."""

    name = fields.String(required=True)
    count = fields.Integer(
        required=True, allow_none=True, metadata={"description": "Stops at 1,000; null: time ran out before an answer."}
    )
    violations = fields.List(fields.UUID(), required=True, metadata={"description": "The ids of the first 20."})


class InvariantsSchema(Schema):
    """Whether every invariant is known to hold."""

    ok = fields.Boolean(required=True)
    checked = fields.List(fields.Nested(InvariantSchema), required=True)


class HealthSchema(Schema):
    """This process answers."""

    status = fields.String(required=True, validate=validate.Equal("healthy"))
    timestamp = _time(required=True)
    uptime = fields.Integer(required=True, metadata={"description": "Seconds since this process started."})
    environment = fields.String(required=True)


class LiveSchema(Schema):
    """This process answers."""

    status = fields.String(required=True, validate=validate.Equal("alive"))


class ReadySchema(Schema):
    """`ready`, `degraded` (works, but something is missing), or `unready`."""

    status = fields.String(required=True, validate=validate.OneOf(["ready", "degraded", "unready"]))
    components = fields.Dict(keys=fields.String(), values=fields.Dict(), required=True)
