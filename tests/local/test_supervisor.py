from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import psutil
import pytest

from local.errors import CannotStart
from local.supervisor import Supervisor
from tests.local.conftest import Clock
from tests.local.polling import are_gone, is_alive, until
from tests.local.stand_ins import PARENT, STEADY, STUBBORN, a_program, an_ending_noted

ROOT = pathlib.Path(__file__).resolve().parents[2]


def notice_the_end(supervisor: Supervisor, name: str) -> None:
    """Let a child's end happen, and let the supervisor see it."""
    until(lambda: not supervisor.children[name].is_running())
    supervisor.tick()


def kill(supervisor: Supervisor, name: str) -> None:
    """Crash a child, and let the supervisor see it."""
    os.kill(supervisor.children[name].process.pid, signal.SIGKILL)
    notice_the_end(supervisor, name)


def test_a_crashed_child_is_started_again_after_its_back_off(
    supervisor: Supervisor, clock: Clock, tmp_path: pathlib.Path
) -> None:
    """Not before 0.2 s after the first crash, and then at the next look."""
    child = supervisor.start(a_program("steady", STEADY, tmp_path))
    first = child.process.pid
    kill(supervisor, "steady")

    clock.now += 0.1
    supervisor.tick()
    assert not child.is_running()

    clock.now += 0.1
    supervisor.tick()
    assert child.is_running()
    assert child.process.pid != first


def test_the_back_off_doubles_up_to_three_seconds(
    supervisor: Supervisor, clock: Clock, tmp_path: pathlib.Path, said: list[str]
) -> None:
    """The delays are announced to the terminal as they grow."""
    supervisor.start(a_program("crasher", "raise SystemExit(7)", tmp_path))

    for _ in range(6):
        notice_the_end(supervisor, "crasher")
        clock.now += 3.0
        supervisor.tick()

    delays = [line.partition(" again in ")[2].partition(" s ")[0] for line in said]
    assert delays == ["0.2", "0.4", "0.8", "1.6", "3", "3"]
    assert said[0].startswith("crasher ended with code 7")


def test_the_back_off_of_one_child_does_not_delay_another(
    supervisor: Supervisor, clock: Clock, tmp_path: pathlib.Path
) -> None:
    """While one waits for its 3 s, another is back after its own 0.2 s."""
    crasher = supervisor.start(a_program("crasher", "raise SystemExit(1)", tmp_path))
    steady = supervisor.start(a_program("steady", STEADY, tmp_path))
    crasher.crashes = 9
    notice_the_end(supervisor, "crasher")
    kill(supervisor, "steady")

    clock.now += 0.2
    begun = time.monotonic()
    supervisor.tick()

    assert steady.is_running()
    assert crasher.due_at == clock.now + 2.8
    assert time.monotonic() - begun < 1.0


def test_a_child_that_lived_long_enough_begins_with_the_first_delay(
    supervisor: Supervisor, clock: Clock, tmp_path: pathlib.Path
) -> None:
    """A crash a day is not a crash loop."""
    child = supervisor.start(a_program("steady", STEADY, tmp_path))
    child.crashes = 8
    clock.now += 30.0

    kill(supervisor, "steady")

    assert child.due_at == clock.now + 0.2


def test_what_a_crashed_child_had_started_is_killed_before_it_starts_again(
    supervisor: Supervisor, tmp_path: pathlib.Path
) -> None:
    """Otherwise the old one's children hold the port the new one needs."""
    supervisor.start(a_program("parent", PARENT, tmp_path))
    until(lambda: (tmp_path / "offspring").exists() and bool((tmp_path / "offspring").read_text()))
    offspring = int((tmp_path / "offspring").read_text())

    kill(supervisor, "parent")

    until(lambda: not is_alive(offspring))


def test_a_child_that_is_to_run_once_is_not_started_again(supervisor: Supervisor, tmp_path: pathlib.Path) -> None:
    """The migration ends, and that is no crash."""
    child = supervisor.start(a_program("once", "raise SystemExit(3)", tmp_path, restarts=False))

    notice_the_end(supervisor, "once")

    assert child.due_at is None
    assert child.process.returncode == 3


def test_too_many_crashes_are_refused_with_the_end_of_the_log(
    supervisor: Supervisor, clock: Clock, tmp_path: pathlib.Path
) -> None:
    """The person at the terminal sees why, without having to look for a file."""
    supervisor.start(a_program("crasher", "raise SystemExit('there is no such table')", tmp_path))

    def time_passes() -> bool:
        clock.now += 3.0
        return False

    with pytest.raises(CannotStart, match=r"(?s)crasher crashed 5 times.*crasher\.log.*there is no such table"):
        supervisor.run_until(time_passes, max_crashes=5)


