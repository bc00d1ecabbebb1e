"""Keys: what scripts sign in with. Made and revoked by whoever is signed in, not by another key."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from flask import Response, current_app

from api import access, trail
from api.auth import callers, own_id
from api.callers import caller
from api.jobs import json_response, known_form, wire_time
from api.key_schemas import CreatedKeySchema, KeysSchema, NewKeySchema
from api.openapi import Noun, problems
from models import api_keys
from models.account_errors import KeyNotFound, ScopeRefused
from models.api_keys import Scope
from models.base import Autocommit, Session

bp = Noun("keys", __name__, url_prefix="/api/me/keys", description="API keys, for scripts.")
_SIGNED_IN: list[dict[str, list[str]]] = [{"bearer": []}]


@bp.route("")
@bp.doc(security=_SIGNED_IN)
@bp.response(200, KeysSchema)
@problems(bp, 401, 403, 503)
@access.user()
def list_keys() -> Response:
    """Your API keys that are not revoked, the oldest first."""
    with Autocommit() as session:
        found = api_keys.of_user(session, own_id())
    return json_response({"items": [_as_wire(row) for row in found]})


@bp.route("", methods=["POST"])
@bp.doc(security=_SIGNED_IN)
@bp.arguments(NewKeySchema())
@bp.response(201, CreatedKeySchema)
@problems(bp, 400, 401, 403, 409, 413, 415, 503)
@access.user()
def create_key(said: dict[str, Any]) -> Response:
    """Make an API key. Keep it: it is shown this once."""
    user_id, scopes = own_id(), sorted(set(said["scopes"]))
    if Scope.ADMIN in scopes and not caller().is_operator:
        raise ScopeRefused(Scope.ADMIN)
    with Session.begin() as session:
        key, made = api_keys.create(session, user_id, name=said["name"], scopes=scopes, expires_at=said["expires_at"])
        trail.note("key_made", subject=f"key:{made['id']}", session=session, scopes=scopes)
    return json_response({**_as_wire(made), "key": key}, status=201)


@bp.route("/<string:key_id>", methods=["DELETE"])
@bp.doc(security=_SIGNED_IN)
@bp.response(204)
@problems(bp, 401, 403, 404, 503)
@access.user()
def revoke_key(key_id: str) -> Response:
    """Revoke a key. It is good for nothing 10 seconds later, everywhere."""
    user_id, known = own_id(), known_form(key_id, refusal=KeyNotFound)
    with Session.begin() as session:
        api_keys.revoke(session, known, user_id=user_id)
        trail.note("key_revoked", subject=f"key:{known}", session=session)
    callers().forget(user_id)
    return current_app.response_class(status=204)


def _as_wire(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {
        "keyId": row["id"],
        "prefix": row["prefix"],
        "name": row["name"],
        "scopes": row["scopes"],
        "createdAt": wire_time(row["created_at"]),
        "expiresAt": _time(row["expires_at"]),
        "lastUsedAt": _time(row["last_used_at"]),
    }


def _time(moment: dt.datetime | None) -> str | None:
    return None if moment is None else wire_time(moment)
