"""The checks that keep the house in order: clean now, and each breaks when it is violated on purpose."""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import sys

import pytest

from tests.conftest import ROOT

BIN = pathlib.Path(sys.executable).parent


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("api/wake.py", "import tasks.retry"),
        ("tasks/retry.py", "import api.wake"),
        ("models/clock.py", "import tasks.retry"),
        ("models/clock.py", "import flask"),
        ("models/clock.py", "import celery"),
        ("models/clock.py", "import redis"),
        ("models/clock.py", "import models.live.changes"),
        ("tasks/retry.py", "import flask"),
        ("api/wake.py", "import local.ports"),
    ],
)
def test_an_import_against_the_arrow_breaks_the_contracts(tmp_path: pathlib.Path, file: str, line: str) -> None:
    """`api` asks, `tasks` work, `models` know."""
    for room in ("api", "tasks", "models", "local"):
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / file).open("a") as module:
        module.write(f"\n{line}\n")

    checked = subprocess.run(
        [BIN / "lint-imports", "--no-cache"], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert checked.returncode == 1
    assert "1 broken" in checked.stdout or "2 broken" in checked.stdout


def test_an_untyped_function_breaks_the_type_check(tmp_path: pathlib.Path) -> None:
    """Type checking is strict."""
    careless = tmp_path / "careless.py"
    careless.write_text("def f(x): return x\n")
    command = [sys.executable, "-m", "mypy", "--config-file", "pyproject.toml", str(careless)]
    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert "no-untyped-def" in checked.stdout


@pytest.mark.parametrize(
    ("code", "rule"), [("try: f()\nexcept Exception: pass", "S110"), ("import os", "F401"), ("eval(x)", "S307")]
)
def test_careless_code_breaks_the_style_check(code: str, rule: str) -> None:
    """Ruff knows all its rules but those that are excused in pyproject.toml."""
    command = [sys.executable, "-m", "ruff", "check", "--output-format", "concise", "--stdin-filename", "api/x.py", "-"]
    checked = subprocess.run(command, cwd=ROOT, input=code, capture_output=True, text=True, check=False)

    assert rule in checked.stdout
