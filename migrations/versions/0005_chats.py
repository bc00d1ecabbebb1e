"""Chats, their members, messages and summaries; the AI as a user; jobs that answer in a chat."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"

AI_ID = "00000000-0000-4000-8000-0000000000a1"
PARTITIONS = """
    DO $$ BEGIN
        FOR part IN 0..15 LOOP
            EXECUTE format('CREATE TABLE messages_%s PARTITION OF messages FOR VALUES WITH (MODULUS 16, REMAINDER %s)',
                           part, part);
        END LOOP;
    END $$
"""
CHECKS = """
    ALTER TABLE jobs ADD CONSTRAINT ck_jobs_purpose
        CHECK (purpose IN ('prompt', 'reply', 'recap', 'regeneration', 'title', 'summary')) NOT VALID;
    ALTER TABLE jobs ADD CONSTRAINT ck_jobs_chat_iff_for_one
        CHECK ((purpose = 'prompt') = (chat_id IS NULL)) NOT VALID;
    ALTER TABLE jobs ADD CONSTRAINT fk_jobs_chat_id_chats
        FOREIGN KEY (chat_id) REFERENCES chats (id) ON DELETE CASCADE NOT VALID;
    ALTER TABLE jobs ADD CONSTRAINT fk_jobs_asked_by_users FOREIGN KEY (asked_by) REFERENCES users (id) NOT VALID;
"""
VALIDATIONS = """
    ALTER TABLE jobs VALIDATE CONSTRAINT ck_jobs_purpose;
    ALTER TABLE jobs VALIDATE CONSTRAINT ck_jobs_chat_iff_for_one;
    ALTER TABLE jobs VALIDATE CONSTRAINT fk_jobs_chat_id_chats;
    ALTER TABLE jobs VALIDATE CONSTRAINT fk_jobs_asked_by_users;
