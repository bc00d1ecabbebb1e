"""Seed demo: fills a database with two people and what they talk about; ``python -m scripts.seed_demo``.

    --messages 1000000 --chats 10000    besides, a load set: so many messages in so many chats (`scripts.load_set`)

The database is ``DATABASE_URL``, or that of the `make run` which uses the data folder (``PARLEY_DATA``). Passwords are
made anew and printed once. Run again, it changes nothing that is there. Exit code 2: there is no database to fill.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg2
from sqlalchemy.exc import SQLAlchemyError

from local.folder import Folder
from models import base, chats, messages, settings, users
from models.account_errors import UsernameTaken
from models.base import Session
from models.passwords import Passwords
from models.settings import Settings
from models.users import AI_ID
from scripts import load_set
from scripts.check_invariants import published
from scripts.load_set import LoadSet

CHATS = 10_000
PEOPLE = ("anna", "ben")
MORE_CHATS = 500
"""Stored, until a line says so."""

_PAIR = (("anna", "Have you seen the plan for Friday?"), ("ben", "Not yet. I will read it tonight."))
_GROUP = (
    ("anna", "Let us collect here what we still need."),
    ("ben", "A room for twenty, and somebody who takes notes."),
    ("anna", "@AI what else does one usually forget?"),
)
_AI = (
    ("anna", "How does a job queue survive the loss of a worker?"),
    ("ai", "Each job is held under a lease. A worker that falls silent loses it, and another one begins anew."),
)


def main(environ: Mapping[str, str], arguments: Sequence[str]) -> int:
    """Returns the exit code."""
    options = _options(arguments)
    ours = settings.from_environment(environ)
    ours = ours if ours.database_url else settings.from_environment({**environ, **published(ours.data_folder)})
    if not ours.database_url:
        print("There is no database to fill: set DATABASE_URL, or start `make run`.", file=sys.stderr)
        return 2
    key = ours.token_key or Folder(ours.data_folder).token_key()
    try:
        fill_demo(ours, key=key)
        if options.messages:
            fill_load(ours, LoadSet(messages=options.messages, chats=options.chats), key=key)
    except (SQLAlchemyError, psycopg2.Error) as error:
        print(f"The database does not take it: {error}", file=sys.stderr)
        return 2
    return 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m scripts.seed_demo", description="Fill a demo, and a load set.")
    parser.add_argument("--messages", type=_number, default=0, help="of the load set; 0: none")
    parser.add_argument("--chats", type=_number, default=CHATS, help="of the load set")
    options = parser.parse_args(arguments)
    if options.messages and not 1 < options.chats <= options.messages:
        parser.error("a load set has two chats at least, and a message for each")
    return options


def _number(raw: str) -> int:
    number = int(raw.replace(",", "").replace("_", ""))
    if number < 0:
        raise argparse.ArgumentTypeError("is negative")
    return number


def fill_demo(ours: Settings, *, key: str, passwords: Passwords | None = None) -> None:
    """Two people, a chat of theirs, a group, and a chat with the AI."""
    said = {username: secrets.token_urlsafe(12) for username in PEOPLE}
    hasher = passwords or Passwords()
    hashes = {username: hasher.hashed(password) for username, password in said.items()}
    engine = base.open_database(ours, name="seed")
    try:
        with Session.begin() as session:
            ids = {"ai": AI_ID}
            for username, password_hash in hashes.items():
                facts: dict[str, Any] = {"username": username, "display_name": username.title(), "phone_hash": None}
                ids[username] = users.create(session, **facts, password_hash=password_hash)["id"]
            pair, _ = chats.create_pair(session, user_id=ids["anna"], other_id=ids["ben"], key=key)
            group = chats.create_group(session, user_id=ids["anna"], member_ids=[ids["ben"]], title="Friday", key=key)
            own = chats.create_ai(session, user_id=ids["anna"], title="Lost workers", key=key)
            for chat_id, lines in ((pair, _PAIR), (group, _GROUP), (own, _AI)):
                for number, (name, content) in enumerate(lines, start=1):
                    given: dict[str, Any] = {"chat_id": chat_id, "sender_id": ids[name], "content": content}
                    messages.post(session, **given, client_msg_id=f"demo:{number}")
    except UsernameTaken:
        print("The demo, or somebody of one of its names, is there already.")
        return
    finally:
        engine.dispose()
    for username, password in said.items():
        print(f"{username}  {password}")


def fill_load(ours: Settings, size: LoadSet, *, key: str) -> None:
    """So many messages."""
    connection = psycopg2.connect(ours.libpq_url, application_name="parley seed")
    begun = time.monotonic()

    def told(stored: int) -> None:
        if stored % MORE_CHATS == 0:
            print(f"{stored:,} of {size.chats:,} chats after {time.monotonic() - begun:.0f} s", file=sys.stderr)

    try:
        if load_set.is_there(connection):
            print("A load set is there already.")
            return
        load_set.fill(connection, size, key=key, told=told)
    finally:
        connection.close()
    print(f"{size.messages:,} messages in {size.chats:,} chats, by {size.people:,} people")


if __name__ == "__main__":
    sys.exit(main(os.environ, sys.argv[1:]))
