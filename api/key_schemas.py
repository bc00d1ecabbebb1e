"""Schemas of API keys: the form of what comes in and goes out."""

from __future__ import annotations

import datetime as dt

import marshmallow as ma
from marshmallow import fields, validate

from api.account_schemas import NAME_FORM, DisplayName
from api.schemas import Moment, Schema
from models.api_keys import Scope

LONGEST_DAYS = 3650


def _to_come(moment: dt.datetime) -> None:
    now = dt.datetime.now(dt.UTC)
    if moment <= now:
        raise ma.ValidationError("in_the_past: Send a time to come.")
    if moment > now + dt.timedelta(days=LONGEST_DAYS):
        raise ma.ValidationError(f"too_far_ahead: At most {LONGEST_DAYS} days ahead.")


class NewKeySchema(Schema):
    """A key to be."""

    name = DisplayName(
        required=True,
        metadata={**NAME_FORM, "description": "What you know it by."},
    )
    scopes = fields.List(
        fields.Enum(
            Scope,
            by_value=True,
            error_messages={
                "unknown": "unknown_scope: Use some of {choices}.",
                "null": "wrong_type: This field may not be null.",
            },
        ),
        required=True,
        validate=validate.Length(1, len(Scope), error="wrong_length: Name {min} to {max} of them."),
        error_messages={
            "required": "required: This field is required.",
            "null": "wrong_type: This field may not be null.",
            "invalid": "wrong_type: Send an array.",
        },
        metadata={"description": "What it is good for, at most. `admin`: what your role allows beyond your own."},
    )
    expires_at = Moment(
        format="iso",
        allow_none=True,
        load_default=None,
        validate=_to_come,
        error_messages={
            "invalid": "invalid_time: Send an ISO 8601 time.",
            "invalid_awareness": "time_zone_missing: Say which time zone, as in 2030-01-31T08:00:00Z.",
        },
        metadata={"description": "Null or left out: until it is revoked."},
    )


class KeySchema(Schema):
    """A key, without what is secret."""

    key_id = fields.UUID(required=True)
    prefix = fields.String(required=True, metadata={"description": "How it begins."})
    name = fields.String(required=True)
    scopes = fields.List(fields.Enum(Scope, by_value=True), required=True)
    created_at = fields.AwareDateTime(format="iso", required=True)
    expires_at = fields.AwareDateTime(format="iso", required=True, allow_none=True)
    last_used_at = fields.AwareDateTime(
        format="iso", required=True, allow_none=True, metadata={"description": "To the minute."}
    )


class CreatedKeySchema(KeySchema):
    """With the key. Nobody can be told it again."""

    key = fields.String(required=True)


class KeysSchema(Schema):
    """All that are not revoked."""

    items = fields.List(fields.Nested(KeySchema), required=True)
