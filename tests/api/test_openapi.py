"""The OpenAPI document, and the application held against it."""

from __future__ import annotations

import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import hypothesis
import pytest
from flask import Flask
from flask.testing import FlaskClient
from openapi_spec_validator import validate

from api import access
from api.callers import Caller, Callers
from models import heartbeats
from models.base import Session
from models.states import JobStatus
from models.users import Role
from tests.api.conftest import OPERATOR
from tests.factories import a_job
from tests.system.outages import FULL


def test_the_document_is_valid_openapi(client: FlaskClient) -> None:
    """Version 3.1, by the specification's own schema."""
    document = client.get("/api/openapi.json").get_json()

    validate(document)
    assert document["openapi"].startswith("3.1")


def test_every_route_below_api_and_health_is_in_the_document(app: Flask, client: FlaskClient) -> None:
    """Nothing is served that is not documented, but the document and its reader."""
    documented = set(client.get("/api/openapi.json").get_json()["paths"])

    served = {re.sub(r"<\w+:(\w+)>", r"{\1}", rule.rule) for rule in app.url_map.iter_rules()}
    undocumented = {path for path in served if path.startswith(("/api", "/health"))} - documented

    assert undocumented == {"/api/openapi.json", "/api/docs"}


def test_who_asks_while_the_document_is_made_gets_all_of_it(app: Flask) -> None:
    """It is made at the first question, in a thread; the second waits for its end."""
    begun, go_on = threading.Event(), threading.Event()
    [api] = [each["ext_obj"] for each in app.extensions["flask-smorest"]["apis"].values()]

    def write_the_last() -> None:
        begun.set()
        go_on.wait(20)
        api.spec.tag({"name": "the last"})

    api.later.append(write_the_last)
    with ThreadPoolExecutor(2) as threads:
        asked = [threads.submit(lambda: app.test_client().get("/api/openapi.json").get_json())]
        assert begun.wait(20)
        asked.append(threads.submit(lambda: app.test_client().get("/api/openapi.json").get_json()))
        wait(asked[1:], timeout=0.3)  # long enough for a wrong answer
        go_on.set()

        assert all({"name": "the last"} in each.result()["tags"] for each in asked)


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
    *(b"in_the_past", b"invalid_name", b"/currentPassword", b"not_in_a_chat"),
    # The first hours of the year 1 east of Greenwich: in UTC they lie before any year there is.
    b"invalid_time",
    # A chat with members that its type cannot have, a title of signs that are not shown, two places in one question.
    *(b"not_of_this_type", b"/members", b'"/title"', b"contradiction"),
)
TOGETHER = pytest.mark.xdist_group("openapi")
PARTS = 3
"""The document is asked about in parts, so that no test is far longer than all others."""


def schema_of(app: Flask) -> Any:
    """The document, as schemathesis reads it. Imported here: it takes seconds, and one worker of all needs it."""
    import schemathesis  # noqa: PLC0415
    from schemathesis.config import SchemathesisConfig  # noqa: PLC0415

    schemathesis.serializer("application/x-ndjson")(lambda _, value: json.dumps(value).encode())
    return schemathesis.openapi.from_wsgi("/api/openapi.json", app, config=SchemathesisConfig())


@pytest.mark.timeout(1800 if FULL else 300)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("part", range(PARTS))
@TOGETHER
def test_the_application_keeps_to_its_document(app: Flask, part: int) -> None:
    """Schemathesis over every operation: no 5xx, no undocumented status, type, header or body; bad data is refused."""
    a_job(status=JobStatus.FAILED)
    with Session.begin() as session:
        for kind in (heartbeats.DISPATCHER, heartbeats.WORKER):
            heartbeats.beat(session, kind=kind, instance="one")
    operations = list(schema_of(app).get_all_operations())
    assert len(operations) == 84

    for result in operations[part::PARTS]:

        @schemathesis_settings
        @hypothesis.given(case=result.ok().as_strategy())
        def keeps(case: Any) -> None:
            headers = {"Authorization": f"Bearer {OPERATOR}"}
            response = case.call(headers=headers)
            if not any(code in response.content for code in BEYOND_FORM):
                case.validate_response(response, headers=headers)

        keeps()


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
        (method, re.sub(r"{\w+}", "1", path))
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


def test_every_operation_that_demands_an_account_says_so(app: Flask, client: FlaskClient) -> None:
    """Whoever makes a client of the document learns there that guests get nothing."""
    paths = client.get("/api/openapi.json").get_json()["paths"]
    rules = access.rules_of(app)
    demanding = [
        (method.lower(), re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", route.rule))
        for route in app.url_map.iter_rules()
        if (rule := rules.get(route.endpoint)) and rule.least is not None
        for method in (route.methods or set()) - {"HEAD", "OPTIONS"}
    ]

    assert [
        (method, path) for method, path in demanding if path in paths and not is_protected(paths[path][method])
    ] == []
    assert len(demanding) > 40


def protected_answer(app: Flask) -> tuple[Any, Any]:
    """A successful answer of a protected operation, and what it was asked."""
    case = schema_of(app)["/api/audit"]["GET"].Case(query={})
    return case, case.call(headers={"Authorization": f"Bearer {OPERATOR}"})


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@TOGETHER
def test_schemathesis_would_notice_a_protection_that_is_gone(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its ``ignored_auth`` is among the checks of every operation; here it is seen to fire."""
    from schemathesis.core.failures import FailureGroup  # noqa: PLC0415
    from schemathesis.specs.openapi.checks import ignored_auth  # noqa: PLC0415

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
    max_examples=600 if FULL else 8,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
