"""Chat replies: the AI told to stop, to answer anew, or to find another title."""

from __future__ import annotations

from collections.abc import Callable

from flask import Response, current_app

from api import access, limits
from api.auth import own_id, settings
from api.callers import caller
from api.chat_reply_schemas import StoppedSchema
from api.chats import SIGNED_IN, known_chat
from api.job_schemas import JobCreatedSchema
from api.jobs import json_response, stopped
from api.messages import known_seq
from api.new_jobs import CREATED_HEADERS, created
from api.openapi import Noun, problems
from api.queue import Queue
from api.writers import writing
from models import generations, members, regenerations, title_requests
from models.api_keys import Scope
from models.base import bare
from models.errors import AlreadyFinished

bp = Noun("chat-replies", __name__, url_prefix="/api/chats", description="What the AI says in a chat.")


@bp.route("/<string:chat_id>/stop", methods=["POST"])
@bp.doc(security=SIGNED_IN)
@bp.response(200, StoppedSchema)
@problems(bp, 401, 403, 404, 503)
@access.user(Scope.CHATS_WRITE)
def stop_reply(chat_id: str) -> Response:
    """Have the AI say no more: what it is saying now, or else what it would say next. What it has said stays."""
    with bare() as session:
        known = known_chat(session, chat_id)
        members.member_of(session, known, user_id=own_id())
        present = generations.present(session, known)
    job_id = None if present is None else str(present["id"])
    try:
        if job_id is not None:
            stopped(job_id, reader=caller().owner)
    except AlreadyFinished:  # a moment ago, by itself
        job_id = None
    return json_response({"jobId": job_id})


@bp.route("/<string:chat_id>/messages/<int:seq>/regenerate", methods=["POST"])
@bp.doc(security=SIGNED_IN)
@limits.by_owner("create")
@bp.response(201, JobCreatedSchema, headers=CREATED_HEADERS)
@bp.alt_response(200, schema=JobCreatedSchema, description="Asked for before, and under way", headers=CREATED_HEADERS)
@problems(bp, 401, 402, 403, 404, 409, 410, 429, 503)
@access.user(Scope.CHATS_WRITE)
def regenerate_reply(chat_id: str, seq: int) -> Response:
    """Have the AI answer anew. The message keeps its number, and what it said before is kept."""
    return _made(regenerations.request, chat_id, seq=known_seq(seq))


@bp.route("/<string:chat_id>/title:regenerate", methods=["POST"])
@bp.doc(security=SIGNED_IN)
@limits.by_owner("create")
@bp.response(201, JobCreatedSchema, headers=CREATED_HEADERS)
@bp.alt_response(200, schema=JobCreatedSchema, description="Asked for before, and under way", headers=CREATED_HEADERS)
@problems(bp, 401, 402, 403, 404, 409, 429, 503)
@access.user(Scope.CHATS_WRITE)
def regenerate_title(chat_id: str) -> Response:
    """Have the AI find another title, of however little urgency. It replaces whichever there is, a person's too."""
    return _made(title_requests.request, chat_id)


def _made(request: Callable[..., tuple[str, bool]], chat_id: str, **what: int) -> Response:
    """The job that comes of a request in a chat."""
    queue: Queue = current_app.extensions["parley"]["queue"]
    queue.look()  # not while the chat is held
    with writing(chat_id) as (session, known):
        job_id, is_new = request(session, known, user_id=own_id(), settings=settings(), **what)
        if is_new:
            queue.admit(caller().owner)
    if is_new:
        current_app.extensions["parley"]["waker"].wake()
    return created(job_id, is_new=is_new)
