"""The script that fills a demo, and a load set that is the same each time."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
from sqlalchemy import text

from models.base import Session
from models.settings import Settings
from tests.conftest import ROOT, Servers
from tests.factories import TOKEN_KEY


def run(servers: Servers, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scripts.seed_demo", *arguments]
    ours = {**os.environ, **servers.environment, "TOKEN_KEY": TOKEN_KEY, **environment}
    return subprocess.run(command, cwd=ROOT, env=ours, capture_output=True, text=True, check=False)


def rows(statement: str) -> list[Any]:
    with Session() as session:
        return [tuple(row) for row in session.execute(text(statement))]


TYPES = "SELECT type, count(*) FROM chats WHERE title NOT LIKE 'Load%' OR title IS NULL GROUP BY 1 ORDER BY 1"
MISCOUNTED = "SELECT count(*) FROM chats WHERE last_seq <> (SELECT count(*) FROM messages WHERE chat_id = id)"
EVERYTHING = """
    SELECT md5(string_agg(each, E'\\n' ORDER BY each)) FROM (
        SELECT chat_id || content || seq || sender_id || created_at AS each FROM messages
        UNION ALL SELECT chat_id || user_id::text || last_read_seq FROM chat_members
        UNION ALL SELECT id || title || last_seq || last_message_preview || last_message_at FROM chats
    ) AS stored
"""


def test_a_demo_and_a_load_set_are_filled_in_once(db: Settings, servers: Servers) -> None:
    """Passwords are shown once, and nobody can sign in as one of the load set's people."""
    first = run(servers, "--messages", "3000", "--chats", "40")
    before = rows(EVERYTHING)
    second = run(servers, "--messages", "3000", "--chats", "40")

    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert [line.split()[0] for line in first.stdout.splitlines()[:2]] == ["anna", "ben"]
    assert second.stdout.count("already") == 2
    assert rows(EVERYTHING) == before
    assert rows("SELECT count(*) FROM messages WHERE client_msg_id LIKE 'load:%'") == [(3_000,)]
    assert rows(TYPES) == [("1_to_1", 1), ("ai", 1), ("group", 1)]
    assert rows("SELECT count(*) FROM users WHERE username LIKE 'load-%' AND password_hash IS NOT NULL") == [(0,)]
    assert rows(MISCOUNTED) == [(0,)]


def test_a_load_set_is_the_same_each_time(db: Settings, servers: Servers) -> None:
    """Row for row: what was measured on one can be measured again."""
    sets = []
    for _ in range(2):
        servers.erase()
        assert run(servers, "--messages", "500", "--chats", "10").returncode == 0
        with Session.begin() as session:
            session.execute(text("DELETE FROM chats WHERE title NOT LIKE 'Load%' OR title IS NULL"))
        sets.append(rows(EVERYTHING))

    assert sets[0] == sets[1] != [(None,)]


@pytest.mark.parametrize(
    "arguments", [("--messages", "-1"), ("--messages", "x"), ("--messages", "10", "--chats", "11"), ("--chats", "1")]
)
def test_a_bad_size_is_refused(servers: Servers, arguments: tuple[str, ...]) -> None:
    """Before anything is stored."""
    arguments = arguments if arguments[0] == "--messages" else ("--messages", "10", *arguments)

    assert run(servers, *arguments).returncode == 2


def test_without_a_database_there_is_nothing_to_fill(servers: Servers, tmp_path: Any) -> None:
    """And that is said."""
    refused = run(servers, DATABASE_URL="", PARLEY_DATA=str(tmp_path))

    assert refused.returncode == 2
    assert "no database" in refused.stderr
