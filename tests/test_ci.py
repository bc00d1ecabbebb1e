"""The workflow runs what CI runs, trusts no more than it must, and makes a release of the changelog."""

from __future__ import annotations

import functools
import os
import pathlib
import re
import shutil
import subprocess
import sys
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from scripts import release_notes
from tests.conftest import ROOT

WORKFLOW = ROOT / ".github/workflows/ci.yaml"


@functools.cache
def workflow() -> dict[Any, Any]:
    parsed: dict[Any, Any] = yaml.safe_load(WORKFLOW.read_text())
    return parsed


def steps(job: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = workflow()["jobs"][job]["steps"]
    return found


def commands(job: str) -> str:
    return "\n".join(step["run"] for step in steps(job) if "run" in step)


def test_github_knows_every_word_of_it() -> None:
    """By the schema that check-jsonschema brings along."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(WORKFLOW)]

    ran = subprocess.run(command, capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_it_tests_scans_and_builds_before_it_releases() -> None:
    """A tag by itself proves nothing."""
    jobs = workflow()["jobs"]

    assert "bash .ci/run" in commands("test")
    assert "pip-audit==" in commands("scan")
    assert "-r requirements.txt -r requirements-traces.txt" in commands("scan")
    assert "docker build --pull" in commands("image")
    assert "deploy/mended_holes.sh" in commands("image")
    assert "-f deploy/compose.yaml up" in commands("image")
    assert set(jobs["release"]["needs"]) == set(jobs) - {"release"}
    assert jobs["release"]["if"] == "github.ref_type == 'tag'"
    assert all(job["timeout-minutes"] for job in jobs.values())


def test_it_has_the_history_that_old_code_comes_from_and_may_not_skip_it() -> None:
    """A shallow clone has no older revision, and the test of a rolling upgrade would be skipped in silence."""
    checkout = next(step for step in steps("test") if step.get("uses", "").startswith("actions/checkout@"))
    run = next(step for step in steps("test") if "bash .ci/run" in step.get("run", ""))

    assert checkout["with"]["fetch-depth"] == 0
    assert 'safe.directory "$GITHUB_WORKSPACE"' in run["run"]
    assert run["env"]["REQUIRE_HISTORY"] == "1"


def test_it_gives_compose_the_secrets_that_it_demands() -> None:
    """One that is missing stops it."""
    demanded = set(re.findall(r"\$\{(\w+):\?", (ROOT / "deploy/compose.yaml").read_text()))
    (line,) = re.findall(r"for name in ([A-Z_ ]+); do", commands("image"))

    assert set(line.split()) == demanded


def test_it_trusts_no_more_than_it_must() -> None:
    """Actions by their commits, no right to write but for the release, and nothing from outside pasted into a shell."""
    used = [step["uses"] for job in workflow()["jobs"] for step in steps(job) if "uses" in step]

    assert all(re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", each) for each in used)
    assert len(re.findall(r"@[0-9a-f]{40} # v\d+\.\d+\.\d+$", WORKFLOW.read_text(), re.MULTILINE)) == len(used)
    assert workflow()["permissions"] == {"contents": "read"}
    assert [name for name, job in workflow()["jobs"].items() if "permissions" in job] == ["release"]
    assert not any("${{" in commands(job) for job in workflow()["jobs"])
    for job in workflow()["jobs"]:
        [checkout] = [step["with"] for step in steps(job) if "checkout" in step.get("uses", "")]
        history = {"fetch-depth": 0} if job == "test" else {}
        assert checkout == {"persist-credentials": False} | history


@pytest.mark.parametrize("job", ["test", "scan", "image", "release"])
def test_bash_takes_its_commands(job: str) -> None:
    """All that are there."""
    bash = shutil.which("bash") or pytest.skip("there is no bash here")
    assert job in workflow()["jobs"]

    checked = subprocess.run([bash, "-n"], input=commands(job), capture_output=True, text=True, check=False)

    assert checked.stderr == ""


UPGRADE = """
NOTE: This is only a simulation!
Inst base-files [12.4] (12.5 Debian:12.15/oldstable [amd64])
{}
3 upgraded, 0 newly installed, 0 to remove and 0 not upgraded.
"""
MENDED = "Inst liblzma5 [5.4.1-1] (5.4.1-1+deb12u2 Debian-Security:12/oldstable-security [amd64])"


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [(UPGRADE.format(""), 0, ""), (UPGRADE.format(MENDED), 1, f"{MENDED}\n"), ("E: nothing is known", 2, "")],
)
def test_an_image_with_a_hole_that_debian_has_mended_is_refused(
    tmp_path: pathlib.Path, answer: str, code: int, said: str
) -> None:
    """Not one that differs otherwise; and no answer is none."""
    bash = shutil.which("bash") or pytest.skip("there is no bash here")
    apt = tmp_path / "apt-get"
    apt.write_text(f"#!{bash}\n[ $1 = update ] || cat <<'END'\n{answer}\nEND\n")
    apt.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"

    ran = subprocess.run(
        [bash, "-c", (ROOT / "deploy/mended_holes.sh").read_text()],
        env={"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (ran.returncode, ran.stdout) == (code, said)


CHANGELOG = """# Changes

Versions follow a rule.

## Unreleased

- Not yet.

## 1.10.0, 2026-12-01

- New: [a guide](docs/guide.md), as [others](https://example.com/x) and [below](#100) have it.

### Changed

- Something.

## 1.1.0

## 1.0.0

- The first.
"""


def test_the_notes_of_a_version_are_its_part_of_the_changelog() -> None:
    """Its sub-sections included, its neighbours not."""
    found = release_notes.notes(CHANGELOG, "v1.10.0", links="https://git.example/p/blob/v1.10.0")

    assert found == (
        "- New: [a guide](https://git.example/p/blob/v1.10.0/docs/guide.md), as [others](https://example.com/x) and"
        " [below](#100) have it.\n\n### Changed\n\n- Something."
    )
    assert release_notes.notes(CHANGELOG, "1.0.0") == "- The first."


@pytest.mark.parametrize("version", ["v1.1.0", "1.10", "1", "1.10.0-rc1", "2.0.0", ".*", ""])
def test_there_are_no_notes_of_what_the_changelog_does_not_tell(version: str) -> None:
    """Nothing is said of 1.1.0; the others are not there."""
    assert release_notes.notes(CHANGELOG, version) == ""


def test_a_release_that_the_changelog_does_not_know_is_stopped(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the exit code; and what is known is printed."""
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    monkeypatch.setattr(release_notes, "CHANGELOG", tmp_path / "CHANGELOG.md")

    assert release_notes.main(["v999.0.0"]) == 1
    assert "says nothing of v999.0.0" in capsys.readouterr().err
    assert release_notes.main(["v1.0.0"]) == 0
    assert capsys.readouterr().out == "- The first.\n"


def test_the_changelog_has_its_headings_as_the_script_looks_for_them() -> None:
    """The newest is what is not released yet, which may be nothing."""
    headings = re.findall(r"^## (.+)$", release_notes.CHANGELOG.read_text(), re.MULTILINE)

    assert headings[0] == "Unreleased"
    assert all(re.match(r"\d+\.\d+\.\d+, \d{4}-\d\d-\d\d$", heading) for heading in headings[1:])
