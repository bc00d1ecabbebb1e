"""Schemas of the audit log: the form of what comes in and goes out."""

from __future__ import annotations

from typing import Any

from marshmallow import fields, validate

from api.schemas import Moment, PageSchema, Schema, plain_text

LONGEST_WORD = 200
_NOT_NULL = {"null": "wrong_type: This field may not be null."}


def _word(description: str) -> fields.String:
    return fields.String(
        validate=[
            validate.Length(1, LONGEST_WORD, error="wrong_length: Use {min} to {max} characters."),
            plain_text,
        ],
        error_messages={**_NOT_NULL, "invalid": "wrong_type: Send a string."},
        metadata={"pattern": r"^[^\u0000]*$", "description": description},
    )


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


class AuditQuerySchema(PageSchema):
    """Which page of which notes; what is left out does not matter."""

    actor = _word("Whoever did it: `user:<id>`, `guest:<digest>`, `address:<network>` or `operator`.")
    action = _word("What was done.")
    subject = _word("What it was done to: as `actor`, or `job:<id>`.")
    after = _moment("Done at that time or later.")
    before = _moment("Done before that time.")
    cursor = fields.String(
        load_default=None,
        validate=validate.Regexp(r"\A[1-9][0-9]{0,17}\Z", error="invalid_cursor: Send nextCursor of the page before."),
        metadata={"pattern": "^[1-9][0-9]{0,17}$", "description": "`nextCursor` of the page before."},
    )


class AuditEntrySchema(Schema):
    """Something that was done, or refused."""

    at = fields.AwareDateTime(format="iso", required=True)
    actor = fields.String(required=True)
    action = fields.String(required=True)
    subject = fields.String(required=True, allow_none=True)
    request_id = fields.String(required=True)
    facts: Any = fields.Dict(keys=fields.String(), required=True, metadata={"description": "Codes and numbers."})


class AuditPageSchema(Schema):
    """The newest first."""

    items = fields.List(fields.Nested(AuditEntrySchema), required=True)
    next_cursor = fields.String(required=True, allow_none=True, metadata={"description": "Null on the last page."})
