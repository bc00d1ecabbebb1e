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
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import ignored_auth

from api import access
from api.callers import Caller, Callers
from models import heartbeats
from models.base import Session
from models.states import JobStatus
from models.users import Role
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

    assert len(tried) == 39


def is_protected(operation: dict[str, Any]) -> bool:
    """Whether the document demands a token or a key in every case."""
    options = operation.get("security") or [{}]
    return all(option.keys() & {"bearer", "operator"} for option in options)


BAD_CREDENTIALS: list[dict[str, str]] = [
    {},
    {"Authorization": ""},
    {"Authorization": "Bearer nonsense"},
    {"Authorization": f"Bearer {OPERATOR[:-1]}"},
    {"Authorization": f"Basic {OPERATOR}"},
    {"Authorization": f"Bearer {OPERATOR.upper()}"},
    {"X-Authorization": f"Bearer {OPERATOR}"},
    {"Cookie": f"access_token={OPERATOR}; parley_guest={OPERATOR}"},
]


def test_no_protected_operation_answers_without_a_good_credential(client: FlaskClient) -> None:
    """Whatever else the request holds, its body is not even looked at."""
    document = client.get("/api/openapi.json").get_json()
    protected = [
        (method, path.replace("{", "").replace("}", ""))
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in ("get", "post", "put", "patch", "delete") and is_protected(operation)
    ]

    for method, path in protected:
        for headers in BAD_CREDENTIALS:
            response = client.open(path, method=method.upper(), headers=headers, data=b"{")
            assert response.status_code == 401, (method, path, headers)
            assert "bearer" in response.headers["WWW-Authenticate"].lower()
    assert ("get", "/api/audit") in protected
    assert len(protected) >= 8


def protected_answer(app: Flask) -> tuple[schemathesis.Case[Any], Any]:
    """A successful answer of a protected operation, and what it was asked."""
    schema = schemathesis.openapi.from_wsgi("/api/openapi.json", app, config=SchemathesisConfig())
    case = schema["/api/audit"]["GET"].Case(query={})
    return case, case.call(headers={"Authorization": f"Bearer {OPERATOR}"})


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_schemathesis_would_notice_a_protection_that_is_gone(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its ``ignored_auth`` is among the checks of every operation; here it is seen to fire."""
    headers = {"Authorization": f"Bearer {OPERATOR}"}
    case, response = protected_answer(app)
    assert response.status_code == 200
    case.validate_response(response, checks=[ignored_auth], headers=headers)

    monkeypatch.setattr(Callers, "sender", lambda *_: Caller(owner="operator", role=Role.ADMIN))
    monkeypatch.setattr(access.Rule, "check", lambda *_: None)

    case, response = protected_answer(app)
    with pytest.raises(FailureGroup):
        case.validate_response(response, checks=[ignored_auth], headers=headers)


schemathesis_settings = hypothesis.settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