def test_servers_are_stopped_after_their_clients(supervisor: Supervisor, tmp_path: pathlib.Path) -> None:
    """A worker gives its jobs back while there is still a database to give them to."""
    supervisor.start(an_ending_noted("database", tmp_path, is_server=True))
    supervisor.start(an_ending_noted("worker", tmp_path, lingering=0.3))
    supervisor.start(an_ending_noted("api", tmp_path))
    until(lambda: len(list(tmp_path.glob("*-is-up"))) == 3)

    supervisor.stop()

    assert (tmp_path / "ends").read_text().split() == ["api", "worker", "database"]


def test_a_child_that_does_not_stop_is_killed_with_all_it_started(
    supervise: Callable[..., Supervisor], tmp_path: pathlib.Path
) -> None:
    """However stubborn, it is gone a second after its grace."""
    supervisor = supervise(grace_seconds=0.0)
    child = supervisor.start(a_program("stubborn", STUBBORN + "\n", tmp_path))
    supervisor.start(a_program("parent", PARENT, tmp_path))
    until(lambda: (tmp_path / "offspring").exists() and bool((tmp_path / "offspring").read_text()))
    offspring = int((tmp_path / "offspring").read_text())
    begun = time.monotonic()

    supervisor.stop()

    assert time.monotonic() - begun < 2.5
    until(lambda: are_gone([child.process.pid, offspring]))


def test_a_second_request_to_stop_kills(supervise: Callable[..., Supervisor], tmp_path: pathlib.Path) -> None:
    """Nobody has to wait for a grace of a minute who does not want to."""
    supervisor = supervise(grace_seconds=60.0)
    supervisor.start(a_program("stubborn", STUBBORN, tmp_path))
    supervisor.requests.note()
    supervisor.requests.note()
    begun = time.monotonic()

    supervisor.stop()

    assert time.monotonic() - begun < 5.0
    assert not supervisor.children["stubborn"].is_running()


def test_a_reaper_that_was_killed_is_replaced(supervisor: Supervisor, tmp_path: pathlib.Path) -> None:
    """The next one knows the children of the first, and stops them in order."""
    supervisor.start(an_ending_noted("database", tmp_path, is_server=True))
    supervisor.start(an_ending_noted("worker", tmp_path, lingering=0.2))
    until(lambda: len(list(tmp_path.glob("*-is-up"))) == 2)
    reaper = next(child for child in psutil.Process().children() if "reaper.py" in " ".join(child.cmdline()))
    reaper.kill()
    reaper.wait()

    supervisor.tick()
    supervisor.stop()

    assert (tmp_path / "ends").read_text().split() == ["worker", "database"]


LAUNCHER = """
import pathlib, sys
from local.supervisor import Supervisor
from tests.local.stand_ins import PARENT, STEADY, STUBBORN, a_program
folder = pathlib.Path(sys.argv[1])
supervisor = Supervisor(logs=folder, grace_seconds=0.2)
supervisor.start(a_program("server", STEADY, folder, is_server=True))
supervisor.start(a_program("stubborn", STUBBORN, folder))
supervisor.start(a_program("parent", PARENT, folder))
supervisor.run_until((folder / "offspring").exists)
print("up", flush=True)
supervisor.run_until(lambda: False)
"""


@pytest.fixture
def launcher(tmp_path: pathlib.Path) -> psutil.Popen:
    """Another process that supervises three stand-ins, one with a child of its own."""
    command = [sys.executable, "-c", LAUNCHER, str(tmp_path)]
    process = psutil.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "up\n"
    process.stdout.close()
    return process


def test_after_kill_9_of_the_launcher_no_process_stays(launcher: psutil.Popen) -> None:
    """Neither a child that ignores requests, nor a grandchild, nor the reaper."""
    tree = [process.pid for process in launcher.children(recursive=True)]
    assert len(tree) == 5

    launcher.kill()
    launcher.wait()

    until(lambda: are_gone(tree))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of their parent's death")
def test_after_kill_9_of_launcher_and_reaper_the_children_are_told(launcher: psutil.Popen) -> None:
    """Without a reaper, the kernel asks every child to end."""
    children = launcher.children()
    reaper = next(child for child in children if "reaper.py" in " ".join(child.cmdline()))
    server = children[0] if children[0] != reaper else children[1]

    reaper.suspend()  # so that it cannot act between the two
    try:
        launcher.kill()
        launcher.wait()
        until(lambda: not is_alive(server.pid))
    finally:
        reaper.resume()
    until(lambda: are_gone(child.pid for child in children))
