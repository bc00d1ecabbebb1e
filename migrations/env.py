"""Migrations: how Alembic reaches the database, and what it compares it with.

Tables come and go here and nowhere else. One transaction for each migration;
an advisory lock makes a second `upgrade` that starts at the same time (two
machines deploying at once) wait and then find nothing to do.
"""

from __future__ import annotations

from alembic import context
from sqlalchemy import create_engine, pool, text

import models
from models import settings
from models.base import Base

models.load_tables()
UPGRADE_LOCK = 0x5041524C4D
LOCK_SECONDS = 5


def run() -> None:
    """Upgrade or compare, on one connection.

    ``lock_timeout`` keeps a migration that needs a table's lock from queueing
    behind a long query, and everybody else behind it.
    """
    engine = create_engine(
        settings.current_or_exit().database_url,
        poolclass=pool.NullPool,
        connect_args={"application_name": "parley migrations", "options": f"-c lock_timeout={LOCK_SECONDS * 1000}"},
    )
    with engine.connect() as guard, engine.connect() as connection:
        guard.execute(text("SET lock_timeout = '60s'"))
        guard.execute(text("SELECT pg_advisory_lock(:key)"), {"key": UPGRADE_LOCK})
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            transaction_per_migration=True,
            compare_server_default=True,
            include_object=models.is_declared,
        )
        with context.begin_transaction():
            context.run_migrations()


run()
