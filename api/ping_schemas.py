"""How the service is, as JSON."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields, validate

OK, DEGRADED, DOWN = "ok", "degraded", "down"


def _state(description: str) -> Any:
    return fields.String(
        required=True, validate=validate.OneOf([OK, DEGRADED, DOWN]), metadata={"description": description}
    )


class PingSchema(Schema):
    """How the service is."""

    t = fields.DateTime(required=True, metadata={"description": "When it answered."})
    database = _state("`down`: nothing can be read or said.")
    redis = _state("`down`: nothing is live; what is said is seen when pages ask.")
    ai = _state("`degraded`: a model is given a rest. `down`: no worker is there; what the AI is asked waits.")
    queue_depth = fields.Integer(
        data_key="queueDepth",
        required=True,
        allow_none=True,
        metadata={"description": "Jobs that wait; null: unknown."},
    )
