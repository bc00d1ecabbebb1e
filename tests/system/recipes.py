"""Recipes: blocks of the documentation, copied out of it and run against a stack."""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import subprocess

import pytest

from tests.conftest import ROOT
from tests.system.stack import OPERATOR, Stack

MAKE_RUN = "http://127.0.0.1:8000"


def block(page: str, language: str, words: str) -> str:
    """The one of this page and language that has these words."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
    (found,) = [each for each in blocks if words in each]
    return str(found)


def run(stack: Stack, folder: pathlib.Path, program: str, *words: str, **variables: str) -> str:
    """What it prints, asked of this stack and not of `make run`'s."""
    assert MAKE_RUN in program
    file = folder / "program"
    file.write_text(program.replace(MAKE_RUN, f"http://127.0.0.1:{stack.port}"))
    here = {"PATH": f"{folder}/bin:{os.environ['PATH']}", "HOME": str(folder), **variables}
    command = [words[0], str(file), *words[1:]]
    ran = subprocess.run(command, cwd=folder, env=here, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def shell(stack: Stack, folder: pathlib.Path, program: str, **variables: str) -> str:
    """The same of a block for a shell, none of whose lines may fail, or be answered 4xx or 5xx.

    It finds what lies in a checkout beside which `make run` runs: the scripts, and the operator's token.
    """
    curl = shutil.which("curl") or pytest.skip("there is no curl here")
    for name in ("bin", ".data"):
        (folder / name).mkdir(exist_ok=True)
    (folder / ".data/admin-token").write_text(OPERATOR)
    (folder / "bin/curl").write_text(f'#!/bin/sh\nexec {curl} --fail-with-body "$@"\n')
    (folder / "bin/curl").chmod(0o755)
    if not (folder / "scripts").exists():
        (folder / "scripts").symlink_to(ROOT / "scripts")
    return run(stack, folder, f"set -eo pipefail\n{program}", "bash", **variables)
