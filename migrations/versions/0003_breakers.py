"""Circuit breakers, and which model of the chain a job is announced for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "breakers",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "closed", "open", "half_open", name="breakerstate", native_enum=False, create_constraint=True, length=20
            ),
            server_default="closed",
            nullable=False,
        ),
        sa.Column("changes", sa.Integer(), server_default="0", nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("retry_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("open_seconds", sa.Double(), server_default="0", nullable=False),
        sa.Column("failed_calls", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("probe_job_id", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("probe_attempt", sa.Integer(), nullable=True),
        sa.CheckConstraint(
            "(state = 'half_open') = (probe_job_id IS NOT NULL)", name=op.f("ck_breakers_probe_iff_half_open")
        ),
        sa.CheckConstraint(
            "(probe_job_id IS NULL) = (probe_attempt IS NULL)", name=op.f("ck_breakers_probe_has_attempt")
        ),
        sa.CheckConstraint("(state = 'open') = (retry_at IS NOT NULL)", name=op.f("ck_breakers_retry_iff_open")),
        sa.PrimaryKeyConstraint("model", name=op.f("pk_breakers")),
        postgresql_with={"fillfactor": "50"},
    )
    op.add_column("jobs", sa.Column("choice", sa.SmallInteger(), server_default="0", nullable=False))


def downgrade() -> None:
    op.drop_column("jobs", "choice")
    op.drop_table("breakers")
