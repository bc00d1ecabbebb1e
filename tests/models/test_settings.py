"""Settings are refused at start, not found out at night."""

from __future__ import annotations

import dataclasses
import pathlib
import re

import pytest

from models.settings import SettingRefused, Settings, from_environment

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "eighty"),
        ("PORT", "0"),
        ("PORT", "65536"),
        ("DATABASE_URL", "mysql://x/y"),
        ("DATABASE_URL", "postgresql://h:99999999/y"),
        ("REDIS_URL", "localhost:6379"),
        ("CELERY_BROKER_URL", "redis://h:6379/1"),
        ("LLM_BASE_URL", "api.example.com"),
        ("LLM_TOTAL_SECONDS", "nan"),
        ("LLM_TOTAL_SECONDS", "-1"),
        ("WORKER_SLOTS", "1.5"),
        ("ENVIRONMENT", "prod"),
        ("ADMIN_TOKEN", "short"),
        ("LLM_FALLBACKS", "a,,b"),
        ("LLM_FALLBACKS", "m" * 201),
        ("ADMIN_TOKEN", "holds a space and is long enough"),
        ("AUDIT_RETENTION_DAYS", "29"),
        ("CORS_ORIGINS", "*"),
        ("CORS_ORIGINS", "https://*.example.com"),
        ("CORS_ORIGINS", "https://a.example,"),
        ("CORS_ORIGINS", "https://a.example/"),
        ("CORS_ORIGINS", "https://A.example"),
        ("CORS_ORIGINS", "https://a.example:443"),
        ("CORS_ORIGINS", "null"),
        ("CORS_ORIGINS", "a.example"),
        *(("BUDGET_DAY", amount) for amount in ("-1", "0", "0.00", "1e3", "nan", "1.0000001", "5 USD", "\u0665")),
        ("BUDGET_ACTION", "stop"),
        *(("FLAGS", f"gateway{wrong}") for wrong in ("", "=", "=101", "=-1", "=1.5", "=\u0661", "=1,", "=1,gateway=2")),
        *(("FLAGS", wrong) for wrong in ("other=10", "GATEWAY=10")),
        ("TOKEN_KEY", "x" * 31),
        ("TOKEN_KEY", "x" * 64),
    ],
)
def test_a_wrong_value_is_refused_with_its_name_and_an_example(name: str, value: str) -> None:
    """Who starts the process can put it right without opening the code."""
    with pytest.raises(SettingRefused) as refused:
        from_environment({name: value})

    assert str(refused.value).startswith(f"{name}: ")
    assert f"for example {name}=" in str(refused.value)


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({"LLM_BASE_URL": "http://127.0.0.1:1/v1"}, "LLM_MODEL"),
        ({"LLM_API_KEY": "k"}, "LLM_MODEL"),
        ({"LLM_MODEL": "m"}, "LLM_MODEL"),
        ({"LLM_MODEL": "offline", "LLM_API_KEY": "k"}, "LLM_MODEL"),
        ({"LLM_FALLBACKS": "offline"}, "LLM_FALLBACKS"),
        ({"LLM_MODEL": "m", "LLM_API_KEY": "k", "LLM_FALLBACKS": "n,m"}, "LLM_FALLBACKS"),
        ({"LLM_MODEL": "m", "LLM_API_KEY": "k", "LLM_FALLBACKS": "n, n"}, "LLM_FALLBACKS"),
        ({"LLM_MODEL": "m", "LLM_API_KEY": "k", "LLM_FALLBACKS": "offline,n"}, "LLM_FALLBACKS"),
        ({"ENVIRONMENT": "production"}, "DATABASE_URL"),
        ({"ENVIRONMENT": "production", "DATABASE_URL": "postgresql://h/d"}, "REDIS_URL"),
        ({"LLM_MODEL": "m", "LLM_API_KEY": "k", "BUDGET_DAY": "5"}, "BUDGET_DAY"),
        (
            {"LLM_MODEL": "gpt-4o", "LLM_API_KEY": "k", "LLM_FALLBACKS": "m", "BUDGET_OWNER_DAY": "1"},
            "BUDGET_OWNER_DAY",
        ),
        ({"RETRY_BASE_SECONDS": "10", "RETRY_MAX_SECONDS": "5"}, "RETRY_BASE_SECONDS"),
    ],
)
def test_a_combination_that_cannot_work_is_refused(environ: dict[str, str], name: str) -> None:
    """Half a configuration is no configuration."""
    with pytest.raises(SettingRefused, match=f"^{name}: "):
        from_environment(environ)


