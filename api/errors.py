"""Errors: every failure as RFC 9457 problem+json with a stable ``code`` and the request's id.

Refusals come up from `models`; here, and only here, they get an HTTP status.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, current_app, g, json, request
from gunicorn.http.errors import ParseException
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from api import oversight
from models import logs
from models.account_errors import (
    InvitationInvalid,
    InvitationRequired,
    KeyNotFound,
    RegistrationClosed,
    ScopeRefused,
    SessionEnded,
    TooManyKeys,
    UsernameTaken,
    UserNotFound,
    WeakPassword,
    WrongCredentials,
    WrongPassword,
)
from models.ai_errors import AiNotForYou, AiOff, NothingToAnswer, NothingToName, OvertakenReply
from models.base import is_outage
from models.errors import (
    AlreadyFinished,
    BacklogFull,
    BatchCancelled,
    BatchGone,
    BatchNotFound,
    BudgetUsed,
    ChatBusy,
    ChatNotFound,
    DailyQuotaUsed,
    DeadLetterNotFound,
    GroupFull,
    IdempotencyKeyReused,
    JobGone,
    JobNotFound,
    LastAdmin,
    MemberNotFound,
    MessageDeleted,
    MessageNotFound,
    NotAGroup,
    NotChatAdmin,
    NotWithYourself,
    NotYourMessage,
    OwnerBacklogFull,
    RateLimited,
    Refusal,
    SearchTooBroad,
    TooManyMembers,
    UnknownMember,
    UnknownReplyTo,
)

STATUS_OF: Mapping[type[Refusal], int] = {
    JobNotFound: 404,
    JobGone: 410,
    BatchNotFound: 404,
    BatchGone: 410,
    BatchCancelled: 409,
    DeadLetterNotFound: 404,
    IdempotencyKeyReused: 422,
    AlreadyFinished: 409,
    BacklogFull: 503,
    OwnerBacklogFull: 429,
    RateLimited: 429,
    DailyQuotaUsed: 429,
    BudgetUsed: 402,
    RegistrationClosed: 403,
    InvitationRequired: 403,
    InvitationInvalid: 403,
    UsernameTaken: 409,
    WeakPassword: 422,
    WrongCredentials: 401,
    WrongPassword: 403,
    SessionEnded: 401,
    UserNotFound: 404,
    KeyNotFound: 404,
    TooManyKeys: 409,
    ScopeRefused: 403,
    ChatNotFound: 404,
    ChatBusy: 503,
    MessageNotFound: 404,
    MessageDeleted: 410,
    NotYourMessage: 403,
    UnknownReplyTo: 422,
    UnknownMember: 422,
    NotWithYourself: 422,
    TooManyMembers: 400,
    GroupFull: 409,
    NotAGroup: 409,
    NotChatAdmin: 403,
    MemberNotFound: 404,
    LastAdmin: 409,
    SearchTooBroad: 422,
    AiOff: 409,
    AiNotForYou: 403,
    NothingToAnswer: 409,
    NothingToName: 409,
    OvertakenReply: 409,
}
CODE_OF: Mapping[int, str] = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    409: "conflict",
    410: "gone",
    413: "body_too_large",
    415: "unsupported_media_type",
    422: "validation_failed",
    429: "too_many_requests",
    500: "internal_error",
    503: "unavailable",
}
RETRY_SECONDS = 2
BACKLOG_SECONDS = 15
"""After a refusal because too much is waiting: it will not be better at once."""
CRASHED = "Something went wrong here. It has been logged under the request id."
DRAINED_BYTES = 32 * 1024 * 1024
DRAINED_SECONDS = 10.0
_CHUNK = 64 * 1024

log = logs.logger()


def problem(  # noqa: PLR0913
    status: int,
    *,
    code: str | None = None,
    detail: str | None = None,
    errors: list[dict[str, Any]] | None = None,
    headers: Mapping[str, str] | None = None,
    more: Mapping[str, Any] | None = None,
) -> Response:
    """A problem+json response. ``errors`` point at fields: ``[{pointer, code, message}]``, with ``line`` for NDJSON."""
    code = code or CODE_OF.get(status, "error")
    body: dict[str, Any] = {"type": f"urn:parley:problem:{code}", "title": HTTPStatus(status).phrase, "status": status}
    if detail:
        body["detail"] = detail
    body |= {"code": code, "requestId": g.get("request_id", "")}
    if errors:
        body["errors"] = errors
    body |= more or {}
    response = current_app.response_class(json.dumps(body), status=status, mimetype="application/problem+json")
    response.headers.update(dict(headers or {}))
    return response


def flattened(messages: Any, pointer: str = "") -> list[dict[str, str]]:
    """Marshmallow's nested messages as a list of ``{pointer, code, message}``.

    Our schemas write a message as ``code: sentence``.

    >>> flattened({"message": ["required: Say something."]})
    [{'pointer': '/message', 'code': 'required', 'message': 'Say something.'}]
    """
    if isinstance(messages, Mapping):
        return [
            row
            for name, inner in messages.items()
            for row in flattened(inner, pointer if name == "_schema" else f"{pointer}/{name}")
        ]
    rows = []
    for message in messages if isinstance(messages, list) else [messages]:
        code, separator, sentence = str(message).partition(": ")
        rows.append(
            {"pointer": pointer, "code": code if separator else "invalid", "message": sentence if separator else code}
        )
    return rows


def from_http_exception(error: HTTPException) -> Response:
    """Werkzeug's and webargs' errors. Keeps their headers: a 405 without ``Allow`` says only half."""
    data = getattr(error, "data", None) or {}
    status = error.code or 500
    messages = data.get("messages") or {}
    errors = data.get("errors") or (
        flattened(next(iter(messages.values()), {})) if isinstance(messages, Mapping) else None
    )
    kept = {
        name: value
        for name, value in error.get_headers(request.environ)
        if name.lower() not in ("content-type", "content-length")
    }
    detail = data.get("detail") or _detail(error, status)
    return problem(status, code=data.get("code"), detail=detail, errors=errors, headers=kept, more=data.get("more"))


def _detail(error: HTTPException, status: int) -> str | None:
    # Werkzeug's own sentences are plain enough, but for these.
    return {
        404: "There is nothing at this address.",
        422: "The request is not valid; errors says where.",
        500: CRASHED,
    }.get(status, error.description)


def add_to(app: Flask) -> None:
    """Register a handler for each kind of failure."""

    @app.before_request
    def refuse_large_body() -> None:
        # Before any other refusal: only this one reads the body away, so that the answer can be heard.
        length = request.content_length
        if length and length > (request.max_content_length or 0):
            raise RequestEntityTooLarge

    @app.errorhandler(Refusal)
    def refused(refusal: Refusal) -> Response:
        status = STATUS_OF[type(refusal)]
        if refusal.anothers is not None:
            oversight.refused(refusal.code, subject=refusal.anothers)
        headers = {"Retry-After": str(refusal.retry_seconds or BACKLOG_SECONDS)} if status in (429, 503) else {}
        if status == HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = "Bearer"
        where = {"pointer": refusal.pointer, "code": refusal.code, "message": refusal.detail}
        errors = [where] if refusal.pointer is not None else None
        return problem(status, code=refusal.code, detail=refusal.detail, errors=errors, headers=headers)

    @app.errorhandler(SQLAlchemyError)
    def no_database(error: SQLAlchemyError) -> Response:
        if not is_outage(error):
            return crashed(error)
        log.warning("database_unavailable", error=type(error).__name__)
        return problem(
            503,
            code="database_unavailable",
            detail="The database does not answer, so what became of this request is open. Send it again; "
            "with an Idempotency-Key that makes no second job.",
            headers={"Retry-After": str(RETRY_SECONDS)},
        )

    @app.errorhandler(RequestEntityTooLarge)
    def too_large(_: RequestEntityTooLarge) -> Response:
        _discard_body()
        limit = (request.max_content_length or 0) // 1024
        return problem(413, detail=f"The body is larger than {limit} KiB.")

    @app.errorhandler(Exception)
    def crashed(error: Exception) -> Response:
        log.error("request_failed", method=request.method, path=request.path, exc_info=error)
        return problem(500, detail=CRASHED)


def _discard_body() -> None:
    """Read the rest of a refused body, up to a bound.

    A client that is still sending when the connection closes sees a reset
    instead of the answer.
    """
    until = time.monotonic() + DRAINED_SECONDS
    stream = request.environ["wsgi.input"]
    connection = request.environ.get("gunicorn.socket")
    left = min(request.content_length or DRAINED_BYTES, DRAINED_BYTES)
    try:
        if connection is not None:
            connection.settimeout(DRAINED_SECONDS)
        while left > 0 and time.monotonic() < until and (chunk := stream.read(min(_CHUNK, left))):
            left -= len(chunk)
        if connection is not None:
            connection.settimeout(None)
            if (request.content_length or 0) > DRAINED_BYTES or time.monotonic() >= until:
                connection.shutdown(socket.SHUT_RD)  # nobody reads the rest
    except (OSError, ParseException) as error:
        log.info("body_not_drained", error=type(error).__name__)
