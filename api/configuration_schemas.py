"""What a page has to know, as JSON."""

from __future__ import annotations

from marshmallow import Schema, fields


class ConfigurationSchema(Schema):
    """What holds for everybody here."""

    gateway_url = fields.String(
        data_key="gatewayUrl",
        required=True,
        allow_none=True,
        metadata={
            "description": "`ws://…` or `wss://…`; null: there is no gateway.",
            "example": "ws://127.0.0.1:8001/ws",
        },
    )
