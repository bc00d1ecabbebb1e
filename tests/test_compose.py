"""The compose file: what each service is given is enough to start with, no more than it needs, and fits together."""

from __future__ import annotations

import functools
import os
import re
import secrets
import subprocess
import sys
from typing import Any

import yaml  # type: ignore[import-untyped]
from sqlalchemy import text

from models import heartbeats
from models.base import Session
from models.settings import Settings, from_environment
from tests.conftest import ROOT, Servers

FILE = ROOT / "deploy/compose.yaml"
CONNECTIONS = {"api": 26, "gateway": 9, "dispatcher": 3, "worker": 4, "worker-batch": 4, "migrate": 1}
"""Of one process to PostgreSQL, as docs/how-to/deploy.md says."""


@functools.cache
def given() -> dict[str, str]:
    """The file of secrets that the guide has made."""
    guide = (ROOT / "docs/how-to/deploy.md").read_text()
    (lines,) = re.findall(r"^cat > deploy/\.env <<END\n(.*?)^END", guide, re.MULTILINE | re.DOTALL)
    pairs = [line.split("=", 1) for line in lines.splitlines()]
    return {
        name: secrets.token_hex(24) if value in ("$(openssl rand -hex 24)", "…") else value for name, value in pairs
    }


def services() -> dict[str, dict[str, Any]]:
    """As Compose reads them, variables filled in."""
    known = given()

    def fill(match: re.Match[str]) -> str:
        name, demanded = match[1], match[2].startswith(":?")
        return known[name] if demanded else known.get(name, "")

    whole = re.sub(r"(?<!\$)\$\{(\w+)([^}]*)\}", fill, FILE.read_text())
    found: dict[str, dict[str, Any]] = yaml.safe_load(whole)["services"]
    return found


def settings() -> dict[str, Settings]:
    """Of each service of ours.

    Raises:
        SettingRefused: one would not start.
    """
    image = {"ENVIRONMENT": "production", "HOST": "0.0.0.0", "PORT": "8000"}
    ours = {name: service for name, service in services().items() if service["image"] == "parley"}
    return {
        name: from_environment({**image, **{env: value or "" for env, value in service["environment"].items()}})
        for name, service in ours.items()
    }


def test_compose_knows_every_word_of_the_file() -> None:
    """By the schema that Compose publishes."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(FILE)]

    ran = subprocess.run(command, capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_every_service_starts_with_what_it_is_given_and_all_know_the_same_models() -> None:
    """A dispatcher that knows none keeps no breaker for them and asks no fallback."""
    chains = {name: each.llm_chain for name, each in settings().items()}

    assert set(chains) == set(CONNECTIONS)
    assert set(chains.values()) == {(given()["LLM_MODEL"],)}


def test_a_secret_is_given_to_whom_it_is_for() -> None:
    """Whoever breaks into a worker finds no key to sign tokens with."""
    has = {
        secret: {name for name, each in settings().items() if getattr(each, secret)}
        for secret in ("admin_token", "token_key", "llm_api_key")
    }

    assert has == {
        "admin_token": {"api"},
        "token_key": {"api", "gateway"},
        "llm_api_key": {"worker", "worker-batch"},
    }


def test_postgresql_has_room_for_all_who_may_connect() -> None:
    """And for three workers more, as the guide has it."""
    found = services()
    most = int(re.search(r"max_connections=(\d+)", str(found["postgres"]["command"]))[1])  # type: ignore[index]
    processes = {
        name: found[name].get("deploy", {}).get("replicas", 1) * (each.api_workers if name == "api" else 1)
        for name, each in settings().items()
    }

    needed = sum(CONNECTIONS[name] * number for name, number in processes.items()) + 3 * CONNECTIONS["worker"]

    assert needed <= most - 3  # three are the superuser's
    guide = " ".join((ROOT / "docs/how-to/deploy.md").read_text().split())
    assert all(f"{CONNECTIONS[name]} for each {name}" in guide for name in ("api", "gateway", "dispatcher", "worker"))


def test_the_probe_of_a_process_without_a_port_wants_its_own_sign_of_life(db: Settings, servers: Servers) -> None:
    """One of the last ten seconds, of a process of the same container. deploy/kubernetes/ asks the same."""
    command = [sys.executable, *services()["worker"]["healthcheck"]["test"][2:]]
    here = {"DATABASE_URL": servers.environment["DATABASE_URL"], "PATH": os.environ["PATH"]}

    def asked() -> int:
        return subprocess.run(command, env=here, cwd=ROOT, capture_output=True, check=False).returncode

    with Session.begin() as session:
        heartbeats.beat(session, kind=heartbeats.WORKER, instance="elsewhere:7:ab12cd", slots=1)
    before = asked()
    with Session.begin() as session:
        heartbeats.beat(session, kind=heartbeats.WORKER, instance=heartbeats.name_of_this_process(), slots=1)
    alive = asked()
    with Session.begin() as session:
        session.execute(text("UPDATE heartbeats SET seen_at = seen_at - interval '11 seconds'"))

    assert (before, alive, asked()) == (1, 0, 1)


def test_postgresql_logs_no_statement_of_ours() -> None:
    """They quote what people wrote; the launcher's own server is told the same."""
    launcher = (ROOT / "local/postgres.py").read_text()

    for words in ("log_min_error_statement=panic", "log_error_verbosity=terse"):
        assert words in services()["postgres"]["command"]
        name, _, value = words.partition("=")
        assert re.search(rf"{name}\W+{value}", launcher)


def test_who_calls_the_world_can_reach_it_and_nobody_else() -> None:
    """Workers ask the model; dispatchers post notifications, and tell of budgets."""
    out = {name for name, each in services().items() if "outside" in each["networks"]}

    assert out == {"nginx", "dispatcher", "worker", "worker-batch"}