"""


def upgrade() -> None:
    op.create_table(
        "chats",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("chat_no", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("room_hash", sa.Text(), nullable=False),
        sa.Column(
            "type",
            sa.Enum("ai", "1_to_1", "group", name="chattype", native_enum=False, create_constraint=True, length=20),
            nullable=False,
        ),
        sa.Column("title", sa.Text(), nullable=True),
        sa.Column(
            "title_source",
            sa.Enum(
                "none",
                "auto",
                "model",
                "user",
                name="titlesource",
                native_enum=False,
                create_constraint=True,
                length=20,
            ),
            server_default="none",
            nullable=False,
        ),
        sa.Column(
            "ai_mode",
            sa.Enum("off", "mention", "always", name="aimode", native_enum=False, create_constraint=True, length=20),
            nullable=False,
        ),
        sa.Column(
            "ai_callers",
            sa.Enum("all", "admins", name="aicallers", native_enum=False, create_constraint=True, length=20),
            server_default="all",
            nullable=False,
        ),
        sa.Column("hides_history", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_by", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("low_user_id", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("high_user_id", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("last_seq", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("last_change_seq", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column(
            "last_message_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("last_message_preview", sa.Text(), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.CheckConstraint("(title IS NULL) = (title_source = 'none')", name=op.f("ck_chats_title_has_source")),
        sa.CheckConstraint("(type = '1_to_1') = (low_user_id IS NOT NULL)", name=op.f("ck_chats_pair_iff_1_to_1")),
        sa.CheckConstraint("(low_user_id IS NULL) = (high_user_id IS NULL)", name=op.f("ck_chats_pair_has_two")),
        sa.CheckConstraint("char_length(title) BETWEEN 1 AND 120", name=op.f("ck_chats_title_length")),
        sa.CheckConstraint("last_seq >= 0 AND last_change_seq >= last_seq", name=op.f("ck_chats_counters_in_range")),
        sa.CheckConstraint("low_user_id < high_user_id", name=op.f("ck_chats_pair_in_order")),
        sa.ForeignKeyConstraint(["created_by"], ["users.id"], name=op.f("fk_chats_created_by_users")),
        sa.ForeignKeyConstraint(["high_user_id"], ["users.id"], name=op.f("fk_chats_high_user_id_users")),
        sa.ForeignKeyConstraint(["low_user_id"], ["users.id"], name=op.f("fk_chats_low_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_chats")),
        postgresql_with={"fillfactor": "60", "autovacuum_vacuum_scale_factor": "0.02"},
    )
    op.create_index("uq_chats_chat_no", "chats", ["chat_no"], unique=True)
    op.create_index(
        "uq_chats_pair",
        "chats",
        ["low_user_id", "high_user_id"],
        unique=True,
        postgresql_where=sa.text("low_user_id IS NOT NULL"),
    )
    op.create_index("uq_chats_room_hash", "chats", ["room_hash"], unique=True)
    op.create_table(
        "ai_cache_contexts",
        sa.Column("chat_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("rolling_summary_text", sa.Text(), server_default="", nullable=False),
        sa.Column("details", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("summarized_seq", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("version", sa.Integer(), server_default="0", nullable=False),
        sa.Column("is_stale", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("tokens", sa.Integer(), nullable=True),
        sa.Column(
            "updated_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.CheckConstraint(
            "summarized_seq >= 0 AND version >= 0 AND failures >= 0",
            name=op.f("ck_ai_cache_contexts_counters_in_range"),
        ),
        sa.ForeignKeyConstraint(
            ["chat_id"], ["chats.id"], name=op.f("fk_ai_cache_contexts_chat_id_chats"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("chat_id", name=op.f("pk_ai_cache_contexts")),
    )
    op.create_table(
        "chat_members",
        sa.Column("user_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("chat_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column(
            "role",
            sa.Enum("member", "admin", name="memberrole", native_enum=False, create_constraint=True, length=20),
            server_default="member",
            nullable=False,
        ),
        sa.Column("joined_seq", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("last_read_seq", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("muted", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("joined_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.CheckConstraint("joined_seq >= 0 AND last_read_seq >= 0", name=op.f("ck_chat_members_counters_in_range")),
        sa.ForeignKeyConstraint(
            ["chat_id"], ["chats.id"], name=op.f("fk_chat_members_chat_id_chats"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_chat_members_user_id_users")),
        sa.PrimaryKeyConstraint("user_id", "chat_id", name=op.f("pk_chat_members")),
        postgresql_with={"fillfactor": "70"},
    )
    op.create_index("ix_chat_members_chat_id", "chat_members", ["chat_id", "user_id"], unique=False)
    op.create_table(
        "messages",
        sa.Column("chat_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("sender_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("is_ai", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("client_msg_id", sa.Text(), nullable=False),
        sa.Column("reply_to", sa.BigInteger(), nullable=True),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column(
            "status",
            sa.Enum("complete", "stopped", name="messagestatus", native_enum=False, create_constraint=True, length=20),
            server_default="complete",
            nullable=False,
        ),
        sa.Column("job_id", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("edited_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("change_seq", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("(deleted_at IS NOT NULL) = (content = '')", name=op.f("ck_messages_empty_iff_deleted")),
        sa.CheckConstraint(
            "char_length(client_msg_id) BETWEEN 1 AND 64", name=op.f("ck_messages_client_msg_id_length")
        ),
        sa.CheckConstraint("char_length(content) <= 32000", name=op.f("ck_messages_content_length")),
        sa.CheckConstraint("reply_to < seq", name=op.f("ck_messages_replies_to_earlier")),
        sa.CheckConstraint("seq > 0 AND change_seq >= seq", name=op.f("ck_messages_counters_in_range")),
        sa.ForeignKeyConstraint(["chat_id"], ["chats.id"], name=op.f("fk_messages_chat_id_chats"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["sender_id"], ["users.id"], name=op.f("fk_messages_sender_id_users")),
        sa.PrimaryKeyConstraint("chat_id", "seq", name=op.f("pk_messages")),
        postgresql_partition_by="HASH (chat_id)",
    )
    op.create_index("ix_messages_change_seq", "messages", ["chat_id", "change_seq"], unique=False)
    op.create_index(
        "ix_messages_content",
        "messages",
        [sa.literal_column("to_tsvector('simple', content)")],
        unique=False,
        postgresql_using="gin",
    )
    op.create_index("uq_messages_client_msg_id", "messages", ["sender_id", "chat_id", "client_msg_id"], unique=True)
    op.create_table(
        "past_summaries",
        sa.Column("chat_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("rolling_summary_text", sa.Text(), nullable=False),
        sa.Column("details", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("summarized_seq", sa.BigInteger(), nullable=False),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["chat_id"], ["chats.id"], name=op.f("fk_past_summaries_chat_id_chats"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("chat_id", "version", name=op.f("pk_past_summaries")),
    )
    op.create_table(
        "message_versions",
        sa.Column("chat_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column(
            "replaced_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.ForeignKeyConstraint(
            ["chat_id"], ["chats.id"], name=op.f("fk_message_versions_chat_id_chats"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("chat_id", "seq", "version", name=op.f("pk_message_versions")),
    )
    op.execute(PARTITIONS)
    op.add_column("users", sa.Column("is_ai", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.create_check_constraint(op.f("ck_users_nobody_is_the_ai"), "users", "NOT is_ai OR password_hash IS NULL")
    op.execute(f"INSERT INTO users (id, username, display_name, is_ai) VALUES ('{AI_ID}', 'ai', 'AI', true)")  # noqa: S608
    _let_jobs_answer_in_chats()


def _let_jobs_answer_in_chats() -> None:
    op.add_column("jobs", sa.Column("purpose", sa.String(20), server_default="prompt", nullable=False))
    op.add_column("jobs", sa.Column("chat_id", sa.Uuid(as_uuid=False), nullable=True))
    op.add_column("jobs", sa.Column("up_to_seq", sa.BigInteger(), nullable=True))
    op.add_column("jobs", sa.Column("asked_by", sa.Uuid(as_uuid=False), nullable=True))
    op.execute(CHECKS)
    # A long table is not locked while its rows are looked through and its indexes are built.
    with op.get_context().autocommit_block():
        op.execute(VALIDATIONS)
        for name, columns, unique, condition in (
            ("ix_jobs_chat", ["chat_id", "created_at", "id"], False, "chat_id IS NOT NULL"),
            ("ix_jobs_chat_unfinished", ["chat_id"], False, "finished_at IS NULL AND chat_id IS NOT NULL"),
            ("uq_jobs_next_reply", ["chat_id"], True, "status = 'created' AND purpose = 'reply'"),
            ("uq_jobs_next_summary", ["chat_id"], True, "finished_at IS NULL AND purpose = 'summary'"),
        ):
            op.create_index(
                name,
                "jobs",
                columns,
                unique=unique,
                postgresql_where=sa.text(condition),
                postgresql_concurrently=True,
                if_not_exists=True,
            )


def downgrade() -> None:
    for index in ("ix_jobs_chat", "ix_jobs_chat_unfinished", "uq_jobs_next_reply", "uq_jobs_next_summary"):
        op.drop_index(index, table_name="jobs")
    op.execute("DELETE FROM jobs WHERE chat_id IS NOT NULL")
    for column in ("asked_by", "up_to_seq", "chat_id", "purpose"):
        op.drop_column("jobs", column)
    for table in ("message_versions", "past_summaries", "ai_cache_contexts", "messages", "chat_members", "chats"):
        op.drop_table(table)
    op.execute("DELETE FROM users WHERE is_ai")
    op.drop_column("users", "is_ai")
