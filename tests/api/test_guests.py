"""Guests: the cookie that makes a browser an owner, and the address that stands for all others."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from api.guest_secrets import GuestSecrets
from models.settings import Settings
from tests.factories import TOKEN_KEY, a_guest, the_job


def cookie_of(client: FlaskClient) -> Any:
    """The guest cookie of this browser."""
    return client.get_cookie("parley_guest", path="/api")


def owner_of_a_post(client: FlaskClient, **headers: str) -> str:
    """Whose a job is that it posts. Header names are written with ``_``."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    made = client.post("/api/jobs", json={"message": "Hello"}, headers=named).get_json()
    return the_job(made["jobId"]).owner


def test_a_browser_becomes_a_guest_of_its_own(client: FlaskClient) -> None:
    """A cookie that scripts cannot read, other sites cannot send, and that goes to the API only."""
    response = client.post("/api/auth/guest")

    cookie = cookie_of(client)
    assert (response.status_code, response.data) == (204, b"")
    assert (cookie.http_only, cookie.same_site, cookie.path, cookie.secure) == (True, "Strict", "/api", False)
    assert cookie.max_age == 30 * 24 * 3600
    secret = cookie.value.partition(".")[0]
    assert len(secret) == 43  # 256 bits
    assert owner_of_a_post(client) == f"guest:{hashlib.sha256(secret.encode()).hexdigest()}"


def test_two_browsers_are_two_guests(app: Flask) -> None:
    """Also behind one address."""
    browsers = app.test_client(), app.test_client()
    for browser in browsers:
        browser.post("/api/auth/guest")

    assert len({owner_of_a_post(browser) for browser in browsers}) == 2


def test_a_guest_stays_the_same_one(client: FlaskClient) -> None:
    """Asked twice there is no second cookie."""
    client.post("/api/auth/guest")
    first = cookie_of(client).value

    again = client.post("/api/auth/guest")

    assert (again.status_code, "Set-Cookie" in again.headers, cookie_of(client).value) == (204, False, first)


@pytest.mark.parametrize(
    "forge",
    [
        lambda _: "",
        lambda _: "1",
        lambda _: ".",
        lambda _: "x" * 43,
        lambda ours: ours.partition(".")[0],
        lambda ours: ours.partition(".")[0] + ".",
        lambda ours: "x" + ours[1:],
        lambda ours: ours[:-1] + ("0" if ours[-1] != "0" else "1"),
        lambda ours: ours + "0",
        lambda ours: ours.upper(),
        lambda ours: "." + ours.partition(".")[2],
        lambda _: "ü" * 43 + "." + "ü" * 64,
        lambda ours: ours + "." + "x" * 5000,
        lambda _: elsewhere().new_cookie(),
    ],
)
def test_a_cookie_that_is_none_of_ours_is_as_none(client: FlaskClient, forge: Callable[[str], str]) -> None:
    """Else whoever makes one up for each request would be as many owners as it likes."""
    forged = f"parley_guest={forge(a_guest()[0])}".encode().decode("latin-1")

    owner = owner_of_a_post(client, Cookie=forged)
    response = client.post("/api/auth/guest", headers={"Cookie": forged})

    assert owner == "address:127.0.0.1"
    assert "parley_guest=" in response.headers["Set-Cookie"]


def elsewhere() -> GuestSecrets:
    """Another installation."""
    return GuestSecrets(Settings(token_key="another-installations-key-of-43-characters-"))


def test_a_guest_outlives_a_change_of_keys(make_app: Callable[..., Flask]) -> None:
    """For as long as the old one is accepted besides."""
    cookie, owner = a_guest()
    changed = {"token_key": "the-next-key-of-the-tests-of-43-characters-", "previous_token_key": TOKEN_KEY}

    for settings, expected in (
        ({}, owner),
        (changed, owner),
        ({"token_key": changed["token_key"]}, "address:127.0.0.1"),
    ):
        client = make_app(**settings).test_client()
        client.set_cookie("parley_guest", cookie, path="/api")
        assert owner_of_a_post(client) == expected


def test_where_there_are_no_guests_nobody_becomes_one(make_app: Callable[..., Flask]) -> None:
    """And a cookie of before is of no use."""
    client = make_app(allow_guests=False).test_client()
    client.set_cookie("parley_guest", a_guest()[0], path="/api")

    refused, posted = client.post("/api/auth/guest"), client.post("/api/jobs", json={"message": "Hello"})

    assert (refused.status_code, refused.get_json()["code"]) == (403, "guests_not_allowed")
    assert (posted.status_code, posted.get_json()["code"]) == (401, "no_token")


@pytest.mark.parametrize(
    ("environment", "scheme", "secure"),
    [("development", "http", False), ("development", "https", True), ("production", "http", True)],
)
def test_the_cookie_is_for_https_only_where_there_is_https(
    make_app: Callable[..., Flask], environment: str, scheme: str, secure: bool
) -> None:
    """In production always: whatever stands before it, the browser came by https."""
    client = make_app(environment=environment).test_client()

    response = client.post("/api/auth/guest", base_url=f"{scheme}://localhost")

    assert ("Secure" in response.headers["Set-Cookie"]) == secure


@pytest.mark.parametrize(
    ("proxies", "forwarded", "owner"),
    [
        (0, "198.51.100.7", "127.0.0.1"),  # nobody is believed
        (1, None, "127.0.0.1"),
        (1, "198.51.100.7", "198.51.100.7"),
        (1, "203.0.113.9, 198.51.100.7", "198.51.100.7"),  # the first was written by the caller
        (1, "203.0.113.9,, 198.51.100.7", "198.51.100.7"),
        (2, "203.0.113.9, 198.51.100.7, 192.0.2.1", "198.51.100.7"),
        (2, "198.51.100.7", "127.0.0.1"),  # a proxy of ours was passed by
        (1, "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        (1, "203.0.113.9, 2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        (1, "::ffff:198.51.100.7", "198.51.100.7"),
    ],
)
def test_so_many_proxies_are_believed_and_what_the_caller_wrote_is_not(
    make_app: Callable[..., Flask], proxies: int, forwarded: str | None, owner: str
) -> None:
    """Or whoever sends the header would be as many owners as it likes."""
    client = make_app(trusted_proxies=proxies).test_client()
    headers = {} if forwarded is None else {"X_Forwarded_For": forwarded}

    assert owner_of_a_post(client, **headers) == f"address:{owner}"


def test_of_a_proxy_only_address_and_scheme_are_believed(make_app: Callable[..., Flask]) -> None:
    """A forged host or prefix would end up in addresses that we write."""
    client = make_app(trusted_proxies=1).test_client()
    forged = {f"X-Forwarded-{name}": value for name, value in {"Host": "evil.example", "Prefix": "/evil"}.items()}

    response = client.post("/api/auth/guest", headers={**forged, "X-Forwarded-Proto": "https"})
    made = client.post("/api/jobs", json={"message": "Hello"}, headers=forged)

    assert "Secure" in response.headers["Set-Cookie"]
    assert "evil" not in made.headers["Location"]


def test_without_proxies_nobody_says_https(client: FlaskClient) -> None:
    """The caller could."""
    response = client.post("/api/auth/guest", headers={"X-Forwarded-Proto": "https"})

    assert "Secure" not in response.headers["Set-Cookie"]
