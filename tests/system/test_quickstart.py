"""The programs of the quickstart, copied out of it and run."""

from __future__ import annotations

import pathlib
import shutil
import sys

import pytest

from tests.system.recipes import block, run, shell
from tests.system.stack import Stack

pytestmark = pytest.mark.xdist_group("system")
SETTINGS = {"ALLOW_GUESTS": "true", "REGISTRATION": "open"}
PAGE = "docs/quickstart.md"


def test_the_programs_of_the_quickstart_do_what_it_says(stack: Stack, tmp_path: pathlib.Path) -> None:
    """In one test, because a stack takes longer than all of them."""
    node = shutil.which("node")

    assert "Echo: Why" in run(stack, tmp_path, block(PAGE, "python", "ask.py"), sys.executable, "Why is the sky blue?")
    assert "Echo:" in run(stack, tmp_path, block(PAGE, "python", "talk.py"), sys.executable, "Hello there")
    if node:
        (tmp_path / "package.json").write_text('{"type": "module"}')
        assert "Echo: Why" in run(stack, tmp_path, block(PAGE, "js", "fetch("), node)
    assert '"status": "completed"' in shell(stack, tmp_path, block(PAGE, "bash", "until curl"))
