"""Messages: what is said in a chat; send it, read it, change it, catch up with it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from flask import Response

from api import access, calls, limits
from api.auth import own_id
from api.chats import SIGNED_IN, chat_reads, known_chat, unread_of
from api.jobs import HEADER, json_response, known_form, wire_time
from api.message_schemas import (
    BIGGEST,
    MOST_CHANGES,
    AllSeenSchema,
    ChangesQuerySchema,
    EditSchema,
    MessageChangesSchema,
    MessageSchema,
    MessagesPageSchema,
    MessagesQuerySchema,
    NewMessageSchema,
    ReadSchema,
    SeenSchema,
    SentSchema,
)
from api.openapi import Noun, problems
from api.writers import writing
from models import edits, logs, members, messages, moments, own_chats
from models.api_keys import Scope
from models.base import Session, bare
from models.chats import ROOM_HASH
from models.errors import ChatNotFound, MessageNotFound

bp = Noun("messages", __name__, url_prefix="/api/chats", description="What is said in a chat.")
log = logs.logger()


@bp.route("/<string:chat_id>/messages")
@bp.doc(security=SIGNED_IN)
@bp.arguments(MessagesQuerySchema, location="query")
@bp.response(200, MessagesPageSchema)
@problems(bp, 401, 403, 404, 503)
@access.user(Scope.CHATS_READ)
def list_messages(query: dict[str, Any], chat_id: str) -> Response:
    """The newest messages of a chat, or those before or after one or before a time, the earliest first."""
    if query.keys() == {"limit"} and not ROOM_HASH.fullmatch(chat_id):
        page = chat_reads().page(known_form(chat_id, refusal=ChatNotFound), reader=own_id(), **query)
    else:
        with bare() as session:
            known, before = known_chat(session, chat_id), query.get("before")
            if isinstance(before, dt.datetime):
                query["before"] = moments.seq_at(session, known, reader=own_id(), at=before)
            page = messages.page(session, known, reader=own_id(), **query)
    body = {"items": [as_wire(message) for message in page.messages], "before": page.before, "after": page.after}
    return json_response({**body, "lastChangeSeq": page.last_change_seq})


@bp.route("/<string:chat_id>/messages", methods=["POST"])
@bp.doc(security=SIGNED_IN)
@limits.by_owner("send")
@bp.arguments(NewMessageSchema())
@bp.response(201, SentSchema, headers=limits.HEADERS)
@bp.alt_response(
    200,
    schema=SentSchema,
    description="Sent before, by the same `clientMsgId`",
    headers={"Idempotency-Replayed": HEADER, **limits.HEADERS},
)
@problems(bp, 400, 401, 402, 403, 404, 413, 415, 429, 503)
@access.user(Scope.CHATS_WRITE)
def send_message(said: dict[str, Any], chat_id: str) -> Response:
    """Say something; `jobId` is of the job that answers it, if it calls the AI. A resend is answered with the first."""
    sent = calls.say(chat_id, **said)
    posted = sent.posted
    response = json_response(
        {"message": as_wire(sent.message), "differs": posted.differs}, status=201 if posted.is_new else 200
    )
    if not posted.is_new:
        response.headers["Idempotency-Replayed"] = "true"
        return response
    named = {"chat_id": posted.message["chat_id"], "seq": posted.message["seq"]}
    log.info("message_posted", **named, message_length=len(said["content"]))
    return response


@bp.route("/<string:chat_id>/messages/<int:seq>", methods=["PATCH"])
@bp.doc(security=SIGNED_IN)
@limits.by_owner("send")
@bp.arguments(EditSchema())
@bp.response(200, MessageSchema, headers=limits.HEADERS)
@problems(bp, 400, 401, 403, 404, 410, 413, 415, 429, 503)
@access.user(Scope.CHATS_WRITE)
def edit_message(said: dict[str, Any], chat_id: str, seq: int) -> Response:
    """Have your message say something else."""
    with writing(chat_id) as (session, known):
        message = edits.edit(session, known, seq=known_seq(seq), user_id=own_id(), content=said["content"])
    return json_response(as_wire(message))


@bp.route("/<string:chat_id>/messages/<int:seq>", methods=["DELETE"])
@bp.doc(security=SIGNED_IN)
@limits.by_owner("send")
@bp.response(200, MessageSchema, headers=limits.HEADERS)
@problems(bp, 401, 403, 404, 429, 503)
@access.user(Scope.CHATS_WRITE)
def delete_message(chat_id: str, seq: int) -> Response:
    """Delete your message, or as an admin anybody's. Its place stays, and nothing of what it said."""
    with writing(chat_id) as (session, known):
        message = edits.delete(session, known, seq=known_seq(seq), user_id=own_id())
    return json_response(as_wire(message))


@bp.route("/<string:chat_id>/seen", methods=["POST"])
@bp.doc(security=SIGNED_IN)
@bp.arguments(SeenSchema())
@bp.response(200, ReadSchema)
@problems(bp, 400, 401, 403, 404, 413, 415, 503)
@access.user(Scope.CHATS_WRITE)
def see_messages(said: dict[str, Any], chat_id: str) -> Response:
    """Say up to where you have read. It never goes back."""
    with Session.begin() as session:
        known = known_chat(session, chat_id)
        members.see(session, known, user_id=own_id(), seq=said["seq"])
        chat = own_chats.one(session, known, reader=own_id())
    return json_response({"lastReadSeq": chat["last_read_seq"], **unread_of(chat)})


@bp.route("/seen-all", methods=["POST"])
@bp.doc(security=SIGNED_IN)
@bp.response(200, AllSeenSchema)
@problems(bp, 401, 403, 503)
@access.user(Scope.CHATS_WRITE)
def see_all_messages() -> Response:
    """Say that you have read everything, in all your chats."""
    with Session.begin() as session:
        return json_response({"chats": members.see_all(session, own_id())})


@bp.route("/<string:chat_id>/changes")
@bp.doc(security=SIGNED_IN)
@bp.arguments(ChangesQuerySchema, location="query")
@bp.response(200, MessageChangesSchema)
@problems(bp, 401, 403, 404, 503)
@access.user(Scope.CHATS_READ)
def list_changes(query: dict[str, Any], chat_id: str) -> Response:
    """What has happened to the messages of a chat since you last asked, 500 of them at most."""
    with bare() as session:
        known = known_chat(session, chat_id)
        changes = messages.changes(session, known, reader=own_id(), since=query["since"], limit=MOST_CHANGES)
    body = {"items": [as_wire(message) for message in changes.messages], "limited": changes.limited}
    return json_response({**body, "since": changes.since, "lastChangeSeq": changes.last_change_seq})


def known_seq(seq: int) -> int:
    """The number of a message, if one can have it.

    Raises:
        MessageNotFound: none can.
    """
    if seq > BIGGEST:
        raise MessageNotFound
    return seq


def as_wire(message: Mapping[Any, Any]) -> dict[str, Any]:
    """The body of `MessageSchema`."""
    return {
        "chatId": message["chat_id"],
        "seq": message["seq"],
        "senderId": message["sender_id"],
        "isAi": message["is_ai"],
        "content": message["content"],
        "clientMsgId": message["client_msg_id"],
        "replyTo": message["reply_to"],
        "status": message["status"],
        "jobId": message["job_id"],
        "createdAt": wire_time(message["created_at"]),
        "editedAt": wire_time(message["edited_at"]) if message["edited_at"] else None,
        "deletedAt": wire_time(message["deleted_at"]) if message["deleted_at"] else None,
        "changeSeq": message["change_seq"],
    }
