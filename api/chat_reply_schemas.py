"""Schemas of chat replies: the form of what goes out."""

from __future__ import annotations

from marshmallow import fields

from api.schemas import Schema


class StoppedSchema(Schema):
    """What was stopped."""

    job_id = fields.UUID(required=True, allow_none=True, metadata={"description": "Null: the AI had nothing to say."})
