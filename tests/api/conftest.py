"""An HTTP client on the application, on this worker's database."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator

import pytest
from argon2 import PasswordHasher
from flask import Flask
from flask.testing import FlaskClient

from api.app import create_app
from models import waiting
from models.base import Autocommit, Session
from models.passwords import Passwords
from models.settings import Settings

PATIENT_SECONDS = 30.0
CHEAP = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
OPERATOR = "an-operators-token-of-32-letters"


@pytest.fixture
def make_app(db: Settings) -> Iterator[Callable[..., Flask]]:
    """Makes applications with settings of their own. They bind this process's sessions, which ends with the test.

    They are patient with the database: how patient the product is, the tests on real processes look at.
    """
    before = [maker.kw["bind"] for maker in (Session, Autocommit)]
    yield lambda **ours: create_app(
        dataclasses.replace(db, **{"db_answer_seconds": PATIENT_SECONDS, **ours}), passwords=CHEAP
    )
    for maker, bind in zip((Session, Autocommit), before, strict=True):
        if maker.kw["bind"] is not bind:
            maker.kw["bind"].dispose()
        maker.configure(bind=bind)
    waiting.answer_within(math.inf)


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    """The application, with an operator."""
    return make_app(admin_token=OPERATOR)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """Speaks HTTP with it, without a socket."""
    return app.test_client()


@pytest.fixture
def operator() -> dict[str, str]:
    """The operator's headers."""
    return {"Authorization": f"Bearer {OPERATOR}"}
