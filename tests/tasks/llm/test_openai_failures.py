"""Failures: each way of going wrong, produced by the fake server, and what it is told as."""

from __future__ import annotations

import pytest

from tasks.llm.base import Call, Provider, Usage
from tests.fake_llm import FakeLLM
from tests.tasks.llm.conftest import KEY, ask, failure_of, verdict
from tests.tasks.llm.test_openai_compatible import delta, sse
from tests.tasks.llm.verdicts import (
    CONTENT,
    CUT,
    EMPTY,
    GARBAGE,
    OUT_OF_QUOTA,
    REFUSED_KEY,
    REJECTED,
    THROTTLED,
    UNAVAILABLE,
    Verdict,
)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (302, GARBAGE),
        (400, REJECTED),
        (401, REFUSED_KEY),
        (402, OUT_OF_QUOTA),
        (403, REFUSED_KEY),
        (404, REJECTED),
        (405, REJECTED),
        (408, UNAVAILABLE),
        (409, UNAVAILABLE),
        (413, REJECTED),
        (422, REJECTED),
        (425, UNAVAILABLE),
        (429, THROTTLED),
        (500, UNAVAILABLE),
        (502, UNAVAILABLE),
        (503, UNAVAILABLE),
        (504, UNAVAILABLE),
        (529, UNAVAILABLE),
    ],
)
@pytest.mark.parametrize("body", ["json", "html", "latin1", "list", "[]", "{}", "null", '{"error": 7}', " "])
def test_a_status_is_judged_whatever_its_body(
    llm: FakeLLM, provider: Provider, status: int, expected: Verdict, body: str
) -> None:
    """Gateways answer in HTML; nobody may retry because of that."""
    llm.script({"status": status, "body": body})

    error = failure_of(provider)

    assert verdict(error) == expected
    assert f"HTTP {status}" in str(error)
    assert llm.stats()["requests"] == 1


@pytest.mark.parametrize("body", ["json", "list"])
@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        ((429, "insufficient_quota"), OUT_OF_QUOTA),
        ((429, "rate_limit_exceeded"), THROTTLED),
        ((400, "content_filter"), CONTENT),
        ((400, "content_policy_violation"), CONTENT),
        ((400, "context_length_exceeded"), REJECTED),
    ],
)
def test_the_code_of_an_error_refines_its_status(
    llm: FakeLLM, provider: Provider, body: str, refusal: tuple[int, str], expected: Verdict
) -> None:
    """An account without credit is not helped by patience."""
    status, code = refusal
    llm.script({"status": status, "code": code, "body": body})

    error = failure_of(provider)

    assert verdict(error) == expected
    assert code in str(error)


def test_azures_inner_error_is_seen(llm: FakeLLM, provider: Provider) -> None:
    """Its filter hides its verdict one level down."""
    llm.script(
        {"status": 400, "body": '{"error": {"code": "x", "innererror": {"code": "ResponsibleAIPolicyViolation"}}}'}
    )

    assert verdict(failure_of(provider)) == CONTENT


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ({"retry_after": "7"}, 7.0),
        ({"retry_after": "9", "retry_after_ms": "1500"}, 1.5),
        ({"retry_after": "1000000000"}, 3600.0),
        ({"retry_after": "-1"}, None),
        ({"retry_after": "soon"}, None),
        ({}, None),
    ],
)
def test_a_server_says_when_to_come_back(
    llm: FakeLLM, provider: Provider, status: int, told: dict[str, object], seconds: float | None
) -> None:
    """By either header; nonsense is as good as nothing."""
    llm.script({"status": status, **told})

    assert failure_of(provider).retry_after == seconds


def test_a_permanent_failure_names_no_time(llm: FakeLLM, provider: Provider) -> None:
    """There is none to come back at."""
    llm.script({"status": 429, "code": "insufficient_quota", "retry_after": "7"})

    assert failure_of(provider).retry_after is None


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        pytest.param({"finish": "none"}, CUT, id="no finish_reason"),
        pytest.param({"finish": "none", "stream": False}, CUT, id="no finish_reason, plain"),
        pytest.param({"cut": "fin"}, CUT, id="hung up on"),
        pytest.param({"cut": "rst"}, CUT, id="reset"),
        pytest.param({"raw": ""}, CUT, id="nothing at all"),
        pytest.param({"raw": ": ping\n\n"}, CUT, id="only comments"),
        pytest.param({"finish": "content_filter"}, CONTENT, id="filtered"),
        pytest.param({"text": ""}, EMPTY, id="empty"),
        pytest.param({"text": " \n\u2003"}, EMPTY, id="blank"),
        pytest.param({"text": "", "finish": "length"}, EMPTY, id="thought too long"),
        pytest.param({"error_event": "rate_limit_exceeded"}, THROTTLED, id="throttled later"),
        pytest.param({"error_event": "server_error"}, UNAVAILABLE, id="broke later"),
        pytest.param({"error_event": "content_filter"}, CONTENT, id="filtered later"),
        pytest.param({"error_event": "insufficient_quota"}, OUT_OF_QUOTA, id="no credit, later"),
    ],
)
def test_an_answer_may_fail_after_it_began(
    llm: FakeLLM, provider: Provider, behaviour: dict[str, object], expected: Verdict
) -> None:
    """A 200 promises nothing."""
    llm.script(behaviour)

    assert verdict(failure_of(provider)) == expected


