"""Retention: how long finished work is kept, and what is left of it afterwards."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import Index, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from models import clock
from models.base import Base


class Tombstone(Base):
    """A job that was kept long enough: asked for, it is gone, not unknown."""

    __tablename__ = "tombstones"
    __table_args__ = (Index("ix_tombstones_removed_at", "removed_at"),)

    job_id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    removed_at: Mapped[dt.datetime] = mapped_column(server_default=clock.now())