PRODUCTION = {
    "ENVIRONMENT": "production",
    "DATABASE_URL": "postgresql://parley:x1@h/d",
    "REDIS_URL": "redis://:x2@h/0",
    "TOKEN_KEY": "9f0cf9a026cb21391e51c15debceca51",
    "ADMIN_TOKEN": "8974a58eb2cd0320dcf2b685bfc21b83",
}


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({"ADMIN_TOKEN": PRODUCTION["TOKEN_KEY"]}, "TOKEN_KEY"),
        ({"PHONE_KEY": PRODUCTION["TOKEN_KEY"]}, "PHONE_KEY"),
        ({"DATABASE_URL": "postgresql://parley:secret@db.internal:5432/parley"}, "DATABASE_URL"),
        ({"REDIS_URL": "redis://:secret@cache.internal:6379/0"}, "REDIS_URL"),
        ({"CELERY_BROKER_URL": "amqp://parley:secret@rabbit.internal:5672/parley"}, "CELERY_BROKER_URL"),
    ],
)
def test_production_refuses_secrets_of_the_documentation_and_shared_ones(environ: dict[str, str], name: str) -> None:
    """Whoever copies an example has published the key."""
    from_environment(PRODUCTION)

    with pytest.raises(SettingRefused, match=f"^{name}: "):
        from_environment({**PRODUCTION, **environ})


def test_production_does_not_start_on_the_example_file() -> None:
    """Nor with any one of its secrets."""
    lines = (ROOT / ".env.example").read_text().splitlines()
    example = dict(line.removeprefix("# ").split("=", 1) for line in lines if re.match(r"# [A-Z_]+=", line))
    with pytest.raises(SettingRefused):
        from_environment(example)

    for knob in dataclasses.fields(Settings):
        if knob.metadata["secret"] and knob.name != "llm_api_key":
            name = knob.metadata["env"]
            with pytest.raises(SettingRefused, match=f"^{name}: "):
                from_environment({**PRODUCTION, name: example[name]})


def test_a_refused_secret_is_not_repeated() -> None:
    """The sentence ends up in a log."""
    with pytest.raises(SettingRefused) as refused:
        from_environment({"ADMIN_TOKEN": "hunter2"})

    assert "hunter2" not in str(refused.value)


def test_no_secret_shows_in_the_settings_repr() -> None:
    """Nor does this one."""
    settings = from_environment(
        {"ADMIN_TOKEN": "a" * 30, "LLM_API_KEY": "sk-secret", "LLM_MODEL": "m", "REDIS_URL": "redis://:pw@h/0"}
    )

    assert not any(secret in repr(settings) for secret in ("a" * 30, "sk-secret", "pw@h"))


def test_a_plain_postgresql_url_uses_the_driver_that_is_installed() -> None:
    """SQLAlchemy 2.1 would otherwise look for psycopg 3."""
    assert from_environment({"DATABASE_URL": "postgresql://u@h/d"}).database_url == "postgresql+psycopg2://u@h/d"


@pytest.mark.parametrize("knob", dataclasses.fields(Settings), ids=lambda knob: str(knob.metadata["env"]))
def test_every_setting_is_documented_with_its_default(knob: dataclasses.Field[object]) -> None:
    """docs/reference/settings.md and .env.example name each of them."""
    row = (
        f"| `{knob.metadata['env']}` | {knob.default if knob.default != '' else 'empty'} | {knob.metadata['meaning']} |"
    )

    assert row in (ROOT / "docs/reference/settings.md").read_text()
    assert f"# {knob.metadata['env']}=" in (ROOT / ".env.example").read_text()
