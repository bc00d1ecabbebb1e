"""Schemas of batches: the form of what comes in and goes out."""

from __future__ import annotations

from typing import Any

from marshmallow import fields, validate

from api.job_schemas import NewJobSchema
from api.schemas import SAYS_SOMETHING, ErrorSchema, Moment, Schema, UsageSchema, plain_text
from models.batches import CUSTOM_ID_CHARACTERS, MOST_PROMPTS
from models.jobs import MESSAGE_CHARACTERS, JobType
from models.states import FINISHED, JobStatus

_AT: dict[str, Any] = {"format": "iso", "required": True}
LONGEST_WAIT_SECONDS = 60


# Without a default: what a prompt leaves out is the batch's to say.
_TYPE = fields.Enum(
    JobType, by_value=True, error_messages=NewJobSchema().fields["type"].error_messages, metadata={"default": "chat"}
)


class PromptSchema(NewJobSchema):
    """What `POST /api/jobs` takes, and a name of its own."""

    type = _TYPE

    custom_id = fields.String(
        validate=[
            validate.Length(1, CUSTOM_ID_CHARACTERS, error="wrong_length: Use {min} to {max} characters."),
            plain_text,
        ],
        error_messages={"null": "wrong_type: This field may not be null.", "invalid": "wrong_type: Send a string."},
        metadata={"pattern": r"^[^\u0000]*$", "description": "Comes back with the result; unique within the batch."},
    )


_MESSAGE = {"type": "string", "minLength": 1, "maxLength": MESSAGE_CHARACTERS, "pattern": SAYS_SOMETHING}
PROMPT = {"oneOf": [_MESSAGE, PromptSchema]}
"""For the document; `api.uploads` checks."""


class NewBatchSchema(NewJobSchema):
    """Prompts, and what holds for those that do not say otherwise."""

    class Meta(NewJobSchema.Meta):  # noqa: D106
        exclude = ("message",)

    type = _TYPE
    prompts = fields.List(
        fields.Raw(allow_none=True, metadata={"oneOf": [_MESSAGE, {"$ref": "#/components/schemas/Prompt"}]}),
        required=True,
        validate=[
            validate.Length(min=1, error="empty_batch: Send at least one prompt."),
            validate.Length(max=MOST_PROMPTS, error="too_many_prompts: At most {max}."),
        ],
        error_messages={
            "required": "required: This field is required.",
            "null": "wrong_type: This field may not be null.",
            "invalid": "wrong_type: Send an array.",
        },
    )


class BatchCreatedSchema(Schema):
    """The first answer; a replay repeats it word for word."""

    batch_id = fields.UUID(required=True)
    total = fields.Integer(required=True)


CountsSchema = Schema.from_dict({status.value: fields.Integer(required=True) for status in JobStatus}, name="Counts")


class BatchSchema(BatchCreatedSchema):
    """A batch, and how far it is."""

    counts = fields.Nested(CountsSchema, required=True)
    progress = fields.Float(
        required=True,
        validate=validate.Range(0, 1),
        metadata={"description": "The part that is finished, whether well or not; 1 only when all of it is."},
    )
    eta_seconds = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "Until all is finished, at the rate of all batches in the last 30 s."},
    )
    created_at = Moment(**_AT)
    cancelled_at = Moment(**_AT, allow_none=True)


class ResultSchema(Schema):
    """One line: what became of one prompt."""

    position = fields.Integer(required=True, metadata={"description": "From 0, in the order of the prompts."})
    custom_id = fields.String(required=True, allow_none=True)
    job_id = fields.UUID(required=True)
    status = fields.String(required=True, validate=validate.OneOf(sorted(FINISHED)))
    result = fields.String(required=True, allow_none=True)
    truncated = fields.Boolean(required=True, allow_none=True)
    error = fields.Nested(ErrorSchema, required=True, allow_none=True)
    model = fields.String(required=True, allow_none=True)
    degraded = fields.Boolean(required=True, allow_none=True)
    usage = fields.Nested(UsageSchema, required=True, allow_none=True)
    attempt = fields.Integer(required=True)
    finished_at = Moment(**_AT)
    cursor = fields.String(required=True, metadata={"description": "To go on behind this line: `after`."})


class WhichResultsSchema(Schema):
    """Which lines, and for how long."""

    order = fields.String(
        load_default="finished",
        validate=validate.OneOf(["finished", "position"], error="unknown_order: Use one of {choices}."),
        metadata={
            "description": "`finished`: as they come. `position`: as the prompts came, up to the first unfinished."
        },
    )
    after = fields.String(load_default=None, metadata={"description": "`cursor` of the last line you have."})
    wait = fields.Integer(
        load_default=0,
        validate=validate.Range(0, LONGEST_WAIT_SECONDS, error="out_of_range: Use {min} to {max}."),
        error_messages={"invalid": "wrong_type: Send a whole number."},
        metadata={"description": "Seconds for which the answer stays open for lines to come."},
    )