@pytest.mark.parametrize(
    "body",
    [
        "data: {oops}\n\n",
        "data: \xff\xfe\n\n",
        "data: []\n\n",
        "data: 7\n\n",
        'data: "text"\n\n',
        'data: {"choices": 7}\n\n',
        'data: {"choices": [7]}\n\n',
        'data: {"choices": [{"delta": []}, 1]}\n\ndata: {"choices": [{"delta": 7}]}\n\n',
        sse(delta(["parts"], "stop")),
        sse(delta("x", 7)),
        "data: " + "[" * 100_000 + "\n\n",
        'data: {"usage": ' + "9" * 5000 + "}\n\n",
        "{",
        "[1]",
        "{}}",
        "<html>\n<h1>It works!</h1>\n</html>",
        "Bad gateway",
        "\xff\xfe\x00",
    ],
)  # fmt: skip
def test_what_is_no_answer_is_garbage(llm: FakeLLM, provider: Provider, body: str) -> None:
    """Not JSON, not UTF-8 or of another shape: the next answer may be better."""
    llm.script({"raw": body})

    assert verdict(failure_of(provider)) == GARBAGE


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"code": 429, "message": "busy"}, THROTTLED),
        ({"type": "overloaded_error"}, UNAVAILABLE),
        ("a string", UNAVAILABLE),
    ],
)
@pytest.mark.parametrize("form", ["member", "event", "plain"])
def test_an_error_instead_of_an_answer_is_understood(
    llm: FakeLLM, provider: Provider, error: object, expected: Verdict, form: str
) -> None:
    """As a member of an event, as an event named so, or as the whole of a 200."""
    if form == "event" and isinstance(error, dict):
        raw = "event: error\n" + sse(error)
    else:
        raw = sse({"error": error}) if form == "member" else sse({"error": error}).removeprefix("data: ")
    llm.script({"raw": raw})

    assert verdict(failure_of(provider)) == expected


@pytest.mark.parametrize("behaviour", [{"finish": "content_filter"}, {"finish": "none"}, {"text": " "}])
def test_tokens_of_a_failed_answer_are_counted(llm: FakeLLM, provider: Provider, behaviour: dict[str, object]) -> None:
    """They are charged all the same."""
    llm.script(behaviour)

    usage = failure_of(provider).usage

    assert isinstance(usage, Usage)
    assert usage.total_tokens > 0


def test_a_call_that_is_over_is_not_even_made(llm: FakeLLM, provider: Provider) -> None:
    """Nothing would come of it but the bill."""
    call = Call(seconds=60)
    call.abort("stopping")

    assert failure_of(provider, call=call).code == "stopping"
    assert failure_of(provider, call=Call(seconds=0)).code == "provider_timeout"
    assert llm.stats()["requests"] == 0


@pytest.mark.parametrize(
    "behaviour", [{"status": 400}, {"status": 401, "code": KEY}, {"error_event": KEY}, {"raw": "{" + KEY}]
)
def test_neither_key_nor_prompt_is_in_an_error(llm: FakeLLM, provider: Provider, behaviour: dict[str, object]) -> None:
    """Servers quote both; the message goes to the job's owner and the traceback to the log."""
    llm.script(behaviour)

    error = failure_of(provider, f"private words {KEY}")

    assert KEY not in str(error)
    assert "private" not in str(error)
    assert error.__cause__ is None
    assert error.__context__ is None


def test_failures_end_when_the_server_recovers(llm: FakeLLM, provider: Provider) -> None:
    """Three failures for this message, then an answer; other messages are not affected."""
    codes = [failure_of(provider, "[[fail=3]]").code for _ in range(3)]

    assert codes == ["provider_unavailable"] * 3
    assert ask(provider, "[[fail=3]]").text == "Echo: [[fail=3]]"
    assert llm.stats()["per_message"] == {"[[fail=3]]": 4}
