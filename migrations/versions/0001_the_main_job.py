"""The main job: jobs, their attempts, idempotency keys and heartbeats."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "heartbeats",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("instance", sa.Text(), nullable=False),
        sa.Column("queue_class", sa.Text(), server_default="", nullable=False),
        sa.Column("slots", sa.Integer(), server_default="0", nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("kind", "instance", name=op.f("pk_heartbeats")),
        postgresql_with={"fillfactor": "50"},
    )
    op.create_table(
        "jobs",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column(
            "type",
            sa.Enum("chat", "summarize", name="jobtype", native_enum=False, create_constraint=True, length=20),
            nullable=False,
        ),
        sa.Column(
            "queue_class",
            sa.Enum("interactive", name="queueclass", native_enum=False, create_constraint=True, length=20),
            nullable=False,
        ),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("priority", sa.SmallInteger(), server_default="5", nullable=False),
        sa.Column("rank_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "created",
                "processing",
                "analyzing",
                "retrying",
                "completed",
                "failed",
                "cancelled",
                name="jobstatus",
                native_enum=False,
                create_constraint=True,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("lost_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column(
            "updated_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column(
            "next_attempt_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("announced_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deadline_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deadline_seconds", sa.Double(), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("leased_by", sa.Text(), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("result", sa.Text(), nullable=True),
        sa.Column("truncated", sa.Boolean(), nullable=True),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.CheckConstraint("(status = 'completed') = (result IS NOT NULL)", name=op.f("ck_jobs_result_iff_completed")),
        sa.CheckConstraint(
            "(status IN ('completed', 'failed', 'cancelled')) = (finished_at IS NOT NULL)",
            name=op.f("ck_jobs_finished_at_iff_finished"),
        ),
        sa.CheckConstraint(
            "(status IN ('processing', 'analyzing')) = (lease_until IS NOT NULL)",
            name=op.f("ck_jobs_lease_iff_running"),
        ),
        sa.CheckConstraint("(error_code IS NULL) = (error_message IS NULL)", name=op.f("ck_jobs_error_has_message")),
        sa.CheckConstraint("status != 'failed' OR error_code IS NOT NULL", name=op.f("ck_jobs_failed_has_error")),
        sa.CheckConstraint("(lease_until IS NULL) = (leased_by IS NULL)", name=op.f("ck_jobs_leased_by_iff_lease")),
        sa.CheckConstraint(
            "attempt >= 0 AND lost_count >= 0 AND max_attempts > 0", name=op.f("ck_jobs_counters_in_range")
        ),
        sa.CheckConstraint("char_length(message) BETWEEN 1 AND 32000", name=op.f("ck_jobs_message_length")),
        sa.CheckConstraint("failures BETWEEN 0 AND max_attempts", name=op.f("ck_jobs_failures_in_range")),
        sa.CheckConstraint("priority BETWEEN 0 AND 9", name=op.f("ck_jobs_priority_in_range")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
        postgresql_with={"fillfactor": "70", "autovacuum_vacuum_scale_factor": "0.02"},
    )
    op.create_index(
        "ix_jobs_announced",
        "jobs",
        ["queue_class", "announced_at"],
        unique=False,
        postgresql_where=sa.text("status IN ('created', 'retrying') AND announced_at IS NOT NULL"),
    )
    op.create_index(
        "ix_jobs_dead", "jobs", ["finished_at", "id"], unique=False, postgresql_where=sa.text("status = 'failed'")
    )
    op.create_index(
        "ix_jobs_running",
        "jobs",
        ["queue_class", "id"],
        unique=False,
        postgresql_where=sa.text("status IN ('analyzing', 'processing')"),
    )
    op.create_index(
        "ix_jobs_waiting",
        "jobs",
        ["queue_class", "owner", "rank_at"],
        unique=False,
        postgresql_where=sa.text("status IN ('created', 'retrying')"),
    )
    op.create_index(
        "ix_jobs_waiting_deadline",
        "jobs",
        ["deadline_at"],
        unique=False,
        postgresql_where=sa.text("status IN ('created', 'retrying')"),
    )
    op.create_table(
        "attempts",
        sa.Column("job_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "outcome",
            sa.Enum(
                "completed",
                "retried",
                "failed",
                "snoozed",
                "released",
                "lost",
                "cancelled",
                name="outcome",
                native_enum=False,
                create_constraint=True,
                length=20,
            ),
            nullable=True,
        ),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("prompt_tokens", sa.Integer(), nullable=True),
        sa.Column("completion_tokens", sa.Integer(), nullable=True),
        sa.CheckConstraint("(finished_at IS NULL) = (outcome IS NULL)", name=op.f("ck_attempts_outcome_iff_finished")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_attempts_job_id_jobs"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "attempt", name=op.f("pk_attempts")),
        postgresql_with={"fillfactor": "80"},
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("request_hash", sa.LargeBinary(), nullable=False),
        sa.Column("job_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_idempotency_keys_job_id_jobs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("scope", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index("ix_idempotency_keys_expires_at", "idempotency_keys", ["expires_at"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_idempotency_keys_expires_at", table_name="idempotency_keys")
    op.drop_table("idempotency_keys")
    op.drop_table("attempts")
    op.drop_index(
        "ix_jobs_waiting_deadline", table_name="jobs", postgresql_where=sa.text("status IN ('created', 'retrying')")
    )
    op.drop_index("ix_jobs_waiting", table_name="jobs", postgresql_where=sa.text("status IN ('created', 'retrying')"))
    op.drop_index(
        "ix_jobs_running", table_name="jobs", postgresql_where=sa.text("status IN ('analyzing', 'processing')")
    )
    op.drop_index("ix_jobs_dead", table_name="jobs", postgresql_where=sa.text("status = 'failed'"))
    op.drop_index(
        "ix_jobs_announced",
        table_name="jobs",
        postgresql_where=sa.text("status IN ('created', 'retrying') AND announced_at IS NOT NULL"),
    )
    op.drop_table("jobs")
    op.drop_table("heartbeats")
