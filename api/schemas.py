"""Schemas: the form of what comes in and goes out. camelCase outside, snake_case inside.

A message is written ``code: sentence``; `api.errors.flattened` takes them apart.
Schemas check form; whether something may be done is for `models` to say.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

MAX_PAGE = 100


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


ALWAYS = {"required": "required: This field is required.", "null": "wrong_type: This field may not be null."}
TEXT: dict[str, Any] = {**ALWAYS, "invalid": "wrong_type: Send a string."}
MOMENT: dict[str, Any] = {
    **ALWAYS,
    "invalid": "invalid_time: Send an ISO 8601 time.",
    "invalid_awareness": "time_zone_missing: Say which time zone, as in 2030-01-31T08:00:00Z.",
}
"""What is wrong with a `Moment`."""

SAYS_SOMETHING = r"^[^\u0000]*[^\s\u0000][^\u0000]*$"
"""For readers of the document: what `plain_text` and `not_blank` accept."""


def plain_text(value: str) -> None:
    """What PostgreSQL's text and UTF-8 cannot hold is refused, not repaired."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise ma.ValidationError("invalid_characters: It holds half a surrogate pair.") from None
    if "\x00" in value:
        raise ma.ValidationError("invalid_characters: It holds a NUL character.")


def not_blank(value: str) -> None:
    """White space alone says nothing."""
    if not value.strip():
        raise ma.ValidationError("blank: Say something.")


class ErrorSchema(Schema):
    """Why a job, or its last attempt, failed."""

    code = fields.String(required=True)
    message = fields.String(required=True)


class UsageSchema(Schema):
    """Tokens, as the provider counted them."""

    prompt_tokens = fields.Integer(required=True)
    completion_tokens = fields.Integer(required=True)
    total_tokens = fields.Integer(required=True)


def moment(**options: object) -> fields.DateTime:
    """A time in an answer."""
    return fields.AwareDateTime(format="iso", default_timezone=dt.UTC, **options)  # type: ignore[arg-type]


class PageSchema(Schema):
    """Which page of a list."""

    limit = fields.Integer(
        load_default=50,
        validate=validate.Range(1, MAX_PAGE, error="out_of_range: Use {min} to {max}."),
        error_messages={**ALWAYS, "invalid": "wrong_type: Send a whole number."},
    )
    cursor = fields.String(load_default=None, metadata={"description": "`nextCursor` of the page before."})


class NumberedPageSchema(PageSchema):
    """Which page of a list whose cursor is a number."""

    cursor = fields.String(
        load_default=None,
        validate=validate.Regexp(r"\A[1-9][0-9]{0,17}\Z", error="invalid_cursor: Send nextCursor of the page before."),
        metadata={"pattern": "^[1-9][0-9]{0,17}$", "description": "`nextCursor` of the page before."},
    )


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
    timestamp = moment(required=True)
    uptime = fields.Integer(required=True, metadata={"description": "Seconds since this process started."})
    environment = fields.String(required=True)


class LiveSchema(Schema):
    """This process answers."""

    status = fields.String(required=True, validate=validate.Equal("alive"))


class ReadySchema(Schema):
    """`ready`, `degraded` (works, but something is missing), or `unready`."""

    status = fields.String(required=True, validate=validate.OneOf(["ready", "degraded", "unready"]))
    components = fields.Dict(keys=fields.String(), values=fields.Dict(), required=True)
