"""Whether the tables are this version's is told without Alembic, and never wrongly."""

from __future__ import annotations

import pathlib

import psycopg2
from alembic.config import Config
from alembic.script import ScriptDirectory

from local import schema
from tests.conftest import ROOT, Servers


def test_only_tables_of_this_very_version_are_current(servers: Servers) -> None:
    """Older and newer ones are Alembic's business, and so is a server that does not answer."""
    url = servers.environment["DATABASE_URL"]
    config = Config()
    config.set_main_option("script_location", str(ROOT / "migrations"))
    newest = ScriptDirectory.from_config(config).get_current_head()
    found = []
    connection = psycopg2.connect(url)
    try:
        for revision in ("0001", "9999", newest):
            with connection, connection.cursor() as cursor:
                cursor.execute("UPDATE alembic_version SET version_num = %s", (revision,))
            found.append(schema.is_current(url, ROOT))
    finally:
        connection.close()

    assert found == [False, False, True]
    assert not schema.is_current("postgresql://parley:x@127.0.0.1:1/parley", ROOT)


def test_a_product_without_migrations_is_left_to_alembic(servers: Servers, tmp_path: pathlib.Path) -> None:
    """It will say what is wrong."""
    assert not schema.is_current(servers.environment["DATABASE_URL"], tmp_path)
