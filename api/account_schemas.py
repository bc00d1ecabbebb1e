"""Schemas of accounts: the form of what comes in and goes out."""

from __future__ import annotations

import re
from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from api.schemas import TEXT, Schema, plain_text
from models import users
from models.passwords import LONGEST, SHORTEST
from models.users import DISPLAY_NAME_CHARACTERS, USERNAME_GIVEN, Role

INVITATION_CHARACTERS = 64
_PHONE = re.compile(r"\+[1-9][0-9]{6,14}")
NAME_FORM: dict[str, Any] = {
    "minLength": 1,
    "maxLength": DISPLAY_NAME_CHARACTERS,
    "pattern": r"^[^\u0000-\u001f\u007f]*[^\s\u0000-\u001f\u007f][^\u0000-\u001f\u007f]*$",
}
USERNAME_FORM: dict[str, Any] = {
    "minLength": 3,
    "maxLength": USERNAME_GIVEN,
    "pattern": r"^[A-Za-z0-9][A-Za-z0-9._-]{2,31}$",
}
_NUMBER = {"pattern": r"^\+[1-9][0-9]{6,14}$"}


class Username(fields.String):
    """A username, in its one spelling from here on."""

    default_error_messages = {  # noqa: RUF012
        **TEXT,
        "too_long": f"too_long: At most {USERNAME_GIVEN} characters.",
        "spelling": "invalid_username: Use 3 to 32 of a-z, 0-9, dot, hyphen and underscore, a letter or digit first.",
    }

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        given = super()._deserialize(value, attr, data, **kwargs)
        if len(given) > USERNAME_GIVEN:
            raise self.make_error("too_long")
        try:
            return users.canonical(given)
        except ValueError:
            raise self.make_error("spelling") from None


class DisplayName(fields.String):
    """A name to be shown, as it is kept from here on."""

    default_error_messages = {  # noqa: RUF012
        **TEXT,
        "form": f"invalid_name: Use 1 to {DISPLAY_NAME_CHARACTERS} characters, no control or format characters.",
    }

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        try:
            return users.display_name(super()._deserialize(value, attr, data, **kwargs))
        except ValueError:
            raise self.make_error("form") from None


class PhoneNumber(fields.String):
    """A phone number in its one spelling, E.164."""

    default_error_messages = {  # noqa: RUF012
        **TEXT,
        "form": "invalid_phone_number: Send it with its country, as in +4930123456.",
    }

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        given = super()._deserialize(value, attr, data, **kwargs)
        number = re.sub(r"[ ()./-]", "", given)
        if not _PHONE.fullmatch(number):
            raise self.make_error("form")
        return number


def _username() -> Username:
    return Username(
        required=True,
        metadata={**USERNAME_FORM, "description": "Case does not matter."},
    )


def _password(*, shortest: int = 1, **options: Any) -> fields.String:
    """A password, as it came."""
    return fields.String(
        validate=[
            validate.Length(shortest, error="too_short: At least {min} characters."),
            validate.Length(max=LONGEST, error="too_long: At most {max} characters."),
            plain_text,
        ],
        error_messages=TEXT,
        load_only=True,
        metadata={"format": "password", "minLength": shortest, "maxLength": LONGEST, "pattern": r"^[^\u0000]*$"},
        **options,
    )


class RegistrationSchema(Schema):
    """An account to be."""

    username = _username()
    display_name = DisplayName(metadata={**NAME_FORM, "description": "If left out: the username."})
    password = _password(shortest=SHORTEST, required=True)
    phone_number = PhoneNumber(metadata={**_NUMBER, "description": "E.164. Kept as a keyed hash, or not at all."})
    invitation = fields.String(
        validate=[validate.Length(max=INVITATION_CHARACTERS, error="too_long: At most {max} characters."), plain_text],
        error_messages=TEXT,
        metadata={"pattern": r"^[^\u0000]*$"},
    )


class LoginSchema(Schema):
    """Who says to be whom."""

    username = _username()
    password = _password(required=True)


class ChangesSchema(Schema):
    """What is to be different. What is left out stays."""

    display_name = DisplayName(metadata=NAME_FORM)
    phone_number = PhoneNumber(allow_none=True, metadata={**_NUMBER, "description": "Null: forget it."})
    password = _password(shortest=SHORTEST)
    current_password = _password()

    @ma.validates_schema
    def proves_itself(self, said: dict[str, Any], **_: object) -> None:
        """A new password needs the old one."""
        if "password" in said and "current_password" not in said:
            raise ma.ValidationError("required: This field is required.", "currentPassword")


class FarewellSchema(Schema):
    """It is really you."""

    password = _password(required=True)


class UserSchema(Schema):
    """Who you are. A guest and the operator of `ADMIN_TOKEN` have no account: their id and username are null."""

    user_id = fields.UUID(required=True, allow_none=True)
    username = fields.String(required=True, allow_none=True)
    display_name = fields.String(required=True)
    role = fields.String(required=True, validate=validate.OneOf(["guest", *Role]))
    created_at = fields.AwareDateTime(format="iso", required=True, allow_none=True)


class SessionSchema(Schema):
    """Signed in. The refresh token is in a cookie that no script can read."""

    access_token = fields.String(required=True)
    token_type = fields.String(required=True, validate=validate.Equal("Bearer"))
    expires_in = fields.Integer(required=True, metadata={"description": "Seconds."})
    user = fields.Nested(UserSchema, required=True)
