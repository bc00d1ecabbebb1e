from __future__ import annotations

import pathlib

import pytest

from local import summary
from models.settings import Settings

DATA = pathlib.Path("/home/ann/parley/.data")


def text(settings: Settings, *, database: pathlib.Path | None = DATA / "postgres") -> str:
    """What is printed."""
    return summary.ready_text(settings, folder=DATA, database=database, seconds=2.34)


def test_it_says_where_everything_is_and_what_to_try() -> None:
    """Somebody who has never seen the product gets a reply with the next command."""
    shown = text(Settings(port=8001))

    assert "Parley is ready at http://127.0.0.1:8001 (2.3 s)" in shown
    assert "curl -s http://127.0.0.1:8001/api/jobs -H 'Content-Type: application/json' -d '{\"message\"" in shown
    assert "/home/ann/parley/.data\n" in shown
    assert "/home/ann/parley/.data/logs\n" in shown


def test_it_says_who_may_see_how_it_stands_and_shows_no_token() -> None:
    """Nobody would guess the page, nor where its token lies."""
    kept, given = text(Settings()), text(Settings(admin_token="an-operators-token-of-32-letters"))

    assert "http://127.0.0.1:8000/dashboard shows how it stands" in kept
    assert "the token in /home/ann/parley/.data/admin-token\n" in kept
    assert "to whoever has ADMIN_TOKEN\n" in given
    assert "an-operators-token" not in given


def test_without_a_model_it_says_how_to_get_one() -> None:
    """All three settings are named, in a line that works."""
    shown = text(Settings())

    assert "no AI" in shown
    assert "LLM_BASE_URL=http://127.0.0.1:11434/v1 LLM_MODEL=llama3.2 make run" in shown
    assert "LLM_API_KEY" in shown


def test_with_a_model_it_says_which_and_never_the_key() -> None:
    """The terminal may be shared."""
    shown = text(Settings(llm_base_url="http://gpu:8080/v1", llm_model="qwen3", llm_api_key="sk-secret"))

    assert "qwen3 at http://gpu:8080/v1" in shown
    assert "sk-secret" not in shown


@pytest.mark.parametrize(
    ("database", "said"),
    [(None, "the database where DATABASE_URL says"), (pathlib.Path("/var/lib/parley-1/postgres"), "/var/lib/parley-1")],
)
def test_a_database_that_lies_elsewhere_is_named(database: pathlib.Path | None, said: str) -> None:
    """Whoever makes backups has to know."""
    assert said in text(Settings(), database=database)


@pytest.mark.parametrize(
    ("host", "url"), [("0.0.0.0", "http://127.0.0.1:8000"), ("::", "http://[::1]:8000"), ("box", "http://box:8000")]
)
def test_the_address_can_be_opened_from_this_machine(host: str, url: str) -> None:
    """Also when the API listens on every address."""
    assert summary.address(Settings(host=host)) == url
