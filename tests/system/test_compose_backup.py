"""The guide's backup of what Compose runs, typed with a stand-in for `docker` that runs the same tools here."""

from __future__ import annotations

import pathlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator

import psycopg2
import pytest
import yaml  # type: ignore[import-untyped]
from psycopg2.extensions import parse_dsn

import local.postgres
from local.embedded import RunningServer
from tests.conftest import ROOT
from tests.system.recipes import block

PAGE, SHOWN = "docs/how-to/back-up.md", "parley-20261127-031500.dump"
DOCKER = """#!/bin/sh
test "$1 $2 $3" = "compose -f deploy/compose.yaml" || exit 9
shift 3
echo "$@" >> calls
case "$1 $2 $3" in
"exec -T postgres") shift 3; exec "$@" ;;
esac
"""


@pytest.fixture
def postgres() -> Iterator[RunningServer]:
    """Of the same role and database as Compose's."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="parley-tests-"))
    folder.chmod(0o755)
    server = local.postgres.start(folder)
    yield server
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


def typed(words: str, folder: pathlib.Path, postgres: RunningServer) -> subprocess.CompletedProcess[str]:
    """What becomes of it in a folder with that `docker`."""
    parts = parse_dsn(postgres.url)
    tools = pathlib.Path(local.postgres.packaged("pg_dump") or pytest.skip("PostgreSQL's tools are not here")).parent
    (folder / "bin").mkdir(exist_ok=True)
    (folder / "bin/docker").write_text(DOCKER)
    (folder / "bin/docker").chmod(0o755)
    here = {"PATH": f"{folder}/bin:{tools}:/usr/bin:/bin", "PGHOST": parts["host"], "PGPORT": parts["port"]}
    here["PGPASSWORD"] = parts["password"]
    command = ["bash", "-c", words]
    return subprocess.run(command, cwd=folder, env=here, capture_output=True, text=True, timeout=60, check=False)


def said(postgres: RunningServer, *statements: str) -> list[tuple[object, ...]]:
    """The rows of the last of these."""
    connection = psycopg2.connect(postgres.url)
    try:
        with connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def test_what_compose_runs_is_backed_up_and_restored(tmp_path: pathlib.Path, postgres: RunningServer) -> None:
    """What was written since is kept beside; whoever was signed in is no more."""
    backup, restore = block(PAGE, "bash", "pg_restore -f /dev/null"), block(PAGE, "bash", "parley_before")
    said(postgres, "CREATE TABLE sessions (name text, revoked_at timestamptz)", "INSERT INTO sessions VALUES ('then')")

    made = typed(backup, tmp_path, postgres)
    assert (made.returncode, made.stderr) == (0, "")
    (file,) = tmp_path.glob("parley-*")
    assert (file.suffix, file.stat().st_mode & 0o777) == (".dump", 0o600)
    said(postgres, "INSERT INTO sessions VALUES ('since')")
    restored = typed(restore.replace(SHOWN, file.name), tmp_path, postgres)

    assert (restored.returncode, restored.stderr) == (0, "")
    assert said(postgres, "SELECT name, revoked_at IS NULL FROM sessions") == [("then", False)]
    assert said(postgres, "SELECT count(*) FROM pg_database WHERE datname = 'parley_before'") == [(1,)]
    calls = (tmp_path / "calls").read_text().splitlines()
    assert [call for call in calls if not call.startswith("exec ")] == [
        "stop nginx api gateway dispatcher worker worker-batch",
        "restart valkey",
        "up --detach",
    ]


def test_a_file_that_was_cut_gets_no_name_and_is_not_put_in_place(
    tmp_path: pathlib.Path, postgres: RunningServer
) -> None:
    """Nothing is done after the first step that fails."""
    backup, restore = block(PAGE, "bash", "pg_restore -f /dev/null"), block(PAGE, "bash", "parley_before")
    many = "INSERT INTO sessions SELECT md5(n::text), NULL FROM generate_series(1, 5000) AS n"
    said(postgres, "CREATE TABLE sessions (name text, revoked_at timestamptz)", many)
    cut = backup.replace(" parley > $file.part", " parley | head -c 50000 > $file.part")
    assert cut != backup

    typed(cut, tmp_path, postgres)
    (part,) = tmp_path.glob("parley-*")
    restored = typed(restore.replace(SHOWN, part.name), tmp_path, postgres)

    assert part.suffix == ".part"
    assert restored.returncode != 0
    assert said(postgres, "SELECT count(*), count(revoked_at) FROM sessions") == [(5000, 0)]


def test_the_names_are_those_of_compose() -> None:
    """Role, database, and whoever works on it or with what Valkey holds."""
    services = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())["services"]
    given = services["postgres"]["environment"]
    restore = block(PAGE, "bash", "parley_before")

    assert (given["POSTGRES_USER"], given["POSTGRES_DB"]) == ("parley", "parley")
    (stopped,) = re.findall(r"stop (.*) &&", restore)
    assert set(stopped.split()) == set(services) - {"migrate", "postgres", "valkey"}
