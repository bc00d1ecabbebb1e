"""What each attempt cost, and what each owner has spent on each day."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    # Nullable and without a default: no row is written. Workers of before leave them null, which is true: not known.
    op.add_column("attempts", sa.Column("cost", sa.Numeric(), nullable=True))
    op.add_column("attempts", sa.Column("price_version", sa.Text(), nullable=True))
    op.create_table(
        "spending",
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.Column("prompt_tokens", sa.BigInteger(), nullable=False),
        sa.Column("completion_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cost", sa.Numeric(), nullable=True),
        sa.Column("unpriced_calls", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "day", "model", name=op.f("pk_spending")),
        postgresql_with={"fillfactor": "50"},
    )
    op.create_index("ix_spending_day", "spending", ["day"])


def downgrade() -> None:
    op.drop_table("spending")
    op.drop_column("attempts", "price_version")
    op.drop_column("attempts", "cost")
