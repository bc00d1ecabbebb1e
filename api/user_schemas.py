"""Schemas of users, for admins: the form of what comes in and goes out."""

from __future__ import annotations

from marshmallow import fields, validate

from api.account_schemas import USERNAME_FORM, Username, UserSchema
from api.schemas import PageSchema, Schema
from models.api_keys import PREFIX_CHARACTERS
from models.users import Role


class UsersQuerySchema(PageSchema):
    """Which page of which users."""

    username = Username(metadata={**USERNAME_FORM, "description": "Only this one."})
    key_prefix = fields.String(
        validate=validate.Regexp(
            rf"\Aparley_[A-Za-z0-9_-]{{{PREFIX_CHARACTERS - 7}}}\Z",
            error=f"invalid_prefix: Send the first {PREFIX_CHARACTERS} characters of an API key.",
        ),
        metadata={
            "pattern": rf"^parley_[A-Za-z0-9_-]{{{PREFIX_CHARACTERS - 7}}}$",
            "description": "Only whoever has an API key that begins so.",
        },
    )


class ListedUserSchema(UserSchema):
    """A user, as admins see them."""

    last_active_at = fields.AwareDateTime(format="iso", required=True, metadata={"description": "To the hour."})


class UsersPageSchema(Schema):
    """The latest first."""

    items = fields.List(fields.Nested(ListedUserSchema), required=True)
    next_cursor = fields.String(required=True, allow_none=True, metadata={"description": "Null on the last page."})


class RoleSchema(Schema):
    """What somebody may do beyond their own things."""

    role = fields.Enum(
        Role,
        by_value=True,
        required=True,
        error_messages={
            "required": "required: This field is required.",
            "null": "wrong_type: This field may not be null.",
            "unknown": "unknown_role: Use one of {choices}.",
        },
    )


class InvitationSchema(Schema):
    """A code for one account."""

    code = fields.String(required=True, metadata={"description": "Shown this once."})
    expires_at = fields.AwareDateTime(format="iso", required=True)
