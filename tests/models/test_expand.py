"""Old code works on new tables: what a migration does to tables that were there, the code of before can live with.

That code goes on while a migration runs and for some time after it: it writes rows without the new columns, reads all
that it knows, and meets every constraint. A column that nobody needs any more goes one version after the code that used
it. `tests/system/test_old_and_new.py` runs the old code itself, where its files can be had.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import pytest
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, pool, text

from models.base import Base
from tests.conftest import ROOT, Servers

pytestmark = pytest.mark.xdist_group("people")

STAYS = "users are marked as deleted, and stay"
EXCUSED = {
    ("0002", "idempotency_keys has a new rule ck_idempotency_keys_one_thing_made"): "the job is all that old code made",
    ("0002", "jobs has a new rule ck_jobs_discarded_only_failed"): "before the first release",
    ("0002", "jobs has another rule ck_jobs_queueclass"): "it allows more, and old workers ask for their own class",
    ("0005", "jobs has a new rule uq_jobs_next_reply"): "before the first release",
    ("0005", "jobs has a new rule uq_jobs_next_summary"): "before the first release",
    ("0005", "users has a new rule ck_users_nobody_is_the_ai"): "old code makes no AI",
    **{
        ("0005", f"users rows cannot be deleted for fk_{column}_users of {column.split('_')[0]}"): STAYS
        for column in ("chats_created_by", "chats_high_user_id", "chats_low_user_id", "messages_sender_id")
    },
    ("0005", "users rows cannot be deleted for fk_chat_members_user_id_users of chat_members"): STAYS,
}
"""What a migration did all the same, and why old code could live with it."""

_COLUMNS = text("""
    SELECT c.relname AS in_table, a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
           a.attnotnull AS demanded, a.atthasdef OR a.attidentity <> '' AS fills_itself
    FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
      AND a.attnum > 0 AND NOT a.attisdropped AND c.relname <> 'alembic_version'
""")
_RULES = text("""
    SELECT t.relname AS in_table, r.conname AS name, pg_get_constraintdef(r.oid) AS says,
           r.contype IN ('p', 'u') AS is_unique, r.contype = 'f' AS is_reference, r.confrelid::regclass::text AS other,
           r.confdeltype IN ('c', 'n', 'd') AS lets_go,
           ARRAY(SELECT a.attname::text FROM pg_attribute AS a
                 WHERE a.attrelid = r.conrelid AND a.attnum = ANY (r.conkey)) AS columns
    FROM pg_constraint AS r JOIN pg_class AS t ON t.oid = r.conrelid
    WHERE r.connamespace = 'public'::regnamespace AND r.contype IN ('c', 'f', 'p', 'u', 'x') AND NOT t.relispartition
    UNION ALL
    SELECT t.relname, i.relname, pg_get_indexdef(x.indexrelid), true, false, NULL, NULL,
           ARRAY(SELECT DISTINCT a.attname::text FROM pg_depend AS d
                 JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
                 WHERE d.objid = x.indexrelid AND d.refobjid = x.indrelid AND d.refobjsubid > 0)
    FROM pg_index AS x JOIN pg_class AS t ON t.oid = x.indrelid JOIN pg_class AS i ON i.oid = x.indexrelid
    WHERE t.relnamespace = 'public'::regnamespace AND x.indisunique AND NOT t.relispartition
      AND NOT EXISTS (SELECT FROM pg_constraint AS r WHERE r.conindid = x.indexrelid AND r.contype IN ('p', 'u', 'x'))
    UNION ALL
    SELECT t.relname, g.tgname, pg_get_triggerdef(g.oid), false, false, NULL, NULL, '{}'
    FROM pg_trigger AS g JOIN pg_class AS t ON t.oid = g.tgrelid
    WHERE NOT g.tgisinternal AND t.relnamespace = 'public'::regnamespace AND NOT t.relispartition
