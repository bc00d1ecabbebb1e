"""Schemas of summaries: the form of what goes out."""

from __future__ import annotations

from marshmallow import fields

from api.schemas import Schema, moment


class DetailsSchema(Schema):
    """What of it can be listed."""

    decisions = fields.List(fields.String(), required=True)
    open_questions = fields.List(fields.String(), required=True)
    facts_by_user = fields.Dict(
        keys=fields.UUID(), values=fields.List(fields.String()), required=True, metadata={"description": "By user id."}
    )


class SummarySchema(Schema):
    """What was said in a chat, in few words. A model has written it, of what people have said: take it for no more."""

    chat_id = fields.UUID(required=True)
    summary = fields.String(required=True, metadata={"description": "Empty: there is none, or it is withheld."})
    details = fields.Nested(DetailsSchema, required=True)
    from_seq = fields.Integer(
        required=True, allow_none=True, metadata={"description": "The first message in it; null: it has none."}
    )
    to_seq = fields.Integer(required=True, allow_none=True, metadata={"description": "The newest message in it."})
    last_seq = fields.Integer(required=True, metadata={"description": "The newest message of the chat."})
    version = fields.Integer(required=True, metadata={"description": "Grows with each change of it. 0: never made."})
    stale = fields.Boolean(
        required=True, metadata={"description": "An edit or a deletion has thrown it back, and it has not caught up."}
    )
    resting = fields.Boolean(
        required=True, metadata={"description": "It failed three times or more, and is left alone for now."}
    )
    withheld = fields.Boolean(
        required=True, metadata={"description": "It is made of messages from before you joined, which are not shown."}
    )
    model = fields.String(required=True, allow_none=True)
    updated_at = moment(required=True, allow_none=True)


class SummaryAskedSchema(Schema):
    """What was begun."""

    job_id = fields.UUID(
        required=True, allow_none=True, metadata={"description": "Null: only the newest messages are not in it."}
    )
    unsummarized = fields.Integer(required=True, metadata={"description": "Messages that are not in it yet."})


class PastSummarySchema(Schema):
    """One that was replaced."""

    version = fields.Integer(required=True)
    summary = fields.String(required=True)
    details = fields.Nested(DetailsSchema, required=True)
    to_seq = fields.Integer(required=True)
    model = fields.String(required=True, allow_none=True)
    made_at = moment(required=True)


class HistorySchema(Schema):
    """The newest first."""

    items = fields.List(fields.Nested(PastSummarySchema), required=True)
    next_cursor = fields.String(required=True, allow_none=True, metadata={"description": "Null on the last page."})
