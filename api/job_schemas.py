"""Schemas of jobs: the form of what comes in and goes out."""

from __future__ import annotations

import datetime as dt

import marshmallow as ma
from marshmallow import fields, validate

from api.schemas import (
    ALWAYS,
    MOMENT,
    SAYS_SOMETHING,
    ErrorSchema,
    Moment,
    Number,
    Schema,
    UsageSchema,
    Whole,
    moment,
    not_blank,
    plain_text,
)
from models.attempts import Outcome
from models.jobs import DEFAULT_PRIORITY, MESSAGE_CHARACTERS, JobType, Purpose
from models.states import JobStatus

SCHEDULED_DAYS = 30
DAY_SECONDS = 86_400


def _soon(moment: dt.datetime) -> None:
    if moment > dt.datetime.now(dt.UTC) + dt.timedelta(days=SCHEDULED_DAYS):
        raise ma.ValidationError(f"too_far_ahead: At most {SCHEDULED_DAYS} days ahead.")


def _seconds(description: str) -> Number:
    return Number(
        validate=validate.Range(1, DAY_SECONDS, error="out_of_range: Use {min} to {max} seconds."),
        error_messages={
            **ALWAYS,
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
            not_blank,
        ],
        error_messages={**ALWAYS, "invalid": "wrong_type: Send a string."},
        metadata={"minLength": 1, "pattern": SAYS_SOMETHING, "examples": ["How does your system handle scalability?"]},
    )
    type = fields.Enum(
        JobType,
        by_value=True,
        load_default=JobType.CHAT,
        error_messages={**ALWAYS, "unknown": "unknown_job_type: Use one of {choices}."},
        metadata={"default": "chat", "description": "`chat` answers the message; `summarize` shortens it."},
    )
    priority = Whole(
        validate=validate.Range(0, 9, error="out_of_range: Use {min} to {max}."),
        error_messages={**ALWAYS, "invalid": "wrong_type: Send a whole number."},
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
        error_messages=MOMENT,
        metadata={
            "description": f"Not to be begun before; at most {SCHEDULED_DAYS} days ahead. A time gone by is now."
        },
    )


class NewJobOrCallSchema(NewJobSchema):
    """A message for the model; or for a chat, in which the AI then answers it."""

    chat_id = fields.String(
        error_messages={**ALWAYS, "invalid": "wrong_type: Send a string."},
        metadata={
            "description": "Say it in this chat, as yourself, and have the AI answer there. The id or the room hash; "
            "not together with `runAt` or the type `summarize`."
        },
    )

    reuse = fields.Boolean(
        truthy={True},
        falsy={False},
        error_messages={**ALWAYS, "invalid": "wrong_type: Send true or false."},
        metadata={
            "default": False,
            "description": "What you were answered to the same message before will do, for as long as it is kept; "
            "not together with `chatId`.",
        },
    )

    @ma.validates_schema
    def _fits_a_chat(self, said: dict[str, object], **_: object) -> None:
        """An answer that came tomorrow would hold up all that is asked until then."""
        if "chat_id" in said:
            wrong = {name for name, field in (("runAt", "run_at"), ("reuse", "reuse")) if field in said}
            wrong |= {"type"} if said.get("type") is JobType.SUMMARIZE else set()
            if wrong:
                raise ma.ValidationError({name: ["not_in_a_chat: Not together with chatId."] for name in wrong})


class JobCreatedSchema(Schema):
    """The first answer; a replay repeats it word for word."""

    job_id = fields.UUID(required=True)
    status = fields.String(required=True, validate=validate.Equal("created"))
    message = fields.String(required=True)


class AttemptSchema(Schema):
    """One claim by one worker. Times not reached yet are null."""

    attempt = fields.Integer(required=True)
    started_at = moment(required=True)
    asked_at = moment(required=True, allow_none=True, metadata={"description": "When the model had the prompt."})
    finished_at = moment(required=True, allow_none=True)
    outcome = fields.Enum(Outcome, by_value=True, required=True, allow_none=True)
    error_code = fields.String(required=True, allow_none=True)
    cost = fields.String(required=True, allow_none=True, metadata={"description": "Null: not known."})


class JobSchema(Schema):
    """A job. Reading it never consumes its result."""

    job_id = fields.UUID(required=True)
    status = fields.Enum(JobStatus, by_value=True, required=True)
    type = fields.Enum(JobType, by_value=True, required=True)
    created_at = moment(required=True)
    updated_at = moment(required=True)
    result = fields.String(required=True, allow_none=True)
    truncated = fields.Boolean(required=True, allow_none=True, metadata={"description": "The reply was cut off."})
    error = fields.Nested(ErrorSchema, required=True, allow_none=True)
    attempt = fields.Integer(required=True, metadata={"description": "Claims so far. Only ever grows."})
    failures = fields.Integer(required=True, metadata={"description": "Attempts that failed by the model's fault."})
    max_attempts = fields.Integer(required=True, metadata={"description": "Failures after which the job is dead."})
    next_attempt_at = moment(
        required=True, allow_none=True, metadata={"description": "While it waits: not before this."}
    )
    deadline_at = moment(required=True, metadata={"description": "Unfinished by then, it has failed."})
    run_at = moment(required=True, allow_none=True)
    discarded_at = moment(
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
        validate=validate.OneOf(["behind", "backoff", "breaker_open", "budget", "owner_limit", "scheduled"]),
    )
    note = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "`still_working`: the model has had the prompt for 5 s and has said nothing yet."},
    )
    batch_id = fields.UUID(required=True, allow_none=True)
    custom_id = fields.String(required=True, allow_none=True)
    chat_id = fields.UUID(
        required=True, allow_none=True, metadata={"description": "In which the answer is said, or which it is about."}
    )
    purpose = fields.Enum(Purpose, by_value=True, required=True)
    model = fields.String(required=True, allow_none=True)
    degraded = fields.Boolean(
        required=True, allow_none=True, metadata={"description": "Another model than the first choice answered."}
    )
    cached = fields.Boolean(
        required=True,
        allow_none=True,
        metadata={"description": "Its owner had got this answer to the same prompt before; no model was asked."},
    )
    cost = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Of all attempts, as far as it is known; null: it is not known of any."},
    )
    usage = fields.Nested(UsageSchema, required=True, allow_none=True)
    attempts = fields.List(fields.Nested(AttemptSchema), required=True, metadata={"description": "The newest 50."})
