"""Schemas of the chat page's first routes, whose names are snake_case outside, too."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from api.message_schemas import client_msg_id, said
from api.schemas import SAYS_SOMETHING, TEXT, Moment, Schema, plain_text
from models.chats import TITLE_CHARACTERS
from models.messages import CLIENT_MSG_ID_CHARACTERS, MESSAGE_CHARACTERS
from models.saved_items import ASSISTANT, USER, Item

NO_NUL = r"^[^\u0000]*$"
MOST_ITEMS = 1_000
NAME_CHARACTERS = 200
LAST_PAGE = 1_000_000
LARGEST = 2**53 - 1
"""What every JSON reader takes for a whole number."""
_NO_LINE = "wrong_type: Send a string, or an object with role and content."


class _Plain(Schema):
    """Names as they stand here."""

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        field_obj.data_key = field_obj.data_key or field_name


class SavedLineSchema(_Plain):
    """A line, and who says it."""

    role = fields.String(
        required=True,
        validate=validate.OneOf([USER, ASSISTANT], error="unknown_role: Use one of {choices}."),
        error_messages=TEXT,
    )
    content = said()
    client_msg_id = client_msg_id(data_key="clientMsgId")

    @ma.post_load
    def _made(self, said: dict[str, Any], **_: Any) -> Item:
        return Item(**said)


_LINE = SavedLineSchema()
# For the document, which finds no schema within a field that is read by hand.
_CONTENT_FORM = {"type": "string", "minLength": 1, "maxLength": MESSAGE_CHARACTERS, "pattern": SAYS_SOMETHING}
_ID_FORM = {"type": "string", "minLength": 1, "maxLength": CLIENT_MSG_ID_CHARACTERS, "pattern": NO_NUL}
_LINE_FORM = {
    "type": "object",
    "properties": {
        "role": {"type": "string", "enum": [USER, ASSISTANT]},
        "content": _CONTENT_FORM,
        "clientMsgId": _ID_FORM,
    },
    "required": ["role", "content"],
    "additionalProperties": False,
}


class SavedItem(fields.Raw):
    """A string, or an object with a role."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Item:
        del attr, data, kwargs
        if isinstance(value, str):
            return Item(content=_LINE.fields["content"].deserialize(value))
        if not isinstance(value, dict):
            raise ma.ValidationError(_NO_LINE)
        item: Item = _LINE.load(value)
        return item


class ChatName(fields.Raw):
    """What a client calls a chat: a string, or a whole number, which is then its text."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        del attr, data, kwargs
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST and value % 1 == 0:
            return str(int(value))
        if not isinstance(value, str):
            raise ma.ValidationError("wrong_type: Send a string, or -1.")
        return value


class SavedChatSchema(_Plain):
    """A whole conversation."""

    chat_id = ChatName(
        load_default=None,
        allow_none=True,
        validate=[validate.Length(max=NAME_CHARACTERS, error="too_long: At most {max} characters."), plain_text],
        metadata={
            "type": ["string", "integer"],
            "maxLength": NAME_CHARACTERS,
            "minimum": -LARGEST,
            "maximum": LARGEST,
            "pattern": NO_NUL,
            "description": "An id of ours, or a name of your own; `-1`, null or an unknown name makes a chat.",
        },
    )
    chat_title = fields.String(
        load_default=None,
        allow_none=True,
        validate=[validate.Length(max=TITLE_CHARACTERS, error="too_long: At most {max} characters."), plain_text],
        error_messages=TEXT,
        metadata={"description": "Null or blank: as it is.", "pattern": NO_NUL},
    )
    messages = fields.List(
        SavedItem(
            error_messages={"null": _NO_LINE},
            metadata={
                "oneOf": [
                    _CONTENT_FORM,
                    _LINE_FORM,
                ]
            },
        ),
        required=True,
        validate=validate.Length(max=MOST_ITEMS, error="too_many_items: At most {max}."),
        error_messages={**TEXT, "invalid": "wrong_type: Send an array."},
        metadata={"description": "The earliest first. Strings are said by turns, the first by the user."},
    )


class SavedSchema(_Plain):
    """What became of it."""

    chat_id = fields.UUID(required=True)
    chat_title = fields.String(required=True, allow_none=True)
    inserted = fields.Integer(required=True, metadata={"description": "Lines that were not stored before."})
    ignored = fields.Integer(required=True, metadata={"description": "Lines of the AI that it has not said."})


class ShownPageSchema(_Plain):
    """Which page: by its number, or behind the one before."""

    page = fields.Integer(
        validate=validate.Range(1, LAST_PAGE, error="out_of_range: Use {min} to {max}."),
        error_messages={**TEXT, "invalid": "wrong_type: Send a whole number."},
        metadata={"description": "1 is the newest; pages are counted from where the first one ended when you saw it."},
    )
    before = fields.Integer(
        validate=validate.Range(1, LARGEST, error="out_of_range: Use {min} to {max}."),
        error_messages={**TEXT, "invalid": "wrong_type: Send a whole number."},
        metadata={"description": "`before` of a page: for the one before it."},
    )

    @ma.validates_schema
    def _one_of_both(self, which: dict[str, Any], **_: Any) -> None:
        if len(which) > 1:
            raise ma.ValidationError("contradiction: Send page or before, not both.", "before")


class ShownLineSchema(_Plain):
    """A line that is stored."""

    role = fields.String(required=True, validate=validate.OneOf([USER, ASSISTANT]))
    content = fields.String(required=True)
    created_at = Moment(format="iso", required=True)


class ShownChatSchema(_Plain):
    """A page of a chat."""

    chat_id = fields.UUID(required=True)
    chat_title = fields.String(required=True, allow_none=True)
    messages = fields.List(fields.Nested(ShownLineSchema), required=True)
    before = fields.Integer(
        required=True, allow_none=True, metadata={"description": "For the page before this one; null: there is none."}
    )


class TitleSchema(_Plain):
    """A chat in the side panel."""

    chat_id = fields.UUID(required=True)
    chat_title = fields.String(required=True, allow_none=True)


class TitlesSchema(_Plain):
    """All of them, the one with the newest message first."""

    active_chat_id = fields.Raw(
        required=True,
        metadata={
            "oneOf": [{"type": "string", "format": "uuid"}, {"type": "integer", "const": -1}],
            "description": "The chat you had open last within a day; -1: none.",
        },
    )
    titles = fields.List(fields.Nested(TitleSchema), required=True)
