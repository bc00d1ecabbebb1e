"""The teller writes what is watched, and the watch says which models keep silent."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from models import silences
from models.base import Session
from models.live.partial import PartialText
from models.settings import Settings
from models.states import JobStatus
from tasks.llm.base import Call, Prompt, Reply
from tasks.runner import Runner
from tasks.teller import Teller
from tasks.watch import SILENT_SECONDS, Watch
from tests.factories import WORKER, a_job, create, the_job
from tests.system.stack import eventually
from tests.tasks.test_runner import Slow


class Speaking(Slow):
    """Says what a test has it say, before it answers."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.call: Call | None = None

    def reply(self, prompt: Prompt, call: Call) -> Reply:
        """Speak in parts."""
        self.call, call.said = call, self.parts
        return super().reply(prompt, call)


@pytest.fixture
def model() -> Iterator[Speaking]:
    """Ends with the test."""
    mine = Speaking()
    yield mine
    mine.answer.set()


@pytest.fixture
def runner(db: Settings, model: Speaking) -> Runner:
    """A worker that may show no more than ten bytes."""
    return Runner(dataclasses.replace(db, llm_max_response_bytes=10), model, name="w")


@pytest.fixture
def job_id(runner: Runner, model: Speaking) -> str:
    """A job whose model has been asked."""
    made = create()
    runner.take([(made, 0)])
    assert model.asked.acquire(timeout=20)
    return made


def test_only_what_is_watched_is_written(runner: Runner, model: Speaking, job_id: str, db: Settings) -> None:
    """From its first word on, whenever the watching begins."""
    teller, text = Teller(runner), PartialText(db)
    model.parts += ["One", " two"]
    teller.tell()
    before = text.since(job_id, attempt=1, offset=0)

    text.watch([job_id])
    teller.tell()

    assert (before, text.since(job_id, attempt=1, offset=0)) == (b"", b"One two")


def test_an_erased_text_is_whole_again_with_the_next_word(
    runner: Runner, model: Speaking, job_id: str, db: Settings
) -> None:
    """A piece without its beginning would be taken for the beginning. It is cut where the reply will be."""
    teller, text = Teller(runner), PartialText(db)
    text.watch([job_id])
    model.parts += ["One"]
    teller.tell()

    text._redis.flushdb()
    text.watch([job_id])
    model.parts += [" two", " three"]
    teller.tell()

    assert text.since(job_id, attempt=1, offset=0) == b"One two th"


def test_a_long_silence_is_noted_until_the_first_word(runner: Runner, model: Speaking, job_id: str) -> None:
    """Once: nothing is written while nothing changes."""
    watch = Watch(runner)
    watch.note_silence()
    at_first = the_job(job_id).note
    assert model.call is not None
    model.call.begun_at -= SILENT_SECONDS

    watch.note_silence()
    noted = the_job(job_id)
    watch.note_silence()
    again = the_job(job_id)
    model.parts.append("Well")
    watch.note_silence()
    spoken = the_job(job_id)

    assert (at_first, noted.note, again.note, spoken.note) == (None, "still_working", "still_working", None)
    assert noted.updated_at == again.updated_at < spoken.updated_at


def test_a_note_ends_with_its_attempt(runner: Runner, model: Speaking, job_id: str) -> None:
    """A job that is done is not being worked on."""
    assert model.call is not None
    model.call.begun_at -= SILENT_SECONDS
    Watch(runner).note_silence()
    noted = the_job(job_id).note
    model.answer.set()
    eventually(lambda: the_job(job_id).status is JobStatus.COMPLETED)

    assert (noted, the_job(job_id).note) == ("still_working", None)


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize(
    "columns",
    [
        {"status": JobStatus.COMPLETED},
        {"status": JobStatus.PROCESSING},
        {"status": JobStatus.ANALYZING, "attempt": 2},
        {"status": JobStatus.ANALYZING, "leased_by": "another"},
    ],
)
def test_a_note_that_comes_late_changes_nothing(columns: dict[str, Any]) -> None:
    """The job has ended, or is in other hands."""
    late = a_job(**columns)
    before = the_job(late).updated_at

    with Session.begin() as session:
        silences.note(session, {(late, 1): silences.STILL_WORKING}, worker=WORKER)

    assert (the_job(late).note, the_job(late).updated_at) == (None, before)
