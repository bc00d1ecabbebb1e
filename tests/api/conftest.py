"""An HTTP client on the application, on this worker's database."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from argon2 import PasswordHasher
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine, create_engine
from werkzeug.routing import Rule

from api import live_stream
from api.app import create_app
from models import waiting
from models.base import Autocommit, Session
from models.passwords import Passwords
from models.settings import Settings

PATIENT_SECONDS = 30.0
CHEAP = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
OPERATOR = "an-operators-token-of-32-letters"


@pytest.fixture(scope="session")
def builders() -> Iterator[None]:
    """What writes the address of a route, compiled once for all applications: most of making one."""
    compile_builder, made = Rule._compile_builder, {}

    def compile_once(self: Rule, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        known = self.rule, append_unknown
        if known not in made:
            made[known] = compile_builder(self, append_unknown)
        return made[known]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rule, "_compile_builder", compile_once)
        yield


@pytest.fixture(scope="session")
def engines(bound: Settings) -> Iterator[None]:
    """The connections of one application serve the next on the same database: new ones learn each table anew."""
    made: dict[str, Engine] = {}

    def create_once(url: str, **options: Any) -> Engine:
        if url != bound.database_url:
            return create_engine(url, **options)
        known = repr(options)
        if known not in made:
            made[known] = create_engine(url, **options)
        return made[known]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("models.base.create_engine", create_once)
        yield
    for engine in made.values():
        engine.dispose()


@pytest.fixture(autouse=True)
def _no_long_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who calls each route there is does not want to hear one of them out. `test_live_stream` does."""
    monkeypatch.setattr(live_stream, "LONGEST_SECONDS", 0.0)


@pytest.fixture
def make_app(db: Settings, builders: None, engines: None) -> Iterator[Callable[..., Flask]]:
    """Makes applications with settings of their own. They bind this process's sessions, which ends with the test.

    They are patient with the database: how patient the product is, the tests on real processes look at.
    """
    before = [maker.kw["bind"] for maker in (Session, Autocommit)]

    def make(**ours: Any) -> Flask:
        return create_app(dataclasses.replace(db, **{"db_answer_seconds": PATIENT_SECONDS, **ours}), passwords=CHEAP)

    yield make
    for maker, bind in zip((Session, Autocommit), before, strict=True):
        if maker.kw["bind"].url != bind.url:
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
