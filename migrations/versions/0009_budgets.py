"""What is reserved for a job while it is announced or runs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    # Nullable and without a default: no row is written.
    op.add_column("jobs", sa.Column("reserved", sa.Numeric(), nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "reserved")
