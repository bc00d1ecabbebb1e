"""Batches: many prompts handed in together, answered one by one."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import CheckConstraint, Text, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from models import clock
from models.base import Base

MOST_PROMPTS = 10_000


class Batch(Base):
    """What was handed in together. How far it is, its jobs say."""

    __tablename__ = "batches"
    __table_args__ = (CheckConstraint(f"total BETWEEN 1 AND {MOST_PROMPTS}", name="total_in_range"),)

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    owner: Mapped[str] = mapped_column(Text)
    total: Mapped[int]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=clock.now())
    cancelled_at: Mapped[dt.datetime | None]
