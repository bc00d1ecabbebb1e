"""The SQL of the documentation, asked of the tables as they are: a runbook is read when there is no time to mend it."""

from __future__ import annotations

import re

import pytest

from models.base import Session
from models.settings import Settings
from tests.conftest import ROOT


def statements() -> list[str]:
    """Those about rows; what is for the server itself (``ALTER SYSTEM``) has no plan."""
    pages = sorted((ROOT / "docs").rglob("*.md"))
    block = re.compile(r"^ *```sql\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
    blocks = [text for page in pages for text in block.findall(page.read_text())]
    found = [statement.strip() for block in blocks for statement in block.split(";")]
    return [statement for statement in found if re.match(r"(?i)(select|delete|update|insert|with)\b", statement)]


@pytest.mark.parametrize("statement", statements())
def test_postgresql_has_a_plan_for_it(bound: Settings, statement: str) -> None:
    """It is planned and not run: whatever it deletes stays."""
    with Session() as session:
        assert session.connection().exec_driver_sql("EXPLAIN " + statement.replace("%", "%%")).all()


def test_there_is_some() -> None:
    """Or nothing would have been asked."""
    assert len(statements()) > 10
