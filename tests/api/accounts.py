"""People with accounts, for the tests of the API."""

from __future__ import annotations

from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from models.base import Session

PASSWORD = "correct horse battery staple"
Headers = dict[str, str]


class Person:
    """Somebody with an account and a browser of their own."""

    def __init__(self, app: Flask, username: str = "anna", *, browser: FlaskClient | None = None) -> None:
        self.browser = browser or app.test_client()
        response = self.browser.post("/api/auth/register", json={"username": username, "password": PASSWORD})
        assert response.status_code == 201, response.get_json()
        self.session: dict[str, Any] = response.get_json()
        self.username, self.id = username, str(self.session["user"]["userId"])

    @property
    def headers(self) -> Headers:
        """With the access token of the newest session."""
        return bearer(self.session["accessToken"])

    @property
    def owner(self) -> str:
        """The owner word."""
        return f"user:{self.id}"

    def log_in(self) -> None:
        """A session more, in the same browser."""
        response = self.browser.post("/api/auth/login", json={"username": self.username, "password": PASSWORD})
        assert response.status_code == 200, response.get_json()
        self.session = response.get_json()

    def has(self, role: str) -> Person:
        """Give them a role."""
        with Session.begin() as session:
            session.execute(text("UPDATE users SET role = :role WHERE id = :id"), {"role": role, "id": self.id})
        return self


def bearer(token: str) -> Headers:
    return {"Authorization": f"Bearer {token}"}


def refresh_cookie(browser: FlaskClient) -> str | None:
    """What a browser has to prolong its session with."""
    cookie = browser.get_cookie("parley_refresh", path="/api/auth")
    return None if cookie is None else cookie.value


def notes(action: str) -> list[tuple[str, str | None]]:
    """``(actor, subject)`` of what is on record."""
    with Session() as session:
        rows = session.execute(
            text("SELECT actor, subject FROM audit_log WHERE action = :a ORDER BY id"), {"a": action}
        )
        return [(row.actor, row.subject) for row in rows]
