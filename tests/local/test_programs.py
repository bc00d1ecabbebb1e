from __future__ import annotations

import os
import pathlib
import sys

from local import programs
from local.programs import Program
from tests.local.stand_ins import a_program


def test_a_child_leads_a_session_of_its_own(tmp_path: pathlib.Path) -> None:
    """Ctrl-C in the terminal reaches the launcher only."""
    log = tmp_path / "log"

    child = programs.spawn(a_program("child", "import os; print(os.getpid() == os.getsid(0))", tmp_path), log=log)
    child.wait(10)

    assert log.read_text() == "True\n"


def test_a_child_has_the_environment_of_its_program_only(tmp_path: pathlib.Path) -> None:
    """What it is not given, it does not know."""
    code = "import os; print(sorted(os.environ.keys() - {'LC_CTYPE'}))"
    program = Program(name="x", command=(sys.executable, "-c", code), environment={"ONLY": "this"}, folder=tmp_path)
    log = tmp_path / "log"

    programs.spawn(program, log=log).wait(10)

    assert log.read_text() == "['ONLY']\n"


def test_a_program_that_is_not_there_says_so_in_its_log(tmp_path: pathlib.Path) -> None:
    """A path and a reason, no traceback."""
    missing = str(tmp_path / "missing")
    log = tmp_path / "log"

    code = programs.spawn(Program(name="x", command=(missing,), environment={}, folder=tmp_path), log=log).wait(10)

    assert code == 1
    assert log.read_text() == f"{missing}: No such file or directory\n"


def test_a_log_is_set_aside_when_it_has_grown_beyond_ten_megabytes(tmp_path: pathlib.Path) -> None:
    """One old log is kept; more would fill the disk over the months."""
    log, old = tmp_path / "api.log", tmp_path / "api.log.1"
    old.write_text("older")
    log.touch()
    os.truncate(log, 10 * 1024 * 1024 + 1)

    programs.rotate(log)

    assert not log.exists()
    assert old.stat().st_size > 10 * 1024 * 1024


def test_a_log_of_ordinary_size_is_continued(tmp_path: pathlib.Path) -> None:
    """A restart does not hide what the crash before it wrote."""
    log = tmp_path / "api.log"
    log.write_text("crashed\n")

    programs.spawn(a_program("child", "print('again')", tmp_path), log=log).wait(10)

    assert log.read_text() == "crashed\nagain\n"


def test_the_end_of_a_log_is_found_however_long_it_is(tmp_path: pathlib.Path) -> None:
    """Broken bytes included: it is shown when something has gone wrong already."""
    log = tmp_path / "log"
    log.write_bytes(b"x" * 100_000 + b"\nbroken \xff\nlast\n")

    assert programs.last_lines(log, count=2) == "    broken \ufffd\n    last"
