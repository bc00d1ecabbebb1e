"""The programs of the quickstart, copied out of it and run."""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.system.stack import Stack

pytestmark = pytest.mark.xdist_group("system")
SETTINGS = {"ALLOW_GUESTS": "true", "REGISTRATION": "open"}
PAGE = (ROOT / "docs/quickstart.md").read_text()


def block(language: str, words: str) -> str:
    """The one of this language that has these words."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (found,) = [each for each in blocks if words in each]
    assert "http://127.0.0.1:8000" in found
    return str(found)


def run(stack: Stack, folder: pathlib.Path, program: str, *words: str) -> str:
    """What it prints, asked of this stack and not of `make run`'s."""
    file = folder / "program"
    file.write_text(program.replace("http://127.0.0.1:8000", f"http://127.0.0.1:{stack.port}"))
    here = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    command = [words[0], str(file), *words[1:]]
    ran = subprocess.run(command, cwd=folder, env=here, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_the_programs_of_the_quickstart_do_what_it_says(stack: Stack, tmp_path: pathlib.Path) -> None:
    """In one test, because a stack takes longer than all of them."""
    curl, node = shutil.which("curl"), shutil.which("node")

    assert "Echo: Why" in run(stack, tmp_path, block("python", "ask.py"), sys.executable, "Why is the sky blue?")
    assert "Echo:" in run(stack, tmp_path, block("python", "talk.py"), sys.executable, "Hello there")
    if curl:
        assert '"status": "completed"' in run(stack, tmp_path, block("bash", "until curl"), "bash")
    if node:
        (tmp_path / "package.json").write_text('{"type": "module"}')
        assert "Echo: Why" in run(stack, tmp_path, block("js", "fetch("), node)
