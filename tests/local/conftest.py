"""What the tests of the launcher share: a clock that is moved by hand, and folders PostgreSQL can enter."""

from __future__ import annotations

import pathlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from local.stopping import StopRequests
from local.supervisor import Supervisor


@dataclass
class Clock:
    """Stands still until a test moves it."""

    now: float = 1000.0

    def __call__(self) -> float:
        """In the place of `time.monotonic`."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The supervisor's clock."""
    return Clock()


@pytest.fixture
def said() -> list[str]:
    """What the supervisor told the terminal."""
    return []


@pytest.fixture
def supervise(tmp_path: pathlib.Path, clock: Clock, said: list[str]) -> Iterator[Callable[..., Supervisor]]:
    """Makes supervisors; what they still run at the end is killed."""
    made: list[Supervisor] = []

    def make(*, grace_seconds: float = 3.0) -> Supervisor:
        made.append(
            Supervisor(
                logs=tmp_path, grace_seconds=grace_seconds, requests=StopRequests(), say=said.append, clock=clock
            )
        )
        return made[-1]

    yield make
    for supervisor in made:
        supervisor.requests.note()
        supervisor.requests.note()
        supervisor.stop()


@pytest.fixture
def supervisor(supervise: Callable[..., Supervisor]) -> Supervisor:
    """One with nothing to do yet."""
    return supervise()


@pytest.fixture
def open_folder() -> Iterator[pathlib.Path]:
    """A data folder every user may enter; pytest's own is closed, and root's PostgreSQL is another user."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="parley-tests-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
