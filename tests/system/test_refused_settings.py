"""A process that is told nonsense says so in a sentence, and ends."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

from local import processes
from tests.conftest import ROOT

SETTINGS = {
    "PATH": "/usr/bin:/bin",
    "DATABASE_URL": "postgresql://somebody@127.0.0.1:1/nothing",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "MAX_ATTEMPTS": "many",
}


@pytest.mark.parametrize("name", processes.COMMANDS)
def test_a_refused_setting_ends_each_process_with_the_sentence_and_no_trace(name: str) -> None:
    """Whoever reads the log of a supervisor should not have to search for it."""
    [program] = [each for each in processes.product(pathlib.Path(sys.executable), ROOT, SETTINGS) if each.name == name]

    ended = subprocess.run(
        program.command,
        cwd=program.folder,
        env=dict(program.environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=60,
    )

    sentence = "MAX_ATTEMPTS: 'many' is not a whole number; for example MAX_ATTEMPTS="
    assert (ended.returncode > 0, ended.stdout.startswith(sentence), ended.stdout.count("\n")) == (True, True, 1)
