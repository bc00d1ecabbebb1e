"""Users, roles and invitations, for admins."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.api.accounts import PASSWORD, Headers, Person, bearer, notes
from tests.api.conftest import OPERATOR


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    """Where anybody may register, with an operator."""
    return make_app(registration="open", admin_token=OPERATOR)


def test_the_first_admin_is_made_with_the_operators_token(make_app: Callable[..., Flask], operator: Headers) -> None:
    """Invite, register, find, give the role: after that ADMIN_TOKEN is not needed any more."""
    app = make_app(registration="invitation", admin_token=OPERATOR)
    client = app.test_client()

    invitation = client.post("/api/invitations", headers=operator).get_json()
    said = {"username": "anna", "password": PASSWORD, "invitation": invitation["code"]}
    session = client.post("/api/auth/register", json=said).get_json()
    (found,) = client.get("/api/users?username=Anna", headers=operator).get_json()["items"]
    changed = client.patch(f"/api/users/{found['userId']}", json={"role": "admin"}, headers=operator)

    assert changed.get_json()["role"] == "admin"
    assert client.post("/api/invitations", headers=bearer(session["accessToken"])).status_code == 201
    owner = f"user:{found['userId']}"
    assert notes("role_changed") == [("operator", owner)]
    assert notes("invitation_made") == [("operator", None), (owner, None)]


def test_an_admin_ends_all_sessions_of_somebody(app: Flask, operator: Headers) -> None:
    """And nobody else's; it is on record, and of no use for somebody who is not there."""
    anna, bert = Person(app, "anna"), Person(app, "bert")
    client = app.test_client()

    answers = [
        client.post(f"/api/users/{user_id}/logout-all", headers=operator).status_code
        for user_id in (anna.id, str(uuid.uuid4()), "nobody")
    ]

    assert answers == [204, 404, 404]
    assert client.get("/api/me", headers=anna.headers).status_code == 401
    assert client.get("/api/me", headers=bert.headers).status_code == 200
    assert notes("user_logged_out_everywhere") == [("operator", anna.owner)]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", "/api/users"), ("PATCH", "/api/users/{id}"), ("POST", "/api/users/{id}/logout-all")),
        ("POST", "/api/invitations"),
    ],
)
@pytest.mark.parametrize(
    ("role", "status", "code"), [(None, 401, "no_token"), ("user", 403, "forbidden"), ("operator", 403, "forbidden")]
)
def test_only_admins_get_in(app: Flask, method: str, path: str, role: str | None, status: int, code: str) -> None:
    """Not even to give themselves the role."""
    anna = Person(app).has(role or "user")
    headers = anna.headers if role else {}

    refused = app.test_client().open(
        path.format(id=anna.id), method=method, json={"role": "admin"} if method == "PATCH" else None, headers=headers
    )

    assert (refused.status_code, refused.get_json()["code"]) == (status, code)
    assert app.test_client().get("/api/me", headers=anna.headers).get_json()["role"] == (role or "user")


def test_the_list_covers_every_user_once_the_latest_first(app: Flask, operator: Headers) -> None:
    """Without phone numbers and those who are gone; looking at it is on record."""
    people = [Person(app, name) for name in ("anna", "bert", "cleo", "dora", "emil")]
    people[1].browser.delete("/api/me", json={"password": PASSWORD}, headers=people[1].headers)

    seen: list[dict[str, str]] = []
    query: dict[str, object] | None = {"limit": 2}
    while query is not None:
        page = app.test_client().get("/api/users", query_string=query, headers=operator).get_json()
        seen += page["items"]
        query = page["nextCursor"] and {"limit": 2, "cursor": page["nextCursor"]}

    assert [user["username"] for user in seen] == ["emil", "dora", "cleo", "anna"]
    assert set(seen[0]) == {"userId", "username", "displayName", "role", "createdAt", "lastActiveAt"}
    assert notes("users_listed") == [("operator", None)] * 2


def test_whose_a_key_is_can_be_found_by_how_it_begins(app: Flask, operator: Headers) -> None:
    """When one turns up in a log or a repository; a revoked one does no harm."""
    anna, client = Person(app), app.test_client()
    Person(app, "bert")
    made = client.post("/api/me/keys", json={"name": "k", "scopes": ["jobs:read"]}, headers=anna.headers).get_json()
    address = f"/api/users?keyPrefix={made['prefix']}"

    before = client.get(address, headers=operator).get_json()["items"]
    client.delete(f"/api/me/keys/{made['keyId']}", headers=anna.headers)

    assert [user["userId"] for user in before] == [anna.id]
    assert client.get(address, headers=operator).get_json()["items"] == []


def test_a_role_that_is_taken_away_is_gone_at_once(app: Flask, operator: Headers) -> None:
    """In this process; elsewhere within seconds."""
    anna, client = Person(app).has("admin"), app.test_client()
    assert client.get("/api/users", headers=anna.headers).status_code == 200

    client.patch(f"/api/users/{anna.id}", json={"role": "user"}, headers=operator)

    assert client.get("/api/users", headers=anna.headers).get_json()["code"] == "forbidden"


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("nonsense", {"role": "admin"}, 404, "user_not_found"),
        ("46bedf00-6eee-4cd8-a948-ccd3065cdc9a", {"role": "admin"}, 404, "user_not_found"),
        ("{id}", {"role": "king"}, 422, "validation_failed"),
        ("{id}", {"role": None}, 422, "validation_failed"),
        ("{id}", {}, 422, "validation_failed"),
    ],
)
def test_a_role_that_cannot_be_given_is_refused(
    app: Flask, operator: Headers, path: str, body: dict[str, object], status: int, code: str
) -> None:
    """To nobody, or one that does not exist."""
    anna = Person(app)

    refused = app.test_client().patch(f"/api/users/{path.format(id=anna.id)}", json=body, headers=operator)

    assert (refused.status_code, refused.get_json()["code"]) == (status, code)
    assert notes("role_changed") == []


@pytest.mark.parametrize("query", ["username=a", "keyPrefix=abc", "keyPrefix=parley_", "limit=0", "cursor=x", "a=1"])
def test_a_bad_query_is_refused(client: FlaskClient, operator: Headers, query: str) -> None:
    """With a pointer at the parameter."""
    refused = client.get(f"/api/users?{query}", headers=operator)

    assert (refused.status_code, refused.get_json()["code"]) == (422, "validation_failed")
