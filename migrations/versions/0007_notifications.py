"""Messages that somebody may have to be told of."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "notifications",
        sa.Column("chat_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("user_ids", postgresql.ARRAY(sa.Uuid(as_uuid=False)), nullable=True),
        sa.Column("failed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint("attempt >= 0", name=op.f("ck_notifications_counters_in_range")),
        sa.CheckConstraint("failed_at IS NULL OR error IS NOT NULL", name=op.f("ck_notifications_failed_has_error")),
        sa.PrimaryKeyConstraint("chat_id", "seq", name=op.f("pk_notifications")),
        postgresql_with={"autovacuum_vacuum_scale_factor": "0.02"},
    )
    op.create_index(
        "ix_notifications_due", "notifications", ["next_attempt_at"], postgresql_where=sa.text("failed_at IS NULL")
    )
    op.create_index(
        "ix_notifications_failed", "notifications", ["failed_at"], postgresql_where=sa.text("failed_at IS NOT NULL")
    )


def downgrade() -> None:
    op.drop_table("notifications")
