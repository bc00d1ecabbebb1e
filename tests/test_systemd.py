"""The systemd units: they start what the launcher starts, give it time to stop, and systemd takes them."""

from __future__ import annotations

import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import pytest

from local.processes import COMMANDS, MIGRATION
from models.settings import Settings
from tests.conftest import ROOT

FOLDER = ROOT / "deploy/systemd"
COMMON = FOLDER / "parley-.service.d/common.conf"
MIGRATE = "parley-migrate.service"
MOST_EXPOSED = 20
"""Tenths, by systemd's own measure; without `common.conf` it is 96."""


def directives(path: pathlib.Path) -> dict[str, list[str]]:
    """Each with all its values, in order."""
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(\w+)=(.*)$", path.read_text(), re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


def services() -> dict[str, dict[str, list[str]]]:
    """What goes on: the migration left out."""
    return {path.name: directives(path) for path in FOLDER.glob("*.service") if path.name != MIGRATE}


def name_of(process: str) -> str:
    return f"parley-{process}{'@' if process.startswith('worker') else ''}.service"


def test_each_unit_starts_what_the_launcher_starts() -> None:
    """Where % is written %%, and each worker of a host has a name of its own."""
    units = {name: found["ExecStart"] for name, found in {**services(), MIGRATE: directives(FOLDER / MIGRATE)}.items()}
    plain = {name: [line.replace("-%i", "").replace("%%", "%") for line in lines] for name, lines in units.items()}

    commands = {name_of(process): words for process, words in COMMANDS.items()} | {MIGRATE: MIGRATION}
    assert {name: [shlex.split(line) for line in lines] for name, lines in plain.items()} == {
        name: [["/opt/parley/.venv/bin/python", "-m", *words]] for name, words in commands.items()
    }


def test_a_service_comes_back_whatever_ended_it_and_has_time_to_stop() -> None:
    """Also after five bad starts in ten seconds, at which systemd gives up unless it is told not to."""
    assert directives(COMMON)["StartLimitIntervalSec"] == ["0"]
    for found in services().values():
        assert found["Restart"] == ["always"]
        assert found["KillMode"] == ["mixed"]
        assert float(found["TimeoutStopSec"][0]) > Settings().stop_grace_seconds + 5


def test_the_target_has_all_of_them() -> None:
    """Stopping it stops them."""
    assert directives(COMMON)["PartOf"] == ["parley.target"]
    assert {tuple(found["WantedBy"]) for found in services().values()} == {("parley.target",)}
    assert directives(FOLDER / "parley.target")["WantedBy"] == ["multi-user.target"]


def test_the_guide_names_files_that_are_read() -> None:
    """Of each process, by the first part of its unit's name; and units that are there."""
    guide = (ROOT / "docs/how-to/deploy.md").read_text()
    files = re.findall(r"/etc/parley/([\w-]+)\.env", guide)
    units = re.findall(r"\b(parley-[\w-]+@?)\d*", " ".join(re.findall(r"^systemctl .*$", guide, re.MULTILINE)))

    assert {f"{unit}.service" for unit in units} == {*services(), MIGRATE}
    assert {"all", "parley-api", "parley-gateway", "parley-worker", "parley-worker-batch"} <= set(files)
    assert set(files) - {"all"} <= {name.partition(".")[0].removesuffix("@") for name in services()}
    assert directives(COMMON)["EnvironmentFile"] == ["/etc/parley/all.env", "-/etc/parley/%p.env"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The units below a root of their own, with an interpreter that is there; skips where there is no systemd."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("there is no systemd-analyze here")
    root = tmp_path_factory.mktemp("root")
    units = root / "etc/systemd/system"
    shutil.copytree(FOLDER, units)
    for path in units.glob("*.service"):
        path.write_text(path.read_text().replace("/opt/parley/.venv/bin/python", sys.executable))
    return root


def analyzed(*words: str, root: pathlib.Path) -> subprocess.CompletedProcess[str]:
    units = {**os.environ, "SYSTEMD_UNIT_PATH": f"{root}/etc/systemd/system:"}
    command = ["systemd-analyze", *words]
    return subprocess.run(command, env=units, cwd=root, capture_output=True, text=True, check=False)


def units() -> list[str]:
    """As they are started."""
    return [name.replace("@", "@1") for name in [*services(), MIGRATE, "parley.target"]]


def test_systemd_takes_the_units(installed: pathlib.Path) -> None:
    """It says of what it does not know that it ignores it, and goes on."""
    ran = analyzed("verify", "--man=no", *units(), root=installed)

    assert (ran.returncode, ran.stdout + ran.stderr) == (0, "")


def test_systemd_finds_little_that_a_service_may_do(installed: pathlib.Path) -> None:
    """For each, so that `common.conf` is read for each."""
    for unit in units():
        if unit.endswith(".service"):
            words = ("security", "--offline=yes", f"--root={installed}", f"--threshold={MOST_EXPOSED}", "--no-pager")
            ran = analyzed(*words, unit, root=installed)
            assert ran.returncode == 0, ran.stdout[-400:] + ran.stderr
