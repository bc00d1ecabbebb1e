"""The provider of docs/how-to/add-a-provider.md, which is to be copied, keeps the contract."""

from __future__ import annotations

import re
from typing import Any

import pytest

from models.settings import Settings
from tasks.llm.base import Call, Kind, Prompt, Provider, ProviderError
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def provider() -> Provider:
    """Made as a worker makes one."""
    guide = (ROOT / "docs/how-to/add-a-provider.md").read_text()
    (code,) = re.findall(r"^```python\n(.*?)^```", guide, re.MULTILINE | re.DOTALL)
    found: dict[str, Any] = {}
    exec(compile(code, "guide", "exec"), found)
    made: Provider = found["Upper"](Settings(llm_max_response_bytes=8))
    return made


def test_it_answers_and_lets_others_watch(provider: Provider) -> None:
    """In a chat it is what was said last that counts; and too much is cut off, and called so."""
    call, turns = Call(seconds=5), [{"role": "user", "content": "before"}, {"role": "user", "content": "hello"}]

    alone = provider.reply(Prompt(type="chat", message="one\ntwo"), call)
    in_a_chat = provider.reply(Prompt(type="chat_reply", message="", turns=turns), Call(seconds=5))
    long = provider.reply(Prompt(type="chat", message="more than it may"), Call(seconds=5))

    assert (alone.text, alone.model, alone.usage, alone.truncated) == ("ONE\nTWO", "upper-1", None, False)
    assert list(call.said) == ["ONE\n", "TWO"]
    assert in_a_chat.text == "HELLO"
    assert (long.text, long.truncated) == ("MORE THA", True)
    provider.close()


@pytest.mark.parametrize(
    ("reason", "kind", "code"), [("lost", Kind.TRANSIENT, "lost"), ("", Kind.PERMANENT, "provider_rejected")]
)
def test_it_fails_as_the_contract_says(provider: Provider, reason: str, kind: Kind, code: str) -> None:
    """When its call is over, and when there is nothing to say."""
    call = Call(seconds=5)
    if reason:
        call.abort(reason)

    with pytest.raises(ProviderError) as failed:
        provider.reply(Prompt(type="chat", message="said" if reason else "  "), call)

    assert (failed.value.kind, failed.value.code) == (kind, code)
