"""Schemas: what each frame looks like, as JSON Schema. Commands are checked against theirs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from api.errors import flattened
from api.gateway.frames import Frame, RefusedFrame

Schema = Mapping[str, Any]

BIGGEST = 2**63 - 1
UUID: Schema = {"type": "string", "pattern": "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"}
SEQ: Schema = {"type": "integer", "minimum": 1, "maximum": BIGGEST}
SINCE: Schema = {"type": "integer", "minimum": 0, "maximum": BIGGEST}


def _object(required: Mapping[str, Schema] | None = None, **optional: Schema) -> Schema:
    required = required or {}
    return {"type": "object", "required": list(required), "properties": {**required, **optional}}


_SYNCED: Schema = {"type": "array", "maxItems": 50, "items": _object({"id": UUID, "since": SINCE})}
COMMANDS: Mapping[str, tuple[bool, Schema]] = {
    "send": (True, _object({"content": {"type": "string"}, "clientMsgId": {"type": "string"}})),
    "edit": (True, _object({"seq": SEQ, "content": {"type": "string"}})),
    "delete": (True, _object({"seq": SEQ})),
    "seen": (True, _object({"seq": SINCE})),
    "stop": (True, _object()),
    "regenerate": (True, _object({"seq": SEQ})),
    "seen_all": (False, _object()),
    "open": (True, _object()),
    "close": (True, _object()),
    "typing": (True, _object({"on": {"type": "boolean"}})),
    "watch": (False, _object({"users": {"type": "array", "maxItems": 100, "items": UUID}})),
    "sync": (False, _object({"chats": _SYNCED})),
    "watch_job": (False, _object({"jobId": UUID})),
    "ping": (False, _object()),
}
"""Of each op: whether it names a chat, and its ``d``."""


def check(frame: Frame) -> None:
    """Pass a command whose form is right.

    Raises:
        RefusedFrame: it is not; says where.
    """
    names_chat, schema = COMMANDS[frame.op]
    if names_chat and not fits(UUID, frame.chat):
        raise _invalid("/chat", "This op needs the id of a chat.")
    for pointer, sentence in faults(schema, frame.d, "/d"):
        raise _invalid(pointer, sentence)


def _invalid(pointer: str, sentence: str) -> RefusedFrame:
    refused = RefusedFrame("validation_failed", "The frame is not valid; errors says where.", title="Invalid Frame")
    refused.d["errors"] = flattened([sentence], pointer)
    return refused


def fits(schema: Schema, value: Any) -> bool:
    """Whether it does.

    >>> fits(SEQ, 0), fits(SEQ, 1), fits(SEQ, True), fits(UUID, "x")
    (False, True, False, False)
    """
    return not faults(schema, value, "")


_TYPES: Mapping[str, type] = {"string": str, "integer": int, "boolean": bool, "object": dict, "array": list}


def faults(schema: Schema, value: Any, pointer: str) -> list[tuple[str, str]]:
    """Where a value is not what a schema says, as far as our schemas go: ``(pointer, sentence)``."""
    if not _is_of(schema["type"], value):
        return [(pointer, f"Must be of type {schema['type']}.")]
    found = []
    if isinstance(value, int) and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        found.append((pointer, f"Must be between {schema['minimum']} and {schema['maximum']}."))
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        found.append((pointer, "Has the wrong form."))
    if isinstance(value, list):
        if len(value) > schema.get("maxItems", len(value)):
            return [(pointer, f"Must have {schema['maxItems']} items at most.")]
        for place, item in enumerate(value):
            found += faults(schema["items"], item, f"{pointer}/{place}")
    if isinstance(value, dict):
        found += [(f"{pointer}/{name}", "Is required.") for name in schema["required"] if name not in value]
        for name, inner in schema["properties"].items():
            if name in value:
                found += faults(inner, value[name], f"{pointer}/{name}")
    return found


def _is_of(kind: str, value: Any) -> bool:
    return isinstance(value, _TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))
