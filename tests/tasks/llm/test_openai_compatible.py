"""Answers of every shape that servers give, read through the real SDK from the fake server."""

from __future__ import annotations

import json
import logging
import threading

import pytest

from models.settings import SettingRefused, Settings
from tasks.llm import provider_from
from tasks.llm.base import Call, Kind, Prompt, Provider, ProviderError, Usage
from tests.fake_llm import FakeLLM
from tests.tasks.llm.conftest import KEY, OpenProvider, ask, eventually, failure_of, verdict


def sse(*events: object) -> str:
    """The events as the body of a stream, in Latin-1."""
    return "".join(f"data: {event if isinstance(event, str) else json.dumps(event)}\n\n" for event in events)


def delta(text: object, finish: object = None) -> dict[str, object]:
    """One event."""
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]}


def test_a_streamed_answer_is_put_together(llm: FakeLLM, provider: Provider) -> None:
    """Text, model and usage, as the server gave them."""
    reply = ask(provider, "Hello")

    assert reply.text == "Echo: Hello"
    assert reply.model == "fake"
    assert reply.usage == Usage(prompt_tokens=2, completion_tokens=3)
    assert not reply.truncated


@pytest.mark.parametrize(
    ("details", "cached"),
    [({"cached_tokens": 64}, 64), ({}, 0), (None, 0), ({"cached_tokens": -1}, 0), ({"cached_tokens": "64"}, 0)],
)
def test_tokens_that_the_server_had_kept_are_told_apart(
    llm: FakeLLM, provider: Provider, details: object, cached: int
) -> None:
    """They cost less; a server that says nothing of them, or nonsense, has kept none."""
    usage = {"prompt_tokens": 100, "completion_tokens": 3, "prompt_tokens_details": details}
    llm.script({"raw": sse(delta("yes", "stop") | {"usage": usage}, "[DONE]")})

    assert ask(provider, "Hello").usage == Usage(100, 3, cached)


def test_a_server_that_ignores_stream_is_understood(llm: FakeLLM, provider: Provider) -> None:
    """It answers one JSON object."""
    llm.script({"stream": False})

    reply = ask(provider, "Hello")

    assert (reply.text, reply.usage) == ("Echo: Hello", Usage(2, 3))


def test_the_request_is_what_servers_expect(llm: FakeLLM, provider: Provider) -> None:
    """Model, both messages, a stream with usage, the key; no compression, which could unpack to any size."""
    ask(provider, "Hello")

    asked = llm.stats()["recent"][0]
    assert [message["role"] for message in asked["body"]["messages"]] == ["system", "user"]
    assert asked["body"]["messages"][1]["content"] == "Hello"
    assert (asked["body"]["model"], asked["body"]["stream"]) == ("fake", True)
    assert asked["body"]["stream_options"] == {"include_usage": True}
    assert asked["headers"]["authorization"] == f"Bearer {KEY}"
    assert asked["headers"]["accept-encoding"] == "identity"


def test_a_local_server_needs_no_key(llm: FakeLLM, provider_at: OpenProvider) -> None:
    """The SDK insists on one; a placeholder is sent."""
    ask(provider_at(llm.base_url, llm_api_key=""))

    assert llm.stats()["recent"][0]["headers"]["authorization"] == "Bearer none"


