"""The stand-in's accounts: who may sign in, what their tokens are good for, and what was asked of them.

It keeps the forms of the contract and none of its strengths: passwords are compared as they are, and a token is
good until a test says otherwise.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from .documents import ago
from .script import Refuse, Reply

PASSWORD = "correct horse battery staple"
GUEST = "guest"


@dataclass
class Answer:
    """What a route of accounts answers, and the cookies it sets; an empty value takes one away."""

    status: int
    body: Any = None
    cookies: dict[str, str] = field(default_factory=dict)


@dataclass
class Account:
    """Somebody who may sign in."""

    user_id: str
    username: str
    display_name: str
    password: str = PASSWORD
    role: str = "user"
    keys: list[dict[str, Any]] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """As `GET /api/me` shows it."""
        return {
            "userId": self.user_id,
            "username": self.username,
            "displayName": self.display_name,
            "role": self.role,
            "createdAt": ago(1000),
        }


class Accounts:
    """Everything may be changed while it runs."""

    def __init__(self) -> None:
        self.allow_guests = True
        self.registration = "open"
        self.expires_in = 900
        self.people: dict[str, Account] = {}
        self.replies: dict[str, deque[Reply]] = {}
        """What becomes of the next requests to a path, in order."""
        self.asked: list[tuple[str, str]] = []
        """Method and path of each request, as they came."""
        self._tokens: dict[str, Account] = {}
        self._sessions: dict[str, Account] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def add(self, username: str, display_name: str | None = None, **fields: Any) -> Account:
        """Somebody with an account."""
        user_id = f"00000000-0000-4000-8000-{next(self._numbers):012}"
        self.people[username] = Account(user_id, username, display_name or username, **fields)
        return self.people[username]

    def count(self, path: str) -> int:
        """How often this path was asked for."""
        return [asked for _, asked in self.asked].count(path)

    def expire_tokens(self) -> None:
        """Every access token given out so far is refused from now on; sessions can still be renewed."""
        self._tokens.clear()

    def end_sessions(self) -> None:
        """Nothing can be renewed: everybody has to sign in again."""
        self._tokens.clear()
        self._sessions.clear()

    def owner(self, authorization: str | None, cookies: dict[str, str]) -> str | Refuse:
        """Whoever sends a request about jobs."""
        if authorization is None:
            return cookies.get("parley_guest", GUEST) if self.allow_guests else Refuse(401, "no_token")
        account = self._tokens.get(authorization.removeprefix("Bearer "))
        return Refuse(401, "invalid_token") if account is None else account.user_id

    def answer(
        self, method: str, path: str, body: Any, authorization: str | None, cookies: dict[str, str]
    ) -> Answer | Refuse:
        """Do as a request asks."""
        with self._lock:
            account = self._tokens.get((authorization or "").removeprefix("Bearer "))
            if path.startswith("/api/auth/") and path != "/api/auth/logout-all":
                return self._auth(path.removeprefix("/api/auth/"), body, cookies)
            if account is None:
                return Refuse(401, "invalid_token" if authorization else "no_token")
            return self._own(method, path, body, account)

    def _auth(self, verb: str, body: Any, cookies: dict[str, str]) -> Answer | Refuse:
        session = cookies.get("parley_refresh", "")
        if verb == "guest":
            number = f"guest-{next(self._numbers)}"
            cookie = {} if "parley_guest" in cookies else {"parley_guest": number}
            return Answer(204, cookies=cookie) if self.allow_guests else Refuse(403, "guests_not_allowed")
        if verb == "login":
            account = self.people.get(body["username"].lower())
            good = account is not None and account.password == body["password"]
            return self._begin(200, account) if account and good else Refuse(401, "wrong_credentials")
        if verb == "register":
            return self._register(body)
        account = self._sessions.pop(session, None)
        if verb == "logout":
            return Answer(204, cookies={"parley_refresh": ""})
        if account is None:
            return Refuse(401, "session_ended" if session else "no_refresh_token")
        return self._begin(200, account)

    def _register(self, body: Any) -> Answer | Refuse:
        if self.registration == "closed":
            return Refuse(403, "registration_closed")
        if self.registration == "invitation" and body.get("invitation") != "let-me-in":
            return Refuse(403, "invitation_invalid" if "invitation" in body else "invitation_required")
        if body["username"] in self.people:
            error = {"pointer": "/username", "code": "username_taken", "message": "This username is taken."}
            return Refuse(409, "username_taken", errors=(error,))
        wrong = []
        if len(body["username"]) < 3:
            wrong.append({"pointer": "/username", "code": "invalid_username", "message": "Use 3 to 32 characters."})
        if len(body["password"]) < 10:
            wrong.append({"pointer": "/password", "code": "too_short", "message": "At least 10 characters."})
        if wrong:
            return Refuse(422, "validation_failed", errors=tuple(wrong))
        account = self.add(body["username"], body.get("displayName"), password=body["password"])
        return self._begin(201, account)

    def _begin(self, status: int, account: Account) -> Answer:
        token, session = f"access-{next(self._numbers)}", f"refresh-{next(self._numbers)}"
        self._tokens[token] = self._sessions[session] = account
        document = {
            "accessToken": token,
            "tokenType": "Bearer",
            "expiresIn": self.expires_in,
            "user": account.document(),
        }
        return Answer(status, document, {"parley_refresh": session, "parley_guest": ""})

    def _own(self, method: str, path: str, body: Any, account: Account) -> Answer | Refuse:
        if path == "/api/auth/logout-all":
            self.end_sessions()
            return Answer(204, cookies={"parley_refresh": ""})
        if path.startswith("/api/me/keys"):
            return self._keys(method, path, body, account)
        if path == "/api/me/export":
            return Answer(200, {"user": account.document(), "jobs": []})
        if body is not None and "password" in body:
            present = body.get("currentPassword", body["password"])
            if present != account.password:
                return Refuse(403, "wrong_password", "This is not your present password.")
            account.password = body["password"]
        if method == "DELETE":
            del self.people[account.username]
            self.end_sessions()
            return Answer(204, cookies={"parley_refresh": ""})
        account.display_name = (body or {}).get("displayName", account.display_name)
        return Answer(200, account.document())

    def _keys(self, method: str, path: str, body: Any, account: Account) -> Answer | Refuse:
        if method == "GET":
            return Answer(200, {"items": account.keys})
        if method == "DELETE":
            account.keys = [key for key in account.keys if key["keyId"] != path.rpartition("/")[2]]
            return Answer(204)
        number = next(self._numbers)
        text = f"parley_{number:043}"
        key = {
            "keyId": f"key-{number}",
            "name": body["name"],
            "prefix": text[:14],
            "scopes": body["scopes"],
            "createdAt": ago(0),
            "expiresAt": body.get("expiresAt"),
            "lastUsedAt": None,
        }
        account.keys.append(key)
        return Answer(201, key | {"key": text})
