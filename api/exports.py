"""Exports: all that is stored of somebody, written as it is read, so that none of it is ever whole in memory."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any

from flask import json
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from api.jobs import wire_time
from api.schemas import camel
from models import exports, logs
from models.account_errors import UserNotFound
from models.base import Autocommit, is_outage
from models.exports import Section

log = logs.logger()


def beginning(session: Session, user_id: str) -> dict[str, Any]:
    """The account itself, as it opens the export.

    Raises:
        UserNotFound: it has ended.
    """
    profile = exports.profile(session, user_id)
    if profile is None:
        raise UserNotFound
    return _as_wire(profile)


def stream(user_id: str, profile: Mapping[str, Any]) -> Iterator[bytes]:
    """The JSON object, page by page. No connection is held while the client reads."""
    try:
        yield b'{"profile": ' + json.dumps(profile).encode()
        for section in exports.SECTIONS:
            yield f', "{section.name}": ['.encode()
            yield from _rows(section, user_id)
            yield b"]"
        yield b"}\n"
    except SQLAlchemyError as error:
        # Too late for another status. What was sent is no JSON, so nobody takes it for the whole.
        if not is_outage(error):
            raise
        log.warning("database_unavailable", error=type(error).__name__)


def _rows(section: Section, user_id: str) -> Iterator[bytes]:
    last, comma = None, b"\n"
    while True:
        with Autocommit() as session:
            page = exports.page(session, section, user_id, after=last)
        if not page:
            return
        for row in page:
            yield comma + json.dumps(_as_wire(row)).encode()
            comma = b",\n"
        last = page[-1]


def _as_wire(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {camel(name): wire_time(value) if isinstance(value, dt.datetime) else value for name, value in row.items()}
