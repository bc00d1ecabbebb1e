"""Chat members: who is in a chat; people come, go, and may do more or less there."""

from __future__ import annotations

from typing import Any

from flask import Response, current_app
from sqlalchemy.orm import Session as OrmSession

from api import access
from api.auth import own_id
from api.chat_schemas import MemberRoleSchema, MembersSchema, MutedSchema, NewMembersSchema
from api.chats import SIGNED_IN, known_chat, named
from api.jobs import json_response, known_form, wire_time
from api.openapi import Noun, problems
from models import logs, members, moderation
from models.api_keys import Scope
from models.base import Bare, Session, bare
from models.errors import MemberNotFound

bp = Noun("chat-members", __name__, url_prefix="/api/chats", description="Who is in a chat.")
log = logs.logger()


@bp.route("/<string:chat_id>/members")
@bp.doc(security=SIGNED_IN)
@bp.response(200, MembersSchema)
@problems(bp, 401, 403, 404, 503)
@access.user(Scope.CHATS_READ)
def list_members(chat_id: str) -> Response:
    """Everybody in a chat, and how far they have read. The AI is among them unless its mode is `off`."""
    with bare() as session:
        return _shown(session, known_chat(session, chat_id))


@bp.route("/<string:chat_id>/members", methods=["POST"])
@bp.doc(security=SIGNED_IN)
@bp.arguments(NewMembersSchema())
@bp.response(200, MembersSchema)
@problems(bp, 400, 401, 403, 404, 409, 413, 415, 503)
@access.user(Scope.CHATS_WRITE)
def add_members(said: dict[str, Any], chat_id: str) -> Response:
    """Take people into a group. Who is in it stays as they are."""
    with Session.begin() as session:
        known = known_chat(session, chat_id)
        members.member_of(session, known, user_id=own_id())  # who is not in it learns nothing of who is there
        added = moderation.add(session, known, user_id=own_id(), member_ids=named(session, said["members"]))
        response = _shown(session, known)
    log.info("members_added", chat_id=known, number=len(added))
    return response


@bp.route("/<string:chat_id>/members/<string:user_id>", methods=["PATCH"])
@bp.doc(security=SIGNED_IN)
@bp.arguments(MemberRoleSchema())
@bp.response(200, MembersSchema)
@problems(bp, 400, 401, 403, 404, 409, 413, 415, 503)
@access.user(Scope.CHATS_WRITE)
def change_member(said: dict[str, Any], chat_id: str, user_id: str) -> Response:
    """Make a member of a group its admin, or no more."""
    member_id = known_form(user_id, refusal=MemberNotFound)
    with Session.begin() as session:
        known = known_chat(session, chat_id)
        moderation.set_role(session, known, user_id=own_id(), member_id=member_id, role=said["role"])
        return _shown(session, known)


@bp.route("/<string:chat_id>/members/<string:user_id>", methods=["DELETE"])
@bp.doc(security=SIGNED_IN)
@bp.response(204)
@problems(bp, 401, 403, 404, 409, 503)
@access.user(Scope.CHATS_WRITE)
def remove_member(chat_id: str, user_id: str) -> Response:
    """Remove somebody from a group, or yourself. They find nothing of it from then on."""
    return _removed(chat_id, known_form(user_id, refusal=MemberNotFound))


@bp.route("/<string:chat_id>/leave", methods=["POST"])
@bp.doc(security=SIGNED_IN)
@bp.response(204)
@problems(bp, 401, 403, 404, 409, 503)
@access.user(Scope.CHATS_WRITE)
def leave_chat(chat_id: str) -> Response:
    """Leave a group. When the last one leaves, it is deleted with all that was said in it."""
    return _removed(chat_id, own_id())


@bp.route("/<string:chat_id>/mute", methods=["PUT"])
@bp.doc(security=SIGNED_IN)
@bp.arguments(MutedSchema())
@bp.response(200, MutedSchema)
@problems(bp, 400, 401, 403, 404, 413, 415, 503)
@access.user(Scope.CHATS_WRITE)
def mute_chat(said: dict[str, Any], chat_id: str) -> Response:
    """Say whether you want to be told of what happens in a chat. Unread messages are counted all the same."""
    with Session.begin() as session:
        members.mute(session, known_chat(session, chat_id), user_id=own_id(), muted=said["muted"])
    return json_response({"muted": said["muted"]})


def _removed(chat_id: str, member_id: str) -> Response:
    with Session.begin() as session:
        known = known_chat(session, chat_id)
        moderation.remove(session, known, user_id=own_id(), member_id=member_id)
    log.info("member_left", chat_id=known, user_id=member_id)
    return current_app.response_class(status=204)


def _shown(session: OrmSession | Bare, chat_id: str) -> Response:
    everybody = members.of_chat(session, chat_id, reader=own_id())
    return json_response({"items": [_as_wire(member) for member in everybody]})


def _as_wire(member: Any) -> dict[str, Any]:
    return {
        "userId": member["user_id"],
        "displayName": member["display_name"],
        "isAi": member["is_ai"],
        "role": member["role"],
        "joinedAt": wire_time(member["joined_at"]),
        "lastReadSeq": member["last_read_seq"],
    }
