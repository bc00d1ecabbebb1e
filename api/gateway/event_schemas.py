"""Event schemas: what the gateway sends, as JSON Schema. Tests hold every frame they see against these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.gateway.schemas import COMMANDS, SEQ, SINCE, UUID, Schema

TEXT: Schema = {"type": "string"}
YES_OR_NO: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 0}
TIME: Schema = {"type": "string", "format": "date-time"}
STATUS: Schema = {"enum": ["created", "processing", "analyzing", "retrying", "completed", "failed", "cancelled"]}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _strict(properties: Mapping[str, Schema] | None = None, **optional: Schema) -> Schema:
    properties = properties or {}
    return {
        "type": "object",
        "required": list(properties),
        "properties": {**properties, **optional},
        "additionalProperties": False,
    }


MESSAGE = _strict(
    {
        "chatId": UUID,
        "seq": SEQ,
        "senderId": UUID,
        "isAi": YES_OR_NO,
        "content": TEXT,
        "clientMsgId": TEXT,
        "replyTo": _or_null(SEQ),
        "status": {"enum": ["complete", "stopped"]},
        "jobId": _or_null(UUID),
        "createdAt": TIME,
        "editedAt": _or_null(TIME),
        "deletedAt": _or_null(TIME),
        "changeSeq": SEQ,
    }
)
UNREAD = {"unread": {"type": "integer", "minimum": 0, "maximum": 99}, "unreadCapped": YES_OR_NO}
PRESENCE = _strict({"userId": UUID, "online": YES_OR_NO, "lastSeenAt": _or_null(TIME)})
_TYPING = _strict({"resendSeconds": COUNT, "expireSeconds": COUNT})
_LIMITS = _strict({"frameBytes": COUNT, "opsPerSecond": COUNT})
_STATE: Schema = {"enum": ["ok", "degraded", "down"]}

EVENTS: Mapping[str, tuple[bool, Schema]] = {
    "hello": (
        False,
        _strict(
            {
                "connId": TEXT,
                "serverTime": TIME,
                "userId": _or_null(UUID),
                "heartbeatSeconds": COUNT,
                "typing": _TYPING,
                "limits": _LIMITS,
            }
        ),
    ),
    "message.pending": (True, _strict({"clientMsgId": TEXT, "content": TEXT}, replyTo=SEQ)),
    "message.refused": (True, _strict({"clientMsgId": TEXT})),
    "message.new": (True, MESSAGE),
    "message.edited": (True, MESSAGE),
    "message.deleted": (True, MESSAGE),
    "ai.status": (True, _strict({"jobId": UUID, "status": STATUS, "attempt": COUNT, "askedBy": _or_null(UUID)})),
    "ai.text": (True, _strict({"jobId": UUID, "attempt": SEQ, "offset": COUNT, "text": TEXT})),
    "chat": (True, _strict()),
    "members": (True, _strict({"userId": UUID, "gone": YES_OR_NO})),
    "summary": (True, _strict({"version": SEQ})),
    "seen": (True, _strict({"userId": UUID, "seq": SINCE})),
    "unread": (True, _strict(UNREAD)),
    "typing": (True, _strict({"userId": UUID, "on": YES_OR_NO})),
    "presence": (False, PRESENCE),
    "job": (False, _strict({"jobId": UUID, "status": STATUS})),
    "resync": (False, _strict({"reason": {"enum": ["bus", "overflow"]}})),
    "reconnect": (False, _strict({"afterMs": COUNT})),
}
"""Of each event: whether it is about a chat, and its ``d``."""

_NOTHING = _strict()
_SYNCED = {
    "anyOf": [
        _strict(
            {
                "id": UUID,
                "items": {"type": "array", "items": MESSAGE},
                "limited": YES_OR_NO,
                "since": SINCE,
                "lastChangeSeq": SINCE,
            }
        ),
        _strict({"id": UUID, "code": {"const": "chat_not_found"}}),
    ]
}
ANSWERS: Mapping[str, Schema] = {
    "auth": _NOTHING,
    "ping": _strict({"t": TIME, "database": _STATE, "redis": _STATE, "ai": _STATE, "queueDepth": _or_null(COUNT)}),
    "send": _strict({"message": MESSAGE, "differs": YES_OR_NO, "replayed": YES_OR_NO}),
    "edit": MESSAGE,
    "delete": MESSAGE,
    "seen": _strict({"lastReadSeq": SINCE, **UNREAD}),
    "seen_all": _strict({"chats": COUNT}),
    "open": _strict({"members": {"type": "array", "items": PRESENCE}}),
    "close": _NOTHING,
    "watch": _strict({"presence": {"type": "array", "items": PRESENCE}}),
    "typing": _NOTHING,
    "sync": _strict({"chats": {"type": "array", "items": _SYNCED}}),
    "stop": _strict({"jobId": _or_null(UUID)}),
    "regenerate": {"type": "object", "required": ["jobId", "status"]},
    "watch_job": _strict({"status": STATUS}),
}
"""The ``d`` of the ``ack`` of each command. ``regenerate`` is answered as over HTTP."""
REFUSAL = _strict(
    {"code": TEXT, "title": TEXT, "detail": TEXT}, retryAfter=SEQ, errors={"type": "array", "items": {"type": "object"}}
)
"""The ``d`` of every ``err``."""


def frame_schema(op: str, *, names_chat: bool, d: Schema, answers: bool = False) -> dict[str, Any]:
    """Of a whole frame that is sent."""
    properties: dict[str, Any] = {"op": {"const": op}}
    if answers:
        properties["id"] = {"type": ["string", "integer"]}
    if names_chat:
        properties["chat"] = UUID
    return dict(_strict({**properties, "d": d})) | {"required": [each for each in [*properties, "d"] if each != "id"]}


def schemas() -> dict[str, Any]:
    """All there are, by a name each: ``d`` of commands, of their answers, and of events. What recurs stands once."""
    named = {
        **{f"command {op}": schema for op, (_, schema) in COMMANDS.items()},
        **{f"answer {op}": schema for op, schema in ANSWERS.items()},
        **{f"event {op}": schema for op, (_, schema) in EVENTS.items()},
        "refusal": REFUSAL,
    }
    shared = {"message": MESSAGE, "presence": PRESENCE}
    return {**shared, **{name: _referring(schema, shared) for name, schema in named.items()}}


def _referring(schema: Any, shared: Mapping[str, Schema]) -> Any:
    """A schema that names those that stand elsewhere."""
    for name, other in shared.items():
        if schema is other:
            return {"$ref": f"#{name}"}
    if isinstance(schema, Mapping):
        return {key: _referring(value, shared) for key, value in schema.items()}
    return [_referring(value, shared) for value in schema] if isinstance(schema, list) else schema
