"""Settings: every knob of the product, read once from the environment and then frozen.

Nothing else reads ``os.environ``. A value that cannot be right is refused at
start, with its name, the reason and an example, because a process that starts
with a wrong value fails later, at night, somewhere else. The rows stand in
`models.knobs`; `docs/reference/settings.md` lists them all and a test holds the two
together.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any

from models import prices
from models.knobs.accounts import AccountKnobs
from models.knobs.cache import CacheKnobs
from models.knobs.cost import CostKnobs
from models.knobs.jobs import JobKnobs
from models.knobs.limits import LimitKnobs
from models.knobs.llm import ModelKnobs
from models.knobs.notify import NotifyKnobs
from models.knobs.safety import SafetyKnobs
from models.knobs.servers import ServerKnobs
from models.misspelt import misspelt
from models.prices import Prices

OFFLINE = "offline"
"""In the chain of models: the provider that needs none."""

THIS_MACHINE = ("127.0.0.1", "::1", "localhost")


class SettingRefused(ValueError):
    """A setting's value is refused; the message names it, says why and shows one that works."""


@dataclass(frozen=True, kw_only=True)
class Settings(
    CostKnobs, NotifyKnobs, CacheKnobs, LimitKnobs, JobKnobs, ModelKnobs, SafetyKnobs, AccountKnobs, ServerKnobs
):
    """All settings, validated. Durations are seconds. (A dataclass lists its last base's fields first.)"""

    @property
    def data_folder(self) -> pathlib.Path:
        """The folder of ``PARLEY_DATA``, whole."""
        return pathlib.Path(self.data).resolve()

    @property
    def own_gateway_port(self) -> int:
        """Where the gateway listens."""
        return self.gateway_port or self.port + 1

    @property
    def libpq_url(self) -> str:
        """``DATABASE_URL`` without SQLAlchemy's name of the driver, for psycopg2 itself."""
        return self.database_url.replace("+psycopg2", "", 1)

    @property
    def llm_configured(self) -> bool:
        """Whether a model is to be asked; otherwise the offline provider answers."""
        return bool(self.llm_base_url or self.llm_api_key)

    @property
    def llm_chain(self) -> tuple[str, ...]:
        """The models that may be asked, the first choice first."""
        return (self.llm_model or OFFLINE, *filter(None, self.llm_fallbacks.split(",")))

    @property
    def prices(self) -> Prices:
        """What models cost, as ``PRICES_FILE`` says."""
        return prices.table(self.prices_file)

    @property
    def llm_remote(self) -> tuple[str, ...]:
        """Those of the chain that a server has, and that can therefore be out of reach."""
        return tuple(model for model in self.llm_chain if model != OFFLINE)


def from_environment(environ: Mapping[str, str]) -> Settings:
    """Settings out of ``environ``; a name that is absent or empty keeps its default.

    Raises:
        SettingRefused: a value, or a combination, cannot be right.
    """
    values: dict[str, object] = {}
    for knob in dataclasses.fields(Settings):
        raw = environ.get(knob.metadata["env"], "").strip()
        if raw:
            values[knob.name] = _parsed(knob, raw)
    settings = Settings(**values)  # type: ignore[arg-type]
    _check_combinations(settings)
    return settings


def doubts(environ: Mapping[str, str]) -> list[str]:
    """A sentence for each variable that is probably a misspelt setting."""
    known = [knob.metadata["env"] for knob in dataclasses.fields(Settings)]
    near = misspelt(environ, known)
    return [f"{written}: there is no such setting; was {meant} meant?" for written, meant in near.items()]


def _parsed(knob: dataclasses.Field[Any], raw: str) -> object:
    try:
        return knob.metadata["parse"](raw)
    except ValueError as why:
        shown = "its value" if knob.metadata["secret"] else repr(raw)
        raise SettingRefused(
            f"{knob.metadata['env']}: {shown} {why}; for example {knob.metadata['env']}={knob.metadata['example']}"
        ) from None


def _check_combinations(settings: Settings) -> None:
    if settings.llm_configured and not settings.llm_model:
        raise SettingRefused(
            "LLM_MODEL: is empty although LLM_BASE_URL or LLM_API_KEY is set; for example LLM_MODEL=llama3.2"
        )
    if settings.llm_model and not settings.llm_configured:
        raise SettingRefused(
            "LLM_MODEL: is set, but no server to ask is; for example LLM_BASE_URL=http://127.0.0.1:11434/v1"
        )
    if settings.llm_model == OFFLINE:
        raise SettingRefused(
            "LLM_MODEL: 'offline' is the name of the built-in provider; for example LLM_MODEL=llama3.2"
        )
    _check_chain(settings)
    if settings.own_gateway_port in (settings.port, 2**16):
        raise SettingRefused("GATEWAY_PORT: leaves no port of its own to the gateway; for example GATEWAY_PORT=8002")
    if settings.metrics_port and settings.metrics_host not in THIS_MACHINE and not settings.metrics_token:
        raise SettingRefused(
            "METRICS_TOKEN: is empty although METRICS_HOST is not this machine alone; "
            "for example METRICS_TOKEN=$(openssl rand -hex 24)"
        )
    _check_budgets(settings)
    if settings.retry_base_seconds > settings.retry_max_seconds:
        raise SettingRefused("RETRY_BASE_SECONDS: is above RETRY_MAX_SECONDS; for example RETRY_BASE_SECONDS=2")
    if settings.previous_token_key and settings.previous_token_key == settings.token_key:
        raise SettingRefused("PREVIOUS_TOKEN_KEY: is TOKEN_KEY itself; leave it empty")
    if settings.environment == "production":
        _check_named(settings, "database_url", "redis_url")
        _check_secrets(settings)
    _check_webhooks(settings)


