"""Whether an answer may be used again for the same prompt, in a chat and of a job; and whether it was."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    # Constants: PostgreSQL notes them for the rows there are and writes none.
    for table, column in (
        ("chats", sa.Column("reuses_answers", sa.Boolean(), server_default=sa.text("true"), nullable=False)),
        ("jobs", sa.Column("reuses_answer", sa.Boolean(), server_default=sa.text("false"), nullable=False)),
        ("jobs", sa.Column("cached", sa.Boolean(), nullable=True)),
    ):
        op.add_column(table, column)


def downgrade() -> None:
    op.drop_column("jobs", "cached")
    op.drop_column("jobs", "reuses_answer")
    op.drop_column("chats", "reuses_answers")
