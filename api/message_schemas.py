"""Schemas of messages: the form of what comes in and goes out."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from api.schemas import MOMENT, SAYS_SOMETHING, TEXT, Moment, PageSchema, Schema, Whole, not_blank, plain_text
from models.messages import CLIENT_MSG_ID_CHARACTERS, MESSAGE_CHARACTERS, MessageStatus

MOST_CHANGES = 500
BIGGEST = 2**63 - 1
"""No number in the database is greater."""
_NUMBER = {**TEXT, "invalid": "wrong_type: Send a whole number.", "too_large": "out_of_range: It is too great."}
_NUMERIC = re.compile(r"\s*[-+]?[0-9]+\s*")
_MOMENT = Moment(format="iso", error_messages=MOMENT)


def said() -> fields.String:
    """What a message says."""
    return fields.String(
        required=True,
        validate=[
            validate.Length(max=MESSAGE_CHARACTERS, error="too_long: At most {max} characters."),
            plain_text,
            not_blank,
        ],
        error_messages=TEXT,
        metadata={"minLength": 1, "pattern": SAYS_SOMETHING},
    )


def client_msg_id(**options: Any) -> fields.String:
    """What a client calls a message."""
    return fields.String(
        validate=[
            validate.Length(1, CLIENT_MSG_ID_CHARACTERS, error="wrong_length: Use {min} to {max} characters."),
            plain_text,
        ],
        error_messages=TEXT,
        metadata={
            "pattern": r"^[^\u0000]*$",
            "description": "Your name for it, a random one for instance: sent again, it is stored once.",
        },
        **options,
    )


def _seq(low: int, description: str, **options: Any) -> fields.Integer:
    return fields.Integer(
        validate=validate.Range(low, BIGGEST, error="out_of_range: Use {min} or more."),
        error_messages=_NUMBER,
        metadata={"description": description},
        **options,
    )


class Place(fields.Field[Any]):
    """A message's number, or a time with its zone."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int | dt.datetime:
        if not _NUMERIC.fullmatch(str(value)):
            moment: dt.datetime = _MOMENT.deserialize(value, attr, data, **kwargs)
            return moment
        return int(_seq(1, "").deserialize(value, attr, data, **kwargs))


class NewMessageSchema(Schema):
    """What you say."""

    content = said()
    client_msg_id = client_msg_id(required=True)
    reply_to = Whole(
        validate=validate.Range(1, BIGGEST, error="out_of_range: Use {min} or more."),
        error_messages=_NUMBER,
        metadata={"description": "`seq` of a message of this chat."},
    )


class EditSchema(Schema):
    """What it is to say instead."""

    content = said()


class AllSeenSchema(Schema):
    """What became of reading everything."""

    chats = fields.Integer(required=True, metadata={"description": "In so many there was something new."})


class SeenSchema(Schema):
    """Up to where you have read."""

    seq = Whole(
        required=True,
        validate=validate.Range(0, BIGGEST, error="out_of_range: Use {min} or more."),
        error_messages=_NUMBER,
        metadata={"description": "Less than before changes nothing; more than there is counts as all there is."},
    )


class MessagesQuerySchema(Schema):
    """Which page: the newest, or the one beside a message."""

    limit = PageSchema().fields["limit"]
    before = Place(
        metadata={
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": BIGGEST},
                {"type": "string", "format": "date-time"},
            ],
            "description": "Only messages with a smaller `seq`, or from before this time; the newest of them.",
        }
    )
    after = _seq(0, "Only messages with a greater `seq`, the earliest of them.")

    @ma.validates_schema
    def goes_one_way(self, said: dict[str, Any], **_: object) -> None:
        """One place is enough."""
        if "before" in said and "after" in said:
            raise ma.ValidationError("contradiction: Send before or after, not both.", "after")


class ChangesQuerySchema(Schema):
    """What you know already."""

    since = _seq(0, "`lastChangeSeq` of a page, or `since` of the last answer.", required=True)


class MessageSchema(Schema):
    """A message. `chatId` and `seq` together are its name."""

    chat_id = fields.UUID(required=True)
    seq = fields.Integer(required=True, metadata={"description": "From 1, without gaps."})
    sender_id = fields.UUID(required=True)
    is_ai = fields.Boolean(required=True)
    content = fields.String(required=True, metadata={"description": "Empty once deleted."})
    client_msg_id = fields.String(required=True)
    reply_to = fields.Integer(required=True, allow_none=True)
    status = fields.Enum(MessageStatus, by_value=True, required=True)
    job_id = fields.UUID(required=True, allow_none=True)
    created_at = fields.AwareDateTime(format="iso", required=True)
    edited_at = fields.AwareDateTime(format="iso", required=True, allow_none=True)
    deleted_at = fields.AwareDateTime(format="iso", required=True, allow_none=True)
    change_seq = fields.Integer(required=True, metadata={"description": "Greater each time something happens to it."})


class SentSchema(Schema):
    """What became of what you sent."""

    message = fields.Nested(MessageSchema, required=True)
    differs = fields.Boolean(
        required=True,
        metadata={"description": "You had sent another text by this `clientMsgId`, and that one stays."},
    )


class MessagesPageSchema(Schema):
    """The earliest first."""

    items = fields.List(fields.Nested(MessageSchema), required=True)
    before = fields.Integer(
        required=True, allow_none=True, metadata={"description": "For the page before; null if there is none."}
    )
    after = fields.Integer(
        required=True, allow_none=True, metadata={"description": "For the page behind; null if this is the newest."}
    )
    last_change_seq = fields.Integer(
        required=True, metadata={"description": "All up to there is in it: ask for changes since."}
    )


class MessageChangesSchema(Schema):
    """Messages that are new, edited or deleted, as they are now, by `changeSeq`."""

    items = fields.List(fields.Nested(MessageSchema), required=True)
    limited = fields.Boolean(
        required=True,
        metadata={"description": "There are more. Go on at `since`, or throw away what you have and read a page."},
    )
    since = fields.Integer(required=True, metadata={"description": "For your next question."})
    last_change_seq = fields.Integer(required=True)


class ReadSchema(Schema):
    """Where you stand."""

    last_read_seq = fields.Integer(required=True)
    unread = fields.Integer(required=True)
    unread_capped = fields.Boolean(required=True)


class SearchQuerySchema(Schema):
    """What to look for, and where."""

    q = fields.String(
        required=True,
        validate=[validate.Length(1, 200, error="wrong_length: Use {min} to {max} characters."), plain_text, not_blank],
        error_messages=TEXT,
        metadata={
            "minLength": 1,
            "maxLength": 200,
            "pattern": SAYS_SOMETHING,
            "description": 'Words that all must be there; `"two words"` beside one another, `or`, `-without`.',
        },
    )
    chat_id = fields.String(metadata={"description": "Only in this chat."})
    limit = fields.Integer(
        load_default=20,
        validate=validate.Range(1, 50, error="out_of_range: Use {min} to {max}."),
        error_messages=_NUMBER,
    )
    cursor = fields.String(load_default=None, metadata={"description": "`nextCursor` of the page before."})


class FoundSchema(Schema):
    """The newest first."""

    items = fields.List(fields.Nested(MessageSchema), required=True)
    next_cursor = fields.String(required=True, allow_none=True, metadata={"description": "Null on the last page."})