def _check_secrets(settings: Settings) -> None:
    """A secret that stands in the documentation is none, nor is one that two doors share."""
    seen: dict[object, str] = {}
    for knob in dataclasses.fields(Settings):
        value, env = getattr(settings, knob.name), knob.metadata["env"]
        if not knob.metadata["secret"] or not value:
            continue
        if str(value).split("://")[-1] == knob.metadata["example"].split("://")[-1]:
            raise SettingRefused(
                f"{env}: is the example of the documentation; for example {env}=$(openssl rand -hex 24)"
            )
        if value in seen:
            raise SettingRefused(f"{env}: is the same as {seen[value]}; for example {env}=$(openssl rand -hex 24)")
        seen[value] = env


def _check_chain(settings: Settings) -> None:
    chain = settings.llm_chain
    for wrong, why in (
        (settings.llm_fallbacks and not settings.llm_configured, "is set, but no model before them is"),
        (len(set(chain)) < len(chain), "names a model twice, or LLM_MODEL again"),
        (OFFLINE in chain[:-1], "goes on after offline, which never fails"),
    ):
        if wrong:
            raise SettingRefused(f"LLM_FALLBACKS: {why}; for example LLM_FALLBACKS=gpt-4o-mini,offline")


def _check_budgets(settings: Settings) -> None:
    """What has no price cannot be held against a budget."""
    for name in ("budget_day", "budget_owner_day"):
        if not getattr(settings, name):
            continue
        env = Settings.__dataclass_fields__[name].metadata["env"]
        for model in settings.llm_chain:
            if model not in settings.prices.models:
                raise SettingRefused(f"{env}: is set, but no price of {model} is; for example leave {env} empty")


def _check_webhooks(settings: Settings) -> None:
    for kind, is_used in (
        ("notify", settings.notify_sender == "webhook"),
        ("budget", bool(settings.budget_webhook_url)),
    ):
        if not is_used:
            continue
        url, secret, private = (f"{kind}_webhook_{part}" for part in ("url", "secret", "private"))
        _check_named(settings, url, secret)
        if not getattr(settings, private) and not getattr(settings, url).startswith("https://"):
            knobs = [Settings.__dataclass_fields__[name].metadata for name in (url, private)]
            raise SettingRefused(
                f"{knobs[0]['env']}: is not https, which only {knobs[1]['env']} permits; "
                f"for example {knobs[0]['env']}={knobs[0]['example']}"
            )


def _check_named(settings: Settings, *names: str) -> None:
    for name in names:
        if not getattr(settings, name):
            knob = Settings.__dataclass_fields__[name].metadata
            raise SettingRefused(
                f"{knob['env']}: is empty (only `make run` provides for itself); "
                f"for example {knob['env']}={knob['example']}"
            )


def _check_library(settings: Settings) -> None:
    """Here and not with the combinations: `make run` reads its settings before it installs anything."""
    try:
        missing = bool(settings.otel_endpoint) and find_spec("opentelemetry.exporter.otlp.proto.http") is None
    except ModuleNotFoundError:  # not even what it would be a part of
        missing = True
    if missing:
        raise SettingRefused(
            "OTEL_EXPORTER_OTLP_ENDPOINT: is set, but OpenTelemetry is not installed; "
            "for example python -m pip install --require-hashes -r requirements-traces.txt"
        )


@cache
def current() -> Settings:
    """The settings of this process, read at the first call; it must know its servers.

    Raises:
        SettingRefused: see `from_environment`; or a server is not named, or what a setting needs not installed.
    """
    settings = from_environment(os.environ)
    _check_named(settings, "database_url", "redis_url")
    _check_library(settings)
    return settings


def current_or_exit(*needed: str) -> Settings:
    """`current`, for the door of a process: a refused setting ends it with the sentence and no trace.

    What is probably a misspelt one is named on standard error.

    Args:
        needed: what else this process cannot do without.
    """
    for doubt in doubts(os.environ):
        sys.stderr.write(f"{doubt}\n")
    try:
        settings = current()
        _check_named(settings, *needed)
        return settings
    except SettingRefused as refused:
        sys.exit(str(refused))
