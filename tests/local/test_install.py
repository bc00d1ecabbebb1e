from __future__ import annotations

import pathlib
import sys
from collections.abc import Callable

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


UV_THAT_FAILS = """#!/bin/sh
echo "$@" >> {calls}
case "$*" in *{works}*) exit 0 ;; esac
echo "error: Failed to fetch: https://index.example/simple/" >&2
echo "  cause: {cause}" >&2
echo >&2
echo "hint: Consider something else" >&2
exit 2
"""
OPTIONS = ("--no-cache", "--system-certs")
UNKNOWN_CERTIFICATE, NO_NETWORK = "invalid peer certificate: UnknownIssuer", "tcp connect error"


@pytest.fixture
def uv(checkout: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[list[str]]]:
    """Installs by a uv that works with one option only; returns the options of each of its calls."""
    pip = checkout / "pip"
    pip.write_text("#!/bin/sh\nexit 0\n")
    pip.chmod(0o755)
    monkeypatch.setattr(install, "_pip", lambda _: [str(pip)])
    (checkout / "requirements.txt").write_text("# changed\n")

    def installing(*, works: str, cause: str) -> list[list[str]]:
        calls, program = checkout / "calls", install._uv(checkout)
        program.write_text(UV_THAT_FAILS.format(calls=calls, works=works, cause=cause))
        program.chmod(0o755)
        install.install(checkout, install.TO_RUN)
        return [[word for word in line.split() if word in OPTIONS] for line in calls.read_text().splitlines()]

    return installing


def test_a_proxy_that_opens_tls_is_believed_where_the_system_believes_it(
    uv: Callable[..., list[list[str]]], capfd: pytest.CaptureFixture[str]
) -> None:
    """As pip does, so nobody would know why it takes a minute."""
    calls = uv(works="--system-certs", cause=UNKNOWN_CERTIFICATE)

    assert calls == [[], ["--no-cache"], ["--no-cache", "--system-certs"]]
    assert capfd.readouterr().out == "Installing requirements.txt, requirements-local.txt into .venv\n"


@pytest.mark.parametrize(("cause", "times"), [(UNKNOWN_CERTIFICATE, 3), (NO_NETWORK, 2)], ids=["tls", "network"])
def test_why_uv_could_not_be_used_is_said(
    uv: Callable[..., list[list[str]]], capfd: pytest.CaptureFixture[str], cause: str, times: int
) -> None:
    """Whether or not pip gets by. Other certificates are no help against a network that is away."""
    calls = uv(works="nothing", cause=cause)

    assert len(calls) == times
    said = capfd.readouterr().out.splitlines()
    assert said[1:] == [f"uv could not be used ({cause}); pip does it, which takes a minute"]


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
