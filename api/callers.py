"""Callers: who sends this request, from the credential that came with it.

    Authorization: Bearer <ADMIN_TOKEN>   the first operator
    Authorization: Bearer parley_…        an API key's user, within its scopes
    Authorization: Bearer <JWT>           whoever signed in
    Authorization: Bearer <METRICS_TOKEN> nobody: it opens ``/metrics`` and nothing else
    Cookie: parley_guest=…                a browser's guest
    nothing                               the guest of its address

A credential that came and is not good is refused, never passed over: a caller
whose token has expired must not find itself a guest. (A guest cookie says nothing
of anybody; one that is not ours is as none.) Who stands behind a good one
is remembered for some seconds, so that a poll costs no second query.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from dataclasses import dataclass

from flask import Request, g
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Unauthorized

from api.guest_secrets import GuestSecrets
from api.tokens import InvalidToken, Tokens
from models import metrics, owners, principals
from models.api_keys import Scope
from models.base import bare
from models.principals import Principal
from models.settings import Settings
from models.users import Role

KEY_PREFIX = "parley_"
GUEST_COOKIE = "parley_guest"
MOST_REMEMBERED = 10_000
LONGEST_CREDENTIAL = 4096


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Whoever sends a request."""

    owner: str
    """`models.owners`: scope of idempotency keys, of fairness, of limits, and of what may be read."""
    role: Role | None = None
    """Null: a guest."""
    scopes: frozenset[Scope] | None = None
    """What the credential is good for; null: whatever the caller may."""
    user_id: str | None = None
    session_id: str | None = None

    @property
    def reader(self) -> str:
        """For the ``reader`` of verbs: an operator may read what is others'."""
        may_read_all = self.is_operator and (self.scopes is None or Scope.ADMIN in self.scopes)
        return owners.ANYONE if may_read_all else self.owner

    @property
    def is_operator(self) -> bool:
        """Or an admin."""
        return self.role in (Role.OPERATOR, Role.ADMIN)


class Callers:
    """One for each process: it remembers."""

    def __init__(self, settings: Settings) -> None:
        self._admin_token, self._guests = settings.admin_token.encode(), settings.allow_guests
        self._metrics_token = settings.metrics_token.encode()
        self.guest_secrets = GuestSecrets(settings)
        self._tokens = Tokens(settings)
        self._remembered: dict[bytes, tuple[float, Caller]] = {}

    def sender(self, request: Request) -> Caller:
        """Whoever sent it.

        Raises:
            Unauthorized: nobody it says, or nobody who may.
        """
        if (header := request.headers.get("Authorization")) is not None:
            return self._bearer(header)
        if not self._guests:
            raise no_token()
        secret = self.guest_secrets.within(request.cookies.get(GUEST_COOKIE))
        return Caller(owner=owners.of_guest(secret) if secret else owners.of_address(request.remote_addr))

    def known(self, request: Request) -> Caller | None:
        """Whoever sent it, for a route that anybody may use; None: nobody who may be sure of it."""
        try:
            return self.sender(request)
        except Unauthorized:
            return None

    def is_scraper(self, request: Request) -> bool:
        """Whether it may read the metrics, and nothing else."""
        return metrics.may_read(request.headers.get("Authorization", ""), self._metrics_token)

    def _bearer(self, header: str) -> Caller:
        scheme, _, credential = header.partition(" ")
        credential = credential.strip()
        if scheme.lower() != "bearer" or not credential:
            raise no_token()
        kept = self._remembered.get(_digest(credential))
        if kept is not None and kept[0] > time.monotonic():
            return kept[1]
        return self._looked_up(credential)

    def _looked_up(self, credential: str) -> Caller:
        if len(credential) > LONGEST_CREDENTIAL:
            raise invalid_token()
        # Compared also when there is none, so that the time taken does not tell.
        if hmac.compare_digest(credential.encode(), self._admin_token) and self._admin_token:
            return Caller(owner=owners.OPERATOR, role=Role.ADMIN)
        seconds = principals.KEPT_SECONDS
        if credential.startswith(KEY_PREFIX):
            with bare() as session:
                caller = _caller(principals.of_key(session, credential))
        else:
            try:
                claims = self._tokens.read(credential)
            except InvalidToken:
                raise invalid_token() from None
            seconds = min(seconds, claims.expires_at - time.time())
            with bare() as session:
                found = principals.of_session(session, claims.session_id, user_id=claims.user_id)
            caller = _caller(found, session_id=claims.session_id)
        self._remember(credential, caller, seconds)
        return caller

    def _remember(self, credential: str, caller: Caller, seconds: float) -> None:
        if len(self._remembered) >= MOST_REMEMBERED:
            self._remembered.clear()
        self._remembered[_digest(credential)] = (time.monotonic() + seconds, caller)

    def forget(self, user_id: str) -> None:
        """After something of this user's was revoked here: this process must not be the last to know."""
        gone = [digest for digest, (_, kept) in self._remembered.items() if kept.user_id == user_id]
        for digest in gone:
            self._remembered.pop(digest, None)


def _digest(credential: str) -> bytes:
    """A twelfth of a token's memory."""
    return hashlib.sha256(credential.encode()).digest()


def _caller(principal: Principal | None, *, session_id: str | None = None) -> Caller:
    if principal is None:
        raise invalid_token()
    return Caller(
        owner=owners.of_user(principal.user_id),
        role=principal.role,
        scopes=principal.scopes,
        user_id=principal.user_id,
        session_id=session_id,
    )


def no_token() -> Unauthorized:
    """The request says nothing of who sends it, and must."""
    return _refused("no_token", "Send a token: Authorization: Bearer <token>.", error="No token")


def invalid_token() -> Unauthorized:
    """It says something that is not, or no longer, true. Which, only the log may know."""
    return _refused("invalid_token", "The token is not valid, or no longer.", error="Invalid token")


def _refused(code: str, detail: str, *, error: str) -> Unauthorized:
    refusal = Unauthorized(detail, www_authenticate=WWWAuthenticate("bearer"))
    refusal.data = {"code": code, "more": {"error": error}}  # type: ignore[attr-defined]
    return refusal


def caller() -> Caller:
    """Whoever sends the present request, as `api.access` has found."""
    found: Caller = g.caller
    return found