""")


@dataclass(frozen=True)
class Tables:
    """What there is at one moment: columns, and rules that rows must keep."""

    columns: dict[tuple[str, str], Any]
    rules: dict[tuple[str, str], Any]
    names: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, connection: Connection) -> Tables:
        """Of this database, as this connection sees it."""
        columns = {(row.in_table, row.name): row for row in connection.execute(_COLUMNS)}
        rules = {(row.in_table, row.name): row for row in connection.execute(_RULES)}
        return cls(columns, rules, {table for table, _ in columns})


def narrowed(before: Tables, after: Tables) -> set[str]:
    """What old code could stumble over, one line each."""
    return {*_columns_narrowed(before, after), *_rules_narrowed(before, after)}


def _columns_narrowed(before: Tables, after: Tables) -> Iterator[str]:
    for (table, name), old in before.columns.items():
        new = after.columns.get((table, name))
        if new is None:
            yield f"{table}.{name} is gone"
        elif new.type != old.type:
            yield f"{table}.{name} is {new.type} and was {old.type}"
        elif new.demanded and not new.fills_itself and (not old.demanded or old.fills_itself):
            yield f"{table}.{name} must now be written"
        elif new.demanded and not old.demanded:
            yield f"{table}.{name} may no longer be null"
    for (table, name), new in after.columns.items():
        is_new = table in before.names and (table, name) not in before.columns
        if is_new and new.demanded and not new.fills_itself:
            yield f"{table}.{name} is new and must be written"


def _rules_narrowed(before: Tables, after: Tables) -> Iterator[str]:
    for (table, name), new in after.rules.items():
        old = before.rules.get((table, name))
        known = {column for in_table, column in before.columns if in_table == table}
        if table not in before.names:
            if new.is_reference and new.other in before.names and not new.lets_go:
                yield f"{new.other} rows cannot be deleted for {name} of {table}"
        elif old is None:
            # One on new columns alone holds for what they are filled with: the rows of before were looked through.
            if not new.columns or known & set(new.columns):
                yield f"{table} has a new rule {name}"
        elif old.says != new.says:
            yield f"{table} has another rule {name}"
    for (table, name), old in before.rules.items():
        if old.is_unique and table in after.names and (table, name) not in after.rules:
            yield f"{table} has lost {name}, which an ON CONFLICT may name"


@pytest.fixture(scope="module")
def steps(worker_id: str) -> Iterator[dict[str, set[str]]]:
    """What each migration narrowed."""
    servers = Servers(worker_id, purpose="_expand")
    engine = create_engine(url_of(servers), poolclass=pool.NullPool)
    try:
        with engine.connect() as connection:
            connection.execute(text("DROP SCHEMA public CASCADE"))
            connection.execute(text("CREATE SCHEMA public"))
            connection.commit()
            yield upgraded(connection)
    finally:
        engine.dispose()
        servers.drop()


def upgraded(connection: Connection) -> dict[str, set[str]]:
    """From nothing to the newest; what each step narrowed."""
    found, last = {}, [Tables({}, {})]

    def look(ctx: Any, step: Any, **_: Any) -> None:
        now = Tables.of(ctx.connection)
        found[str(step.up_revision_id)] = narrowed(last.pop(), now)
        last.append(now)

    config = Config(ROOT / "alembic.ini")
    script = ScriptDirectory.from_config(config)
    with EnvironmentContext(config, script, fn=lambda was, _: script._upgrade_revs("head", was)) as environment:
        environment.configure(
            connection=connection,
            target_metadata=Base.metadata,  # names constraints
            transaction_per_migration=True,
            on_version_apply=look,  # type: ignore[arg-type]  # it is called with names
        )
        with environment.begin_transaction():
            environment.run_migrations()
    return found


def test_no_migration_takes_anything_from_old_code(steps: dict[str, set[str]]) -> None:
    """But what is excused above; and each excuse is needed."""
    assert {(revision, line) for revision, lines in steps.items() for line in lines} == set(EXCUSED)


NARROWING = {
    "ALTER TABLE jobs DROP COLUMN note": "jobs.note is gone",
    "ALTER TABLE jobs RENAME COLUMN note TO remark": "jobs.note is gone",
    "DROP TABLE breakers": "breakers.state is gone",
    "ALTER TABLE jobs ALTER COLUMN failures TYPE bigint": "jobs.failures is bigint and was integer",
    "ALTER TABLE jobs ALTER COLUMN note SET NOT NULL": "jobs.note must now be written",
    "ALTER TABLE jobs ALTER COLUMN due DROP DEFAULT": "jobs.due must now be written",
    "ALTER TABLE jobs ALTER note SET DEFAULT '', ALTER note SET NOT NULL": "jobs.note may no longer be null",
    "ALTER TABLE jobs ADD COLUMN mood text NOT NULL": "jobs.mood is new and must be written",
    "ALTER TABLE jobs ADD CONSTRAINT short CHECK (length(note) < 9)": "jobs has a new rule short",
    "ALTER TABLE jobs DROP CONSTRAINT ck_jobs_purpose, ADD CONSTRAINT ck_jobs_purpose CHECK (purpose <> '')": (
        "jobs has another rule ck_jobs_purpose"
    ),
    "CREATE UNIQUE INDEX once ON jobs (lower(note))": "jobs has a new rule once",
    "DROP INDEX uq_jobs_next_reply": "jobs has lost uq_jobs_next_reply, which an ON CONFLICT may name",
    "CREATE TRIGGER stop BEFORE DELETE ON jobs EXECUTE FUNCTION suppress_redundant_updates_trigger()": (
        "jobs has a new rule stop"
    ),
    "CREATE TABLE notes (job_id uuid CONSTRAINT of_job REFERENCES jobs (id))": (
        "jobs rows cannot be deleted for of_job of notes"
    ),
}


@pytest.mark.usefixtures("db")  # without rows, which some of it would not go with
@pytest.mark.parametrize(("ddl", "line"), NARROWING.items())
def test_what_would_break_old_code_is_found(servers: Servers, ddl: str, line: str) -> None:
    """Each way, on the tables as they are."""
    assert line in changed_by(servers, ddl)


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize(
    "ddl",
    [
        "ALTER TABLE jobs ADD COLUMN mood text",
        "ALTER TABLE jobs ADD COLUMN mood text NOT NULL DEFAULT '' CONSTRAINT calm CHECK (mood <> 'angry')",
        "CREATE INDEX fast ON jobs (note)",
        "CREATE TABLE notes (job_id uuid REFERENCES jobs (id) ON DELETE CASCADE, said text NOT NULL)",
    ],
)
def test_what_old_code_can_live_with_is_not(servers: Servers, ddl: str) -> None:
    """New columns that fill themselves, indexes, tables of their own."""
    assert changed_by(servers, ddl) == set()


def changed_by(servers: Servers, ddl: str) -> set[str]:
    """What this would narrow; it is taken back."""
    engine = create_engine(url_of(servers), poolclass=pool.NullPool)
    with closing(engine.connect()) as connection:
        before = Tables.of(connection)
        connection.exec_driver_sql(ddl)
        return narrowed(before, Tables.of(connection))


def url_of(servers: Servers) -> str:
    """For SQLAlchemy."""
    return servers.environment["DATABASE_URL"].replace("postgresql:", "postgresql+psycopg2:")
