"""The recorder keeps a finished answer until it is written, and one bad row to itself."""

from __future__ import annotations

import threading
from collections.abc import Iterable

import pytest

from models.attempts import Ending, Outcome
from models.states import JobStatus
from tasks.recorder import Recorder
from tasks.watchdog import Watchdog
from tests.factories import a_job, the_job

pytestmark = pytest.mark.usefixtures("db")


class Done:
    """Who is told, and how many were told of."""

    def __init__(self, expected: int) -> None:
        self.seen: list[tuple[str, int]] = []
        self.all = threading.Event()
        self._expected = expected

    def __call__(self, keys: Iterable[tuple[str, int]]) -> None:
        """As the runner is."""
        self.seen += keys
        if len(self.seen) == self._expected:
            self.all.set()


def completed(job_id: str, text: str) -> Ending:
    return Ending(job_id=job_id, attempt=1, outcome=Outcome.COMPLETED, text=text)


@pytest.mark.parametrize("bad", ["a\x00b", "a\ud800b"])
def test_a_row_that_cannot_be_written_takes_no_other_with_it(bad: str) -> None:
    """What psycopg2 refuses before it asks PostgreSQL must not end the only thread that writes."""
    ids = [a_job(status=JobStatus.ANALYZING) for _ in range(5)]
    done = Done(expected=6)
    recorder = Recorder(on_done=done, watchdog=Watchdog(seconds=60))

    for number, job_id in enumerate(ids):
        recorder.put(completed(job_id, bad if number == 2 else "good"))
    recorder.put(completed(ids[4], "late"))

    assert done.all.wait(20)
    assert [the_job(job_id).result for job_id in ids] == ["good", "good", None, "good", "good"]
