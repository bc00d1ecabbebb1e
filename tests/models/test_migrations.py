"""The migrations make the tables that the code declares."""

from __future__ import annotations

import subprocess
import sys

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, inspect

import models
from models.base import Base
from tests.conftest import ROOT, Servers


def test_the_tables_are_those_of_the_code(servers: Servers) -> None:
    """A column, an index or a constraint that only one of the two knows is found here."""
    models.load_tables()
    engine = create_engine(servers.environment["DATABASE_URL"].replace("postgresql:", "postgresql+psycopg2:"))

    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_server_default": True, "include_object": models.is_declared}
        )
        differences = compare_metadata(context, Base.metadata)
        checks = {
            table.name: {check["name"] for check in inspect(connection).get_check_constraints(table.name)}
            for table in Base.metadata.sorted_tables
        }
    engine.dispose()

    assert differences == []
    for table in Base.metadata.sorted_tables:
        declared = {c.name for c in table.constraints if c.__visit_name__ == "check_constraint"}
        assert declared <= checks[table.name]


@pytest.mark.xdist_group("people")
def test_every_migration_can_be_taken_back_and_made_again(worker_id: str) -> None:
    """Down to nothing and up again."""
    servers = Servers(worker_id, purpose="_migrations")
    try:
        for direction, target in (("downgrade", "base"), ("upgrade", "head"), ("upgrade", "head")):
            command = [sys.executable, "-m", "alembic", direction, target]
            subprocess.run(command, cwd=ROOT, env=servers.environment, check=True)
    finally:
        servers.drop()
