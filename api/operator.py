"""The operator: who may see and redrive what others could not answer.

Until accounts exist there is one, and whoever holds ``ADMIN_TOKEN`` is it.
"""

from __future__ import annotations

import hmac

from flask import current_app, request
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Forbidden, Unauthorized


def require_operator() -> None:
    """Let only the operator pass; for ``before_request`` of a blueprint, so that no route can be forgotten.

    Raises:
        Unauthorized: no bearer token came.
        Forbidden: another one did, or nobody is operator here (``ADMIN_TOKEN`` is empty).
    """
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthorized(
            "Send the operator's token: Authorization: Bearer <ADMIN_TOKEN>.",
            www_authenticate=WWWAuthenticate("bearer"),
        )
    expected = current_app.config["SETTINGS"].admin_token
    # Compared also when there is none, so that the time taken does not tell.
    same = hmac.compare_digest(token.strip().encode(), expected.encode())
    if not expected or not same:
        raise Forbidden("This token is not the operator's.")
