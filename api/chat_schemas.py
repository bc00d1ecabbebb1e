"""Schemas of chats and their members: the form of what comes in and goes out."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from api.schemas import ALWAYS, TEXT, PageSchema, Schema
from models import users
from models.chats import TITLE_CHARACTERS, AiCallers, AiMode, ChatType, TitleSource
from models.members import MemberRole
from models.own_chats import MOST_UNREAD

MOST_RECENT = 50
_NAMES: dict[str, Any] = {**ALWAYS, "invalid": "wrong_type: Send an array."}
_YES_OR_NO: dict[str, Any] = {**ALWAYS, "invalid": "wrong_type: Send true or false."}


class Title(fields.String):
    """A title, as it is kept from here on."""

    default_error_messages = {  # noqa: RUF012
        **TEXT,
        "form": f"invalid_title: Use 1 to {TITLE_CHARACTERS} characters, no control or format characters.",
    }

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        try:
            return users.display_name(super()._deserialize(value, attr, data, **kwargs), most=TITLE_CHARACTERS)
        except ValueError:
            raise self.make_error("form") from None


class Truth(fields.Boolean):
    """A JSON boolean; marshmallow alone would also take ``"yes"`` and ``1``."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:
        del attr, data, kwargs
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


_TITLE_FORM = {
    "minLength": 1,
    "maxLength": TITLE_CHARACTERS,
    "pattern": r"^[^\u0000-\u001f\u007f]*[^\s\u0000-\u001f\u007f][^\u0000-\u001f\u007f]*$",
}


def _one_of(enum: Any, unknown: str, description: str) -> fields.Enum[Any]:
    return fields.Enum(
        enum,
        by_value=True,
        error_messages={**ALWAYS, "unknown": unknown},
        metadata={"description": description},
    )


def _people(**options: Any) -> fields.List[str]:
    return fields.List(
        fields.String(error_messages={**ALWAYS, "invalid": "wrong_type: Send strings."}),
        error_messages=_NAMES,
        metadata={"description": "Each a user id or a username."},
        **options,
    )


class SettingsSchema(Schema):
    """What can be said of a chat when it is made, and later."""

    title = Title(metadata=_TITLE_FORM)
    ai_mode = _one_of(
        AiMode,
        "unknown_ai_mode: Use one of {choices}.",
        "Which messages call the AI: all, those that say `@AI`, or none.",
    )
    ai_callers = _one_of(AiCallers, "unknown_ai_callers: Use one of {choices}.", "Whose messages do.")
    hides_history = Truth(
        error_messages=_YES_OR_NO, metadata={"description": "Who joins sees only what is said from then on."}
    )


class ChangeSchema(SettingsSchema):
    """What is to hold from now on."""

    reuses_answers = Truth(
        error_messages=_YES_OR_NO,
        metadata={"description": "The AI may say again what it has said to the very same prompt."},
    )


class NewChatSchema(SettingsSchema):
    """A chat to be."""

    type = fields.Enum(
        ChatType,
        by_value=True,
        required=True,
        error_messages={**ALWAYS, "unknown": "unknown_chat_type: Use one of {choices}."},
        metadata={"description": "`ai`: you and the AI. `1_to_1`: you and one other. `group`: as many as you like."},
    )
    members = _people(load_default=())

    @ma.validates_schema
    def fits_its_type(self, said: dict[str, Any], **_: object) -> None:
        """What a chat of some type has, and what it cannot have."""
        usual = {"type", "members", "ai_mode"}
        allowed = {
            ChatType.AI: usual | {"title"},
            ChatType.ONE_TO_ONE: usual,
            ChatType.GROUP: usual | {"title", "ai_callers", "hides_history"},
        }[said["type"]]
        wrong = {
            str(self.fields[name].data_key): ["not_of_this_type: Such a chat has none."]
            for name in said.keys() - allowed
        }
        if said["type"] == ChatType.AI and said["members"]:
            wrong["members"] = ["not_of_this_type: Such a chat has none."]
        if said["type"] == ChatType.ONE_TO_ONE and len(said["members"]) != 1:
            wrong["members"] = ["wrong_length: Name one other person."]
        if said["type"] == ChatType.GROUP and "title" not in said:
            wrong["title"] = ["required: This field is required."]
        if wrong:
            raise ma.ValidationError(wrong)