def test_the_sdks_own_environment_is_not_read(
    llm: FakeLLM, monkeypatch: pytest.MonkeyPatch, provider_at: OpenProvider
) -> None:
    """Another project's variables must not reach this server."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-other")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-other")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/")

    ask(provider_at(llm.base_url, llm_api_key=""))

    assert "other" not in json.dumps(llm.stats()["recent"])


def test_a_connection_is_used_again(llm: FakeLLM, provider: Provider) -> None:
    """A handshake for each call would double its latency."""
    for _ in range(5):
        ask(provider)

    # One for the provider, two for the reset before and the question now.
    assert llm.stats()["connections"] == 2


def test_a_server_too_old_for_stream_options_is_asked_without(llm: FakeLLM, provider: Provider) -> None:
    """Once; the process then remembers."""
    llm.script(default={"refuse_options": True})

    replies = [ask(provider, "a"), ask(provider, "b")]

    assert [reply.text for reply in replies] == ["Echo: a", "Echo: b"]
    assert llm.stats()["per_message"] == {"a": 2, "b": 1}


def test_a_refusal_that_only_mentions_stream_options_is_not_remembered(llm: FakeLLM, provider: Provider) -> None:
    """The server may quote the user."""
    llm.script({"status": 400}, {"status": 400})

    failure_of(provider, "What is stream_options?")
    ask(provider, "Hello")

    assert "stream_options" in llm.stats()["recent"][-1]["body"]


def test_length_means_truncated(llm: FakeLLM, provider: Provider) -> None:
    """The model stopped at its own limit."""
    assert ask(provider, "[[finish=length]]").truncated


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("text", "kept"), [("x" * 5000, "x" * 1024), ("é" * 5000, "é" * 512), ("a" + "€" * 999, "a" + "€" * 341)]
)
def test_a_long_answer_is_cut_at_a_character(
    llm: FakeLLM, stream: bool, text: str, kept: str, provider_at: OpenProvider
) -> None:
    """Whatever the bytes of the last character."""
    llm.script({"text": text, "chunks": 50, "stream": stream})

    reply = ask(provider_at(llm.base_url, llm_max_response_bytes=1024))

    assert reply.text == kept
    assert reply.truncated


def test_an_answer_of_just_the_limit_is_whole(llm: FakeLLM, provider_at: OpenProvider) -> None:
    """The limit is part of what is allowed."""
    llm.script({"text": "x" * 1024})

    reply = ask(provider_at(llm.base_url, llm_max_response_bytes=1024))

    assert (len(reply.text), reply.truncated) == (1024, False)


def test_an_endless_answer_is_cut_and_hung_up_on(llm: FakeLLM, provider_at: OpenProvider) -> None:
    """The server notices: nobody listens any more."""
    llm.script({"endless": "text"})

    reply = ask(provider_at(llm.base_url, llm_max_response_bytes=1024))

    assert len(reply.text) == 1024
    assert reply.truncated
    eventually(lambda: llm.stats()["active"] == 0)


@pytest.mark.parametrize("endless", ["empty", "noise"])
def test_an_endless_nothing_ends(llm: FakeLLM, endless: str, provider_at: OpenProvider) -> None:
    """Deltas without text, or bytes without an end of line, are bounded, too."""
    llm.script({"endless": endless})

    error = failure_of(provider_at(llm.base_url, llm_max_response_bytes=1024))

    assert verdict(error) == (Kind.TRANSIENT, "provider_garbage")


def test_what_postgresql_cannot_store_is_left_out(llm: FakeLLM, provider: Provider) -> None:
    """NULs and halves of characters; two halves in two deltas are one character."""
    llm.script({"raw": sse(delta("a\x00b\ud83d"), delta("\ude00\ud800c", "stop"), "[DONE]")})

    assert ask(provider).text == "ab😀c"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(sse(delta("yes", "stop"), {"choices": []}, "[DONE]"), id="no usage"),
        pytest.param(sse(delta("yes", "stop")), id="no [DONE]"),
        pytest.param(sse(delta("yes", "stop")).rstrip(), id="no blank line at the end"),
        pytest.param(sse(delta("yes", "stop")).replace("\n", "\r\n"), id="CRLF"),
        pytest.param(": waiting\n\n" + sse(delta("yes", "stop")), id="a comment"),
        pytest.param("event: chunk\nid: 1\nretry: 5\n" + sse(delta("yes", "stop")), id="all fields"),
        pytest.param("\n\n" + sse(delta("yes", "stop")), id="blank lines first"),
        pytest.param("\xef\xbb\xbf" + sse(delta("yes", "stop")), id="a byte-order mark"),
        pytest.param(sse(delta("yes", ""), delta(None, "stop")), id="an empty finish_reason"),
        pytest.param(sse(delta("yes"), {"choices": None, "usage": None}, delta(None, "eos")), id="nulls"),
        pytest.param(sse({"choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}]}), id="a message"),
        pytest.param(sse({"choices": [{"delta": {"refusal": "yes"}, "finish_reason": "stop"}]}), id="a refusal"),
        pytest.param(sse(delta("yes", "stop") | {"model": 7, "usage": {"prompt_tokens": "7"}}), id="odd trimmings"),
        pytest.param(json.dumps(delta("yes", "stop"), indent=1), id="plain JSON in many lines"),
    ],
)
def test_servers_may_differ_in_details(llm: FakeLLM, provider: Provider, body: str) -> None:
    """None of these is worth a retry."""
    llm.script({"raw": body})

    reply = ask(provider)

    assert (reply.text, reply.model, reply.usage) == ("yes", "fake", None)


def test_an_answer_counts_although_the_end_of_its_response_is_missing(llm: FakeLLM, provider: Provider) -> None:
    """It was paid for; only the connection is given up."""
    llm.script({"done": False}, {})

    assert ask(provider).text == ask(provider).text == "Echo: Hello"


def test_each_type_of_job_has_its_own_prompt(llm: FakeLLM, provider: Provider) -> None:
    """The text to summarize stands between marks."""
    ask(provider, "A text.", type="summarize")

    system, user = llm.stats()["recent"][0]["body"]["messages"]
    assert "summarize" in system["content"]
    assert "\nA text.\n" in user["content"]


def test_many_threads_ask_at_once(llm: FakeLLM, provider: Provider) -> None:
    """Each gets the answer to its own question."""
    llm.script(default={"latency_ms": 1000})
    replies: dict[int, str] = {}

    def one(number: int) -> None:
        replies[number] = ask(provider, f"number {number}").text

    threads = [threading.Thread(target=one, args=[number]) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert replies == {number: f"Echo: number {number}" for number in range(20)}
    assert llm.stats()["peak"] == 20


def test_logs_hold_no_secrets_even_at_debug(llm: FakeLLM, provider: Provider, caplog: pytest.LogCaptureFixture) -> None:
    """Nor addresses, which may contain some."""
    caplog.set_level(logging.DEBUG)
    ask(provider, "private words")
    failure_of(provider, "private words [[status=401]]")

    assert KEY not in caplog.text
    assert "private" not in caplog.text
    assert llm.base_url not in caplog.text


def test_without_a_server_the_provider_is_offline() -> None:
    """Nothing configured, nothing asked."""
    assert provider_from(Settings()).name == "offline"


def test_a_key_alone_means_openai() -> None:
    """Its address need not be configured."""
    opened = provider_from(Settings(llm_api_key=KEY, llm_model="m"))

    assert str(opened._client.base_url) == "https://api.openai.com/v1/"  # type: ignore[attr-defined]


def test_a_proxy_of_the_environment_is_used(
    llm: FakeLLM, monkeypatch: pytest.MonkeyPatch, provider_at: OpenProvider
) -> None:
    """As every other program on the machine does."""
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{llm.port}")

    assert ask(provider_at("http://model.invalid/v1")).text == "Echo: Hello"


def test_a_proxy_is_not_asked_for_this_machine(
    llm: FakeLLM, monkeypatch: pytest.MonkeyPatch, provider_at: OpenProvider
) -> None:
    """A model beside the worker is no business of the proxy's."""
    monkeypatch.setenv("http_proxy", "http://proxy.invalid:1")

    assert ask(provider_at(llm.base_url)).text == "Echo: Hello"


def test_a_proxy_that_cannot_work_is_refused_at_start(
    monkeypatch: pytest.MonkeyPatch, provider_at: OpenProvider
) -> None:
    """Not at the first job."""
    monkeypatch.setenv("https_proxy", "socks5://127.0.0.1:1")

    with pytest.raises(SettingRefused, match="HTTPS_PROXY"):
        provider_at("https://model.invalid/v1")


def test_whatever_happens_is_a_provider_error(llm: FakeLLM, provider: Provider) -> None:
    """Even a mistake of our own: a type of job without a template."""
    with pytest.raises(ProviderError):
        provider.reply(Prompt(type="sing", message="La"), Call(seconds=5))
