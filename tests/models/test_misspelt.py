"""Who misspells a setting is told so, and nobody is told of what belongs to others."""

from __future__ import annotations

import dataclasses

import pytest

from models import settings
from models.misspelt import misspelt
from models.settings import Settings

KNOWN = [knob.metadata["env"] for knob in dataclasses.fields(Settings)]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("WORKER_SLOT", "WORKER_SLOTS"),
        ("LLM_MODLE", "LLM_MODEL"),
        ("LLM_APIKEY", "LLM_API_KEY"),
        ("LLM_BASEURL", "LLM_BASE_URL"),
        ("llm_model", "LLM_MODEL"),
        ("MOST_WAITNG", "MOST_WAITING"),
        ("CORS_ORIGIN", "CORS_ORIGINS"),
        ("JOB_RETENTION_DAY", "JOB_RETENTION_DAYS"),
        ("DATABASE_URI", "DATABASE_URL"),
    ],
)
def test_what_is_nearly_a_setting_is_named_with_the_one_that_was_meant(written: str, meant: str) -> None:
    """Otherwise it would do nothing, and nobody would know."""
    assert misspelt({written: "secret"}, KNOWN) == {written: meant}


@pytest.mark.parametrize(
    "name",
    [
        *("PATH", "HOSTNAME", "SHELL", "LANG", "PORTS", "HOSTS", "FLAG", "port", "LC_ALL", "SSH_AUTH_SOCK", "LOGNAME"),
        *("OPENAI_API_KEY", "POSTGRES_PASSWORD", "VALKEY_PASSWORD", "PGPASSWORD", "REDIS_PASSWORD", "PARLEY_URL"),
        *("DATABASE_URL_OLD", "LLM_API_KEY_FILE", "GATEWAY_PORT_8080_TCP", "GATEWAY_SERVICE_PORT", "API_PORT"),
        *("PYTHONUNBUFFERED", "PYTHON_VERSION", "GUNICORN_CMD_ARGS", "PROMETHEUS_MULTIPROC_DIR", "HTTPS_PROXY"),
    ],
)
def test_what_belongs_to_others_is_not(name: str) -> None:
    """Of a shell, of a container, of another program."""
    assert misspelt({name: "x"}, KNOWN) == {}


def test_no_setting_is_taken_for_another() -> None:
    """Two of them are near each other."""
    assert misspelt(dict.fromkeys(KNOWN, "x"), KNOWN) == {}


def test_a_process_says_so_at_its_start_without_the_value(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It may be a secret."""
    monkeypatch.setattr(settings, "current", Settings)
    monkeypatch.setenv("LLM_APIKEY", "sk-secret")

    settings.current_or_exit()

    assert capsys.readouterr().err == "LLM_APIKEY: there is no such setting; was LLM_API_KEY meant?\n"