class NewMembersSchema(Schema):
    """Who is to join."""

    members = _people(required=True, validate=validate.Length(min=1, error="wrong_length: Name somebody."))


class MemberRoleSchema(Schema):
    """What a member may do to the chat."""

    role = fields.Enum(
        MemberRole,
        by_value=True,
        required=True,
        error_messages={**ALWAYS, "unknown": "unknown_role: Use one of {choices}."},
    )


class MutedSchema(Schema):
    """Whether you want to be told of what happens in a chat."""

    muted = Truth(required=True, error_messages=_YES_OR_NO)


class RecentQuerySchema(Schema):
    """How many."""

    limit = fields.Integer(
        load_default=5,
        validate=validate.Range(1, MOST_RECENT, error="out_of_range: Use {min} to {max}."),
        error_messages={**ALWAYS, "invalid": "wrong_type: Send a whole number."},
    )


class ChatsQuerySchema(PageSchema):
    """Which page of your chats."""


_UNREAD = {
    "minimum": 0,
    "maximum": MOST_UNREAD,
    "description": f"Others' messages beyond what you have read; at most {MOST_UNREAD}.",
}
_CAPPED = {"description": f"There are more than {MOST_UNREAD}: show {MOST_UNREAD}+."}
_AT: dict[str, Any] = {"format": "iso", "required": True}


class OtherSchema(Schema):
    """The other one of two."""

    user_id = fields.UUID(required=True)
    display_name = fields.String(required=True)


class ChatSchema(Schema):
    """A chat, as you stand in it."""

    chat_id = fields.UUID(required=True)
    room_hash = fields.String(
        required=True, metadata={"description": "Another name of it, good wherever the id is. It opens nothing."}
    )
    type = fields.Enum(ChatType, by_value=True, required=True)
    title = fields.String(required=True, allow_none=True)
    title_source = fields.Enum(TitleSource, by_value=True, required=True)
    other = fields.Nested(OtherSchema, required=True, allow_none=True)
    ai_mode = fields.Enum(AiMode, by_value=True, required=True)
    ai_callers = fields.Enum(AiCallers, by_value=True, required=True)
    hides_history = fields.Boolean(required=True)
    reuses_answers = fields.Boolean(required=True)
    role = fields.Enum(MemberRole, by_value=True, required=True)
    muted = fields.Boolean(required=True)
    last_seq = fields.Integer(required=True)
    last_change_seq = fields.Integer(required=True)
    last_read_seq = fields.Integer(required=True)
    unread = fields.Integer(required=True, metadata=_UNREAD)
    unread_capped = fields.Boolean(required=True, metadata=_CAPPED)
    last_message_at = fields.AwareDateTime(**_AT)
    last_message_preview = fields.String(required=True, allow_none=True)
    created_at = fields.AwareDateTime(**_AT)


class ChatsPageSchema(Schema):
    """The one with the newest message first."""

    items = fields.List(fields.Nested(ChatSchema), required=True)
    next_cursor = fields.String(required=True, allow_none=True, metadata={"description": "Null on the last page."})


class RecentChatsSchema(Schema):
    """The one with the newest message first."""

    items = fields.List(fields.Nested(ChatSchema), required=True)


class UnreadChatSchema(Schema):
    """A chat in which something is unread."""

    chat_id = fields.UUID(required=True)
    unread = fields.Integer(required=True, metadata=_UNREAD)
    unread_capped = fields.Boolean(required=True, metadata=_CAPPED)
    muted = fields.Boolean(required=True)


class UnreadSchema(Schema):
    """Chats in which something is unread; in all others nothing is."""

    items = fields.List(fields.Nested(UnreadChatSchema), required=True)
    limited = fields.Boolean(
        required=True, metadata={"description": "There may be more, in chats that have been silent for longer."}
    )


class MemberSchema(Schema):
    """Somebody in a chat."""

    user_id = fields.UUID(required=True)
    display_name = fields.String(required=True)
    is_ai = fields.Boolean(required=True)
    role = fields.Enum(MemberRole, by_value=True, required=True)
    joined_at = fields.AwareDateTime(**_AT)
    last_read_seq = fields.Integer(required=True, metadata={"description": "They have seen all up to this message."})


class MembersSchema(Schema):
    """Everybody in a chat, in the order in which they came."""

    items = fields.List(fields.Nested(MemberSchema), required=True)
