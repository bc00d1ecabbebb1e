"""Budgets that have run low or are used up, each told once a day."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_table(
        "budget_alerts",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column(
            "level",
            sa.Enum("low", "used", name="level", native_enum=False, create_constraint=True, length=20),
            nullable=False,
        ),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("id", sa.Uuid(as_uuid=False), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("budget", sa.Numeric(), nullable=False),
        sa.Column("spent", sa.Numeric(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint("attempt >= 0", name=op.f("ck_budget_alerts_counters_in_range")),
        sa.PrimaryKeyConstraint("day", "level", "owner", name=op.f("pk_budget_alerts")),
    )
    op.create_index(
        "ix_budget_alerts_due",
        "budget_alerts",
        ["next_attempt_at"],
        postgresql_where=sa.text("next_attempt_at IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_table("budget_alerts")
