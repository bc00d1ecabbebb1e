"""An HTTP client on the application, on this worker's database."""

from __future__ import annotations

import dataclasses

import pytest
from flask import Flask
from flask.testing import FlaskClient

from api.app import create_app
from models.settings import Settings

OPERATOR = "an-operators-token-of-32-letters"


@pytest.fixture
def app(db: Settings) -> Flask:
    """The application, with an operator."""
    return create_app(dataclasses.replace(db, admin_token=OPERATOR))


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """Speaks HTTP with it, without a socket."""
    return app.test_client()


@pytest.fixture
def operator() -> dict[str, str]:
    """The operator's headers."""
    return {"Authorization": f"Bearer {OPERATOR}"}
