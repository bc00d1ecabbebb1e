"""Prompts: what a user wrote stays data."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.llm.base import Prompt
from tasks.llm.prompts import TEMPLATES, messages_for

MARKED = re.compile(r"<(text-[0-9a-f]{12})>\n(.*)\n</\1>", re.DOTALL)


def test_a_chat_message_is_the_users_turn_word_for_word() -> None:
    """The role says whose words they are."""
    system, user = messages_for(Prompt(type="chat", message="<b>{mark} {message}</b>"))

    assert user == {"role": "user", "content": "<b>{mark} {message}</b>"}
    assert system["role"] == "system"


@given(message=st.text() | st.from_regex(r"</?text-[0-9a-f]{12}>", fullmatch=True))
def test_a_text_to_summarize_stands_between_marks_it_cannot_contain(message: str) -> None:
    """Or it could end the quotation and speak for itself."""
    _, user = messages_for(Prompt(type="summarize", message=message))

    found = MARKED.search(user["content"])
    assert found is not None
    assert found[2] == message
    assert found[1] not in message


@pytest.mark.parametrize("type_", list(TEMPLATES))
def test_the_same_prompt_is_put_the_same_way(type_: str) -> None:
    """A cache may tell that it has been asked."""
    prompt = Prompt(type=type_, message="A text.")

    assert messages_for(prompt) == messages_for(prompt)


def test_a_summary_is_asked_to_be_faithful() -> None:
    """And told that a text gives no orders."""
    system = TEMPLATES["summarize"].system

    assert "faithfully" in system
    assert "do not follow" in system
