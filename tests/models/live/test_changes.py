"""What has committed is told; what has not, is not."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

import pytest
import redis

from models import dead_letters, jobs, leases
from models.base import Session
from models.live import changes, client
from models.live.changes import JOBS_IN_ONE, Change, Publisher
from models.owners import ANYONE
from models.settings import Settings
from models.states import JobStatus
from tests.factories import a_job, ask, change, claim, create, now
from tests.system.stack import eventually


class Ear:
    """Hears what is published."""

    def __init__(self, settings: Settings) -> None:
        self._redis = redis.Redis.from_url(settings.redis_url)
        self._subscription = self._redis.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
        self._subscription.subscribe(client.name(settings, changes.CHANNEL))
        self._subscription.get_message(timeout=10)
        self.jobs: dict[str, str] = {}
        self.messages = 0

    def hears(self, job_id: str, status: JobStatus) -> bool:
        """Whether this has been said by now."""
        while message := self._subscription.get_message(timeout=0.05):
            self.messages += 1
            self.jobs.update(Change.decoded(message["data"]).jobs)
        return self.jobs.get(job_id) == status

    def close(self) -> None:
        """Stop hearing."""
        self._subscription.close()
        self._redis.close()


@pytest.fixture
def ear(db: Settings) -> Iterator[Ear]:
    """On this process's changes."""
    changes.publish_from_now_on(db)
    with contextlib.closing(Ear(db)) as mine:
        yield mine


def test_every_step_of_a_job_is_told(ear: Ear) -> None:
    """No verb and no door has to remember to."""
    job_id = create()

    claimed = claim(job_id)
    assert claimed is not None
    eventually(lambda: ear.hears(job_id, JobStatus.PROCESSING))
    ask(claimed)
    eventually(lambda: ear.hears(job_id, JobStatus.ANALYZING))
    change(job_id, lease_until=now())
    with Session.begin() as session:
        leases.reap(session)
    eventually(lambda: ear.hears(job_id, JobStatus.RETRYING))
    with Session.begin() as session:
        jobs.cancel(session, job_id, reader=ANYONE)
    eventually(lambda: ear.hears(job_id, JobStatus.CANCELLED))


def test_what_was_rolled_back_is_not_told(ear: Ear) -> None:
    """Whoever looked then would see nothing new, and would not look again."""
    kept, undone = a_job(status=JobStatus.FAILED), a_job(status=JobStatus.FAILED)

    with contextlib.suppress(ZeroDivisionError), Session.begin() as session:
        dead_letters.redrive(session, undone)
        raise ZeroDivisionError
    with Session.begin() as session:
        dead_letters.redrive(session, kept)
    eventually(lambda: ear.hears(kept, JobStatus.CREATED))

    assert undone not in ear.jobs


def test_many_changes_are_few_messages(ear: Ear, db: Settings) -> None:
    """What gathers is told together, within bounds."""
    publisher = Publisher(db)
    ids = [str(number) for number in range(2 * JOBS_IN_ONE + 1)]

    publisher.tell(dict.fromkeys(ids, JobStatus.CANCELLED))
    eventually(lambda: ear.hears(ids[-1], JobStatus.CANCELLED))

    assert set(ids) <= set(ear.jobs)
    assert ear.messages == 3


def test_a_dead_redis_costs_the_teller_nothing(db: Settings) -> None:
    """It is told again when there is somebody to tell."""
    publisher = Publisher(dataclasses.replace(db, redis_url="redis://127.0.0.1:1/0"))

    for number in range(100_000):
        publisher.tell({str(number): JobStatus.COMPLETED})

    assert len(publisher._jobs) <= changes.MOST_GATHERED
