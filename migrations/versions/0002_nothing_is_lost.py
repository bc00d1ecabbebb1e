"""What the engine needs to keep its promise: batches, schedules, fallbacks, retention, snapshots."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"

WAITING = "status IN ('created', 'retrying')"
DEAD = "status = 'failed' AND discarded_at IS NULL"


def upgrade() -> None:
    op.create_table(
        "batches",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("cancelled_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("total BETWEEN 1 AND 10000", name=op.f("ck_batches_total_in_range")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batches")),
    )
    op.create_table(
        "tombstones",
        sa.Column("job_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column(
            "removed_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_tombstones")),
    )
    op.create_index("ix_tombstones_removed_at", "tombstones", ["removed_at"], unique=False)
    op.create_table(
        "snapshots",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("body", postgresql.JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_snapshots")),
        prefixes=["UNLOGGED"],
        postgresql_with={"fillfactor": "50"},
    )
    _widen_jobs()
    _widen_keys()
    op.create_index(
        "ix_attempts_finished",
        "attempts",
        ["finished_at"],
        unique=False,
        postgresql_using="brin",
        postgresql_with={"autosummarize": "on"},
    )


def _widen_jobs() -> None:
    op.drop_constraint(op.f("ck_jobs_queueclass"), "jobs", type_="check")
    op.create_check_constraint(op.f("ck_jobs_queueclass"), "jobs", "queue_class IN ('interactive', 'batch')")
    op.add_column("jobs", sa.Column("due", sa.Boolean(), server_default=sa.text("true"), nullable=False))
    op.add_column("jobs", sa.Column("run_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("jobs", sa.Column("start_by", sa.DateTime(timezone=True), nullable=True))
    op.add_column("jobs", sa.Column("discarded_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("jobs", sa.Column("batch_id", sa.Uuid(as_uuid=False), nullable=True))
    op.add_column("jobs", sa.Column("batch_position", sa.Integer(), nullable=True))
    op.add_column("jobs", sa.Column("custom_id", sa.Text(), nullable=True))
    op.add_column("jobs", sa.Column("fallback", sa.SmallInteger(), server_default="0", nullable=False))
    op.add_column("jobs", sa.Column("degraded", sa.Boolean(), nullable=True))
    op.add_column("jobs", sa.Column("note", sa.Text(), nullable=True))
    op.create_foreign_key(op.f("fk_jobs_batch_id_batches"), "jobs", "batches", ["batch_id"], ["id"], ondelete="CASCADE")
    op.create_check_constraint(
        op.f("ck_jobs_position_iff_batch"), "jobs", "(batch_id IS NULL) = (batch_position IS NULL)"
    )
    op.create_check_constraint(
        op.f("ck_jobs_discarded_only_failed"), "jobs", "discarded_at IS NULL OR status = 'failed'"
    )
    op.drop_index("ix_jobs_waiting", table_name="jobs")
    op.create_index(
        "ix_jobs_waiting",
        "jobs",
        ["queue_class", "owner", "rank_at"],
        unique=False,
        postgresql_where=sa.text(f"{WAITING} AND due"),
    )
    op.create_index(
        "ix_jobs_later",
        "jobs",
        ["next_attempt_at"],
        unique=False,
        postgresql_where=sa.text(f"{WAITING} AND NOT due"),
    )
    op.create_index(
        "ix_jobs_start_by",
        "jobs",
        ["start_by"],
        unique=False,
        postgresql_where=sa.text("status = 'created' AND start_by IS NOT NULL"),
    )
    op.create_index(
        "ix_jobs_batch",
        "jobs",
        ["batch_id", "batch_position"],
        unique=True,
        postgresql_where=sa.text("batch_id IS NOT NULL"),
    )
    op.create_index(
        "ix_jobs_finished",
        "jobs",
        ["finished_at"],
        unique=False,
        postgresql_where=sa.text("finished_at IS NOT NULL"),
    )
    op.drop_index("ix_jobs_dead", table_name="jobs")
    op.create_index("ix_jobs_dead", "jobs", ["finished_at", "id"], unique=False, postgresql_where=sa.text(DEAD))
    for name, column in (("ix_jobs_dead_code", "error_code"), ("ix_jobs_dead_model", "model")):
        op.create_index(name, "jobs", [column, "finished_at", "id"], unique=False, postgresql_where=sa.text(DEAD))
    op.create_index(
        "ix_jobs_discarded",
        "jobs",
        ["finished_at", "id"],
        unique=False,
        postgresql_where=sa.text("discarded_at IS NOT NULL"),
    )


def _widen_keys() -> None:
    op.alter_column("idempotency_keys", "job_id", nullable=True)
    op.add_column("idempotency_keys", sa.Column("batch_id", sa.Uuid(as_uuid=False), nullable=True))
    op.create_foreign_key(
        op.f("fk_idempotency_keys_batch_id_batches"),
        "idempotency_keys",
        "batches",
        ["batch_id"],
        ["id"],
        ondelete="CASCADE",
    )
    op.create_check_constraint(
        op.f("ck_idempotency_keys_one_thing_made"), "idempotency_keys", "num_nonnulls(job_id, batch_id) = 1"
    )
    for made in ("job_id", "batch_id"):
        op.create_index(
            f"ix_idempotency_keys_{made}",
            "idempotency_keys",
            [made],
            unique=False,
            postgresql_where=sa.text(f"{made} IS NOT NULL"),
        )


def downgrade() -> None:
    op.drop_index("ix_attempts_finished", table_name="attempts")
    op.drop_index("ix_idempotency_keys_job_id", table_name="idempotency_keys")
    op.execute("DELETE FROM idempotency_keys WHERE job_id IS NULL")
    op.drop_column("idempotency_keys", "batch_id")
    op.alter_column("idempotency_keys", "job_id", nullable=False)
    for index in ("discarded", "dead_model", "dead_code", "dead", "finished", "batch", "start_by", "later", "waiting"):
        op.drop_index(f"ix_jobs_{index}", table_name="jobs")
    op.create_index(
        "ix_jobs_dead", "jobs", ["finished_at", "id"], unique=False, postgresql_where=sa.text("status = 'failed'")
    )
    op.create_index(
        "ix_jobs_waiting",
        "jobs",
        ["queue_class", "owner", "rank_at"],
        unique=False,
        postgresql_where=sa.text(WAITING),
    )
    for column in (
        *("note", "degraded", "fallback", "custom_id", "batch_position", "batch_id"),
        *("discarded_at", "start_by", "run_at", "due"),
    ):
        op.drop_column("jobs", column)
    op.execute("UPDATE jobs SET queue_class = 'interactive'")
    op.drop_constraint(op.f("ck_jobs_queueclass"), "jobs", type_="check")
    op.create_check_constraint(op.f("ck_jobs_queueclass"), "jobs", "queue_class = 'interactive'")
    for table in ("snapshots", "tombstones", "batches"):
        op.drop_table(table)
