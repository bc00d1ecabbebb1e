"""What a page is told before it begins."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.exc import TimeoutError as PoolTimeout

from api import callers
from models import flags, owners
from models.flags import Flag
from tests.factories import a_user, bearer, signed_in

HERE = "ws://localhost:8001/ws"


def told(client: FlaskClient, headers: dict[str, str] | None = None) -> str | None:
    answer = client.get("/api/config", headers=headers or {})
    assert answer.status_code == 200
    url: str | None = answer.get_json()["gatewayUrl"]
    return url


def test_a_share_of_the_owners_is_told_of_the_gateway(make_app: Callable[..., Flask]) -> None:
    """The same one always; whoever is nobody, or nobody any more, is not in it."""
    client = make_app(flags="gateway=50").test_client()
    people = [a_user() for _ in range(40)]

    found = {user: told(client, signed_in(user)) for user in people}

    in_it = {user for user in people if flags.place(Flag.GATEWAY, owners.of_user(user)) < 50}
    assert found == {user: HERE if user in in_it else None for user in people}
    assert told(client, bearer("nobody's")) is None
    assert told(client, signed_in(min(in_it), seconds=-60)) is None


@pytest.mark.parametrize(("share", "url"), [("", HERE), ("gateway=100", HERE), ("gateway=0", None)])
def test_where_all_have_it_or_none_it_matters_not_who_asks(
    make_app: Callable[..., Flask], share: str, url: str | None
) -> None:
    """A guest, too."""
    client = make_app(flags=share).test_client()

    assert [told(client), told(client, signed_in(a_user()))] == [url, url]


def test_where_all_have_it_nobody_is_looked_up(make_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch) -> None:
    """A page begins without a database, too."""

    def lost() -> None:
        raise PoolTimeout

    headers, client = signed_in(a_user()), make_app().test_client()
    monkeypatch.setattr(callers, "bare", lost)

    assert told(client, headers) == HERE
