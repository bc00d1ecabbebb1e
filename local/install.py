"""Install: the virtual environment and what goes into it.

uv does in 5 s what takes pip a minute, so uv is installed first; whatever goes wrong with it, pip
does the work. Either way every file is checked against the hashes in the requirements.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from local.errors import CannotStart

TO_RUN: Final = ("requirements.txt", "requirements-local.txt")
TO_TRACE: Final = (*TO_RUN, "requirements-traces.txt")
"""To run, where traces are wanted."""
TO_TEST: Final = (*TO_TRACE, "requirements-test.txt")

UV: Final = """\
uv==0.13.9 \\
    --hash=sha256:d7f459fe4fd247d830351c75686d3996ace3c6f3f728eb0e85a30b7ada0cef19 \\
    --hash=sha256:ecb6028d79dc96fbeafffe5c8af62a7099487ebc05a701e76714eebcffd06375 \\
    --hash=sha256:5435c5ce14a56431208ca0996416d310f1598e8c2c8ba707688985a16bb82dbe \\
    --hash=sha256:66c512266d633bef48384a1f53003f41f2a8e7b36fe6e7fbfd3e0fd52d96fa63 \\
    --hash=sha256:c16ed11e013557536b3e60065f1b912f6407bd6518e041b961e23ef9e6b4fbf5
"""
"""Its wheels for Linux on x86-64, on arm64 (new and older glibc), and for macOS on arm64 and x86-64."""


def python_of(root: pathlib.Path) -> pathlib.Path:
    """The interpreter every process of the product is run with."""
    return root / ".venv" / "bin" / "python"


def packages_of(root: pathlib.Path) -> pathlib.Path:
    """Where this Python's version finds what was installed."""
    return root / ".venv" / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"


def install(root: pathlib.Path, requirements: Sequence[str] = TO_RUN) -> None:
    """Make ``.venv`` hold ``requirements``; does nothing when it already does.

    Raises:
        CannotStart: neither uv nor pip could; the message has what pip said.
    """
    with _alone(root):
        if _is_installed(root, requirements):
            return
        if not _is_usable(root):
            _make_environment(root)
        print(f"Installing {', '.join(requirements)} into .venv", flush=True)
        why_not = _install_by_uv(root, requirements)
        if why_not is not None:
            print(f"uv could not be used{why_not}; pip does it, which takes a minute", flush=True)
            _install_by_pip(root, requirements)
        _remember(root, requirements)


@contextmanager
def _alone(root: pathlib.Path) -> Iterator[None]:
    """One installation at a time: `make run` and `make test` share the environment."""
    folder = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _stamp(root: pathlib.Path, requirements: Sequence[str]) -> pathlib.Path:
    return root / ".venv" / ("installed-to-test" if "requirements-test.txt" in requirements else "installed-to-run")


def _fingerprint(root: pathlib.Path, requirements: Sequence[str]) -> str:
    digest = hashlib.sha256(repr(sys.version_info[:2]).encode())
    for name in requirements:
        digest.update((root / name).read_bytes())
    return digest.hexdigest()


def _is_installed(root: pathlib.Path, requirements: Sequence[str]) -> bool:
    stamp = _stamp(root, requirements)
    return python_of(root).exists() and stamp.exists() and stamp.read_text().strip() == _fingerprint(root, requirements)


def _remember(root: pathlib.Path, requirements: Sequence[str]) -> None:
    for installed in (TO_RUN, requirements):  # what tests need includes what running needs
        _stamp(root, installed).write_text(_fingerprint(root, installed) + "\n")


def _is_usable(root: pathlib.Path) -> bool:
    """Whether ``.venv`` runs, is of this Python's version, and was not left half made."""
    question = "import sys, importlib.util as find; print(*sys.version_info[:2], find.find_spec('pip') is not None)"
    try:
        answer = subprocess.run(  # noqa: S603 - the environment's own Python
            [python_of(root), "-c", question], capture_output=True, text=True, check=True
        ).stdout.split()
    except (OSError, subprocess.CalledProcessError):
        return False
    major, minor, has_pip = answer
    return (int(major), int(minor)) == sys.version_info[:2] and (has_pip == "True" or _uv(root).exists())


def _make_environment(root: pathlib.Path) -> None:
    folder = root / ".venv"
    print("Creating .venv", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    if not _succeeds([sys.executable, "-m", "venv", str(folder)]):  # Debian may lack ensurepip
        shutil.rmtree(folder, ignore_errors=True)
        _run([sys.executable, "-m", "venv", "--without-pip", str(folder)], failing="create .venv")


def _uv(root: pathlib.Path) -> pathlib.Path:
    return root / ".venv" / "bin" / "uv"


def _pip(root: pathlib.Path) -> list[str]:
    """The environment's pip, or this Python's pip working on the environment."""
    python = str(python_of(root))
    options = ["--disable-pip-version-check", "--no-input", "--quiet"]
    if _succeeds([python, "-m", "pip", "--version"]):
        return [python, "-m", "pip", *options]
    if _succeeds([sys.executable, "-m", "pip", "--version"]):
        return [sys.executable, "-m", "pip", "--python", python, *options]
    raise CannotStart(
        f"{sys.executable} has neither ensurepip nor pip: install the package python3-venv of your system."
    )


def _files(root: pathlib.Path, requirements: Sequence[str]) -> list[str]:
    return [part for name in requirements for part in ("-r", str(root / name))]


def _install_by_uv(root: pathlib.Path, requirements: Sequence[str]) -> str | None:
    """``None`` if it worked, else why not, as the rest of a sentence: pip may succeed, and then nobody else would say.

    Tried again without uv's cache: it lies in the home folder, which may not be writable. And with the system's
    certificates, which are pip's: uv brings its own, and a proxy that opens TLS is not among those who signed them.
    """
    wanted = root / ".venv" / "uv.txt"
    wanted.write_text(UV)
    if not _succeeds([*_pip(root), "install", "--require-hashes", "-r", str(wanted)]):
        return ""
    uv, python, files = str(_uv(root)), str(python_of(root)), _files(root, requirements)
    install_all = [uv, "pip", "install", "--python", python, "--quiet", "--require-hashes", *files]
    failure = _failure(install_all)
    if failure is not None:
        failure = _failure([*install_all, "--no-cache"])
    if failure is not None and "certificate" in failure:
        failure = _failure([*install_all, "--no-cache", "--system-certs"])
    return None if failure is None else _why(failure)


def _why(failure: str) -> str:
    """The last of uv's lines that is no hint: each cause has its own below it."""
    lines = [line.strip().removeprefix("cause: ") for line in failure.splitlines() if line.strip()]
    causes = [line for line in lines if not line.startswith("hint: ")]
    return f" ({causes[-1]})" if causes else ""


def _install_by_pip(root: pathlib.Path, requirements: Sequence[str]) -> None:
    command = [*_pip(root), "install", "--require-hashes", *_files(root, requirements)]
    _run(command, failing="install the requirements")


def _succeeds(command: Sequence[str]) -> bool:
    return _failure(command) is None


def _failure(command: Sequence[str]) -> str | None:
    """What it said on standard error, if it failed."""
    try:
        ended = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)  # noqa: S603
    except OSError as error:
        return str(error)
    return ended.stderr if ended.returncode else None


def _run(command: Sequence[str], *, failing: str) -> None:
    ended = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own commands
    if ended.returncode != 0:
        raise CannotStart(f"Cannot {failing}:\n{(ended.stdout + ended.stderr).strip()}")
