from __future__ import annotations

import pathlib
import sys

import pytest

from local import install
from local.errors import CannotStart


@pytest.fixture
def checkout(tmp_path: pathlib.Path) -> pathlib.Path:
    """Requirements no index could satisfy, and an environment that claims to have them."""
    for name in install.TO_TEST:
        (tmp_path / name).write_text("no-such-package==1 --hash=sha256:" + "0" * 64 + "\n")
    python = install.python_of(tmp_path)
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    install._remember(tmp_path, install.TO_TEST)
    return tmp_path


def test_what_is_installed_is_left_alone(checkout: pathlib.Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Every start asks; only the first should take time. What tests need includes what running needs."""
    install.install(checkout, install.TO_TEST)
    install.install(checkout, install.TO_RUN)

    assert capfd.readouterr().out == ""


def test_a_change_of_any_requirement_is_noticed(checkout: pathlib.Path) -> None:
    """Pulling a new version installs what it needs."""
    (checkout / "requirements-local.txt").write_text("# changed\n")

    assert not install._is_installed(checkout, install.TO_RUN)


def test_an_environment_whose_python_is_gone_is_not_trusted(checkout: pathlib.Path) -> None:
    """The system's Python may have been upgraded below it."""
    python = install.python_of(checkout)
    python.unlink()
    python.symlink_to(checkout / "gone")

    assert not install._is_installed(checkout, install.TO_RUN)
    assert not install._is_usable(checkout)


def test_a_python_without_pip_is_told_which_package_is_missing(
    checkout: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Debian ships one; its user cannot guess."""
    nothing = checkout / "python3"
    nothing.write_text("#!/bin/sh\nexit 1\n")
    nothing.chmod(0o755)
    install.python_of(checkout).unlink()
    install.python_of(checkout).symlink_to(nothing)
    monkeypatch.setattr(sys, "executable", str(nothing))

    with pytest.raises(CannotStart, match="has neither ensurepip nor pip: install the package python3-venv"):
        install._pip(checkout)
