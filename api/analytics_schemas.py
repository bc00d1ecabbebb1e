"""Schemas of the numbers about chats."""

from __future__ import annotations

from marshmallow import fields

from api.schemas import Schema, moment
from models.chats import ChatType


class _CountedSchema(Schema):
    """A chat, without anything that is said in it."""

    chat_id = fields.UUID(required=True)
    chat_no = fields.Integer(required=True)
    type = fields.Enum(ChatType, by_value=True, required=True)
    last_message_at = moment(required=True)


class BotDominatedSchema(_CountedSchema):
    """One in which the AI says more than people do."""

    ai_messages = fields.Integer(required=True)
    human_messages = fields.Integer(required=True)


class StaleSummarySchema(_CountedSchema):
    """One whose summary lacks too much."""

    unsummarized = fields.Integer(required=True, metadata={"description": "Messages that no summary has seen."})
    summarized_seq = fields.Integer(required=True)
    last_seq = fields.Integer(required=True)
    version = fields.Integer(required=True)
    stale = fields.Boolean(
        required=True, metadata={"description": "An edit or a deletion has thrown it back, and it has not caught up."}
    )
    failures = fields.Integer(required=True, metadata={"description": "Steps in a row that came to nothing."})
    resting = fields.Boolean(required=True, metadata={"description": "It failed too often, and is left alone for now."})


def _next_cursor() -> fields.String:
    return fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Null on the last page. A short page need not be it."},
    )


class BotDominatedPageSchema(Schema):
    """The newest chat first."""

    items = fields.List(fields.Nested(BotDominatedSchema), required=True)
    next_cursor = _next_cursor()


class StaleSummariesPageSchema(Schema):
    """The newest chat first."""

    items = fields.List(fields.Nested(StaleSummarySchema), required=True)
    next_cursor = _next_cursor()
