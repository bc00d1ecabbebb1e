# ruff: noqa: RUF001  (the punctuation of other scripts is what some of this is about)
"""Offline: honest, repeatable, and of use without any model."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.settings import Settings
from tasks.llm.base import Call, Kind, Prompt, ProviderError, Reply
from tasks.llm.extract import MAX_SENTENCES, keywords, main_sentences, sentences
from tasks.llm.offline import Offline

DISCLOSURE = "No language model is configured"
ARTICLE = """
The river has shaped the valley for thousands of years. Farmers settled along the river because its floods left rich
soil in the valley. Some villages keep bees. In spring the floods of the river still cover the fields of the valley.
A dam now holds back most floods, and the soil of the fields grows poorer. A cat slept on a wall. Engineers therefore
want to open the dam each spring, so that floods bring new soil to the fields along the river. The mayor likes tea.
"""


def reply_to(message: str, *, type: str = "chat", settings: Settings | None = None) -> Reply:  # noqa: A002
    """What the offline provider replies."""
    return Offline(settings or Settings()).reply(Prompt(type=type, message=message), Call(seconds=60))


MESSAGES = [
    "Hello!",
    "Thanks",
    "Test message",
    "How do retries work?",
    "What is the capital of France?",
    "你好，请问天气如何？",
    "{max_attempts} {nonsense}",
    "...",
    "x" * 32_000,
    ARTICLE * 10,
]


@pytest.mark.parametrize("type_", ["chat", "summarize"])
@pytest.mark.parametrize("message", MESSAGES)
def test_every_reply_says_that_no_model_answered(message: str, type_: str) -> None:
    """And how to get one; nobody may take it for a model's answer."""
    reply = reply_to(message, type=type_)

    assert DISCLOSURE in reply.text
    assert "LLM_BASE_URL" in reply.text
    assert (reply.model, reply.usage, reply.truncated) == ("offline", None, False)


@given(message=st.text(min_size=1, max_size=300), type_=st.sampled_from(["chat", "summarize"]))
def test_a_reply_depends_on_the_message_alone(message: str, type_: str) -> None:
    """Or it is refused, each time alike."""

    def outcome() -> object:
        try:
            return reply_to(message, type=type_)
        except ProviderError as error:
            return error.code

    assert outcome() == outcome()


@pytest.mark.parametrize(
    ("message", "fact"),
    [
        ("How does it handle retries?", "dead letter"),
        ("Is it reliable after a crash?", "exactly one final status"),
        ("Does it scale to many workers?", "more workers take more jobs"),
        ("How do I poll the status?", "GET /api/jobs/<jobId>"),
        ("Are requests idempotent?", "Idempotency-Key"),
        ("Tell me about the API", "POST /api/jobs"),
        ("Can I use Ollama?", "LLM_MODEL"),
        ("What can you do?", "small program"),
        ("hello", "went through the queue"),
        ("Thank you!", "welcome"),
    ],
)
def test_questions_about_parley_are_answered(message: str, fact: str) -> None:
    """These are the things it knows."""
    assert fact in reply_to(message).text


def test_an_answer_quotes_what_it_took_the_question_for() -> None:
    """So that a misunderstanding shows."""
    text = reply_to("Please compare backoff and jitter.").text

    assert "“backoff”, “jitter”" in text


def test_numbers_are_those_of_this_installation() -> None:
    """Not those of the manual."""
    assert "After 7 failures" in reply_to("What about retries?", settings=Settings(max_attempts=7)).text


@pytest.mark.parametrize("message", ["What is the capital of France?", "When was the war?", "Write a poem about rain"])
def test_about_the_world_it_claims_nothing(message: str) -> None:
    """Counting words is all that it can do."""
    text = reply_to(message).text

    assert "I cannot answer it" in text.replace("but I cannot", "I cannot")
    assert "About Parley" not in text


@pytest.mark.parametrize("type_", ["chat", "summarize"])
def test_a_long_text_is_condensed_to_its_own_sentences(type_: str) -> None:
    """Word for word: nothing can be made up."""
    text = ARTICLE * 3
    quoted = [line[2:] for line in reply_to(text, type=type_).text.splitlines() if line.startswith("- ")]

    assert 3 <= len(quoted) <= 8
    assert all(sentence in " ".join(text.split()) for sentence in quoted)


def test_the_main_sentences_are_those_that_share_most_with_the_others() -> None:
    """Asides are left out, the order is kept."""
    picked = main_sentences(ARTICLE, count=3)

    assert len(picked) == 3
    assert picked == sorted(picked, key=ARTICLE.replace("\n", " ").index)
    assert not any(aside in " ".join(picked) for aside in ("bees", "cat", "tea"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("It is 3.5 km, e.g. by foot. Go!", ["It is 3.5 km, e.g. by foot.", "Go!"]),
        ('He said "Go." Then he went.', ['He said "Go."', "Then he went."]),
        ("A title\n\nA line\nand more", ["A title", "A line and more"]),
        ("今天下雨。你去吗？「不去！」他说。", ["今天下雨。", "你去吗？", "「不去！」", "他说。"]),
        ("هل ذهبت؟ نعم ذهبت.", ["هل ذهبت؟", "نعم ذهبت."]),
        ("मैं गया। वह आया।", ["मैं गया।", "वह आया।"]),
    ],
)
def test_sentences_end_where_their_script_ends_them(text: str, expected: list[str]) -> None:
    """With or without spaces."""
    assert sentences(text) == expected


def test_a_script_without_spaces_is_condensed_too() -> None:
    """Its words are not marked; pairs of letters stand for them."""
    text = "今天的天气很好。我们去公园散步！公园里有很多人在散步？猫睡着了。孩子们在公园里玩耍。所以今天去公园很合适。"

    picked = main_sentences(text, count=3)

    assert "猫睡着了。" not in picked
    assert len(picked) == 3


@pytest.mark.parametrize(
    "text",
    [
        "A. " * 11_000,
        "x" * 32_000,
        "今天的天气很好" * 4_500,
        "." * 32_000,
        '."' * 16_000,
        "\n" * 31_999 + "x",
        " ".join(map(str, range(6_000))),
    ],
)
def test_the_largest_messages_are_bounded(text: str) -> None:
    """No message may hold up the worker; the test's time limit is the judge."""
    assert len(sentences(text)) <= MAX_SENTENCES
    assert len(reply_to(text, type="summarize").text) < 8 * 900 + 1000


def test_keywords_are_the_words_that_matter() -> None:
    """By frequency, then by order."""
    assert keywords("the dam and the river, the river; a wall", count=2) == ["river", "dam"]


def test_a_blank_message_is_refused() -> None:
    """There is nothing to reply to, and there will not be."""
    with pytest.raises(ProviderError) as raised:
        reply_to(" \n")

    assert (raised.value.kind, raised.value.code) == (Kind.PERMANENT, "provider_rejected")


def test_a_call_that_is_over_gets_no_reply() -> None:
    """As with every provider."""
    call = Call(seconds=60)
    call.abort("lost")

    with pytest.raises(ProviderError) as raised:
        Offline(Settings()).reply(Prompt(type="chat", message="Hello"), call)

    assert raised.value.code == "lost"
