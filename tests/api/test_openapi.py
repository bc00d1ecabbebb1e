"""The OpenAPI document, and the application held against it."""

from __future__ import annotations

import json
import re
from typing import Any

import hypothesis
import pytest
import schemathesis
from flask import Flask
from flask.testing import FlaskClient
from openapi_spec_validator import validate
from schemathesis.config import SchemathesisConfig
from schemathesis.core.result import Ok

from models import heartbeats
from models.base import Session
from models.states import JobStatus
from tests.api.conftest import OPERATOR
from tests.factories import a_job


def test_the_document_is_valid_openapi(client: FlaskClient) -> None:
    """Version 3.1, by the specification's own schema."""
    document = client.get("/api/openapi.json").get_json()

    validate(document)
    assert document["openapi"].startswith("3.1")


def test_every_route_below_api_and_health_is_in_the_document(app: Flask, client: FlaskClient) -> None:
    """Nothing is served that is not documented, but the document and its reader."""
    documented = set(client.get("/api/openapi.json").get_json()["paths"])

    served = {rule.rule.replace("<string:", "{").replace(">", "}") for rule in app.url_map.iter_rules()}
    undocumented = {path for path in served if path.startswith(("/api", "/health"))} - documented

    assert undocumented == {"/api/openapi.json", "/api/docs"}


def test_the_reader_loads_only_vendored_files(client: FlaskClient) -> None:
    """It works offline and under the Content-Security-Policy."""
    with client.get("/api/docs") as page:
        loaded = re.findall(r'(?:src|href)="([^"]*)"', page.get_data(as_text=True))

    assert page.status_code == 200
    assert any("swagger-ui" in address for address in loaded)
    assert all(address.startswith("/") for address in loaded)
    assert "unsafe" not in page.headers["Content-Security-Policy"]


# Refusals of well-formed requests: two that happen to share a key, a cursor we never gave, a time beyond the horizon,
# two prompts of one name, a key that has ended, a letter that is none, a new password without the old one.
BEYOND_FORM = (
    *(b"idempotency_key_reused", b"invalid_cursor", b"too_far_ahead", b"duplicate_custom_id"),
    *(b"in_the_past", b"invalid_name", b"/currentPassword"),
)


@schemathesis.serializer("application/x-ndjson")
def _one_line(_: object, value: object) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_application_keeps_to_its_document(app: Flask) -> None:
    """Schemathesis over every operation: no 5xx, no undocumented status, type, header or body; bad data is refused."""
    a_job(status=JobStatus.FAILED)
    with Session.begin() as session:
        for kind in (heartbeats.DISPATCHER, heartbeats.WORKER):
            heartbeats.beat(session, kind=kind, instance="one")
    schema = schemathesis.openapi.from_wsgi("/api/openapi.json", app, config=SchemathesisConfig())
    tried = set()

    for result in schema.get_all_operations():
        assert isinstance(result, Ok)
        operation = result.ok()
        tried.add(operation.label)

        @schemathesis_settings
        @hypothesis.given(case=operation.as_strategy())
        def keeps(case: schemathesis.Case[Any]) -> None:
            headers = {"Authorization": f"Bearer {OPERATOR}"}
            response = case.call(headers=headers)
            if not any(code in response.content for code in BEYOND_FORM):
                case.validate_response(response, headers=headers)

        keeps()

    assert len(tried) == 37


schemathesis_settings = hypothesis.settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
