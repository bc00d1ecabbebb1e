"""Plans: what is asked for most of chats is read along indexes, and of one chat in one partition only.

The table is filled, analysed, and then planned for as ever: nothing is forbidden to the planner.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from benchmarks import chat_plans
from benchmarks.chat_plans import CHAT, STATEMENTS
from models.base import Session
from models.settings import Settings
from tests.conftest import ROOT, Servers
from tests.factories import TOKEN_KEY

FILL = f"""
import psycopg2, sys
from scripts import load_set
size = load_set.LoadSet(messages=16_000, chats=4_000, busy=20)
load_set.fill(psycopg2.connect(sys.argv[1]), size, key={TOKEN_KEY!r})
"""
OF_ONE = [
    name
    for name, (statement, given) in STATEMENTS.items()
    if "messages" in statement.text
    and given.get("chat_id") == CHAT
    and not name.startswith(("one chat", "summary", "place"))
] + ["search in one chat"]


@pytest.fixture(scope="module")
def filled(bound: Settings, servers: Servers) -> Iterator[None]:
    """By a process of its own: in this one psycopg2's waits are ours, and then it knows no COPY."""
    servers.erase()
    subprocess.run([sys.executable, "-c", FILL, bound.libpq_url], cwd=ROOT, check=True)
    yield
    servers.erase()


def plan(name: str) -> str:
    with Session() as session:
        return chat_plans.plan(session, name)


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("name", STATEMENTS)
def test_what_is_asked_for_most_is_read_along_indexes(name: str) -> None:
    """Of no table that grows with people and what they say is all read."""
    assert re.findall(r"Seq Scan on (?:users|chats|chat_members|messages_\d+)\b.*", plan(name)) == []


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("name", OF_ONE)
def test_of_one_chat_one_partition_is_read(name: str) -> None:
    """Which one follows from its id, when it is planned or when it is run."""
    assert len(set(re.findall(r"\bon (messages_\d+)\b", plan(name)))) == 1


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("name", ["newest page", "newest page, to be kept", "page further up", "page behind"])
def test_a_page_is_not_sorted_but_read_in_its_order(name: str) -> None:
    """So it costs the same however long the chat is: the rows of one page are put the right way round, and no more."""
    assert re.search(r"Limit.*\n.*Index Scan( Backward)? using messages_\d+_pkey", plan(name))
