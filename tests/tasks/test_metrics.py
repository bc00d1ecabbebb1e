"""What dispatchers and workers count."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from kombu.exceptions import OperationalError

from models import metrics
from models.attempts import Ending, Outcome
from models.metrics import REGISTRY
from models.settings import Settings
from models.states import JobStatus
from tasks import dispatcher, replies
from tasks.llm.base import Call, Kind, Prompt, ProviderError, Reply, Usage
from tasks.metrics import Calls, recorded
from tasks.runner import Runner
from tests.factories import a_job, create, now, the_job
from tests.system.stack import eventually


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def grown(name: str, during: Callable[[], object], **labels: str) -> float:
    before = counted(name, **labels)
    during()
    return counted(name, **labels) - before


class Quick:
    """A model that answers at once."""

    name = model = "quick"

    def reply(self, prompt: Prompt, call: Call) -> Reply:
        """Unless it was broken off before."""
        if failure := call.failure():
            raise failure
        return Reply(text=prompt.message, model=self.model, usage=Usage(3, 4))

    def close(self) -> None:
        """Nothing is open."""


def test_an_attempt_is_counted_from_its_claim_to_its_end(db: Settings) -> None:
    """How long the job waited, how long it was held, what was asked of the model and what it charged."""
    runner, job_id = Runner(db, Quick(), name="w"), create()
    names = {
        "parley_job_wait_seconds_count": {"queue_class": "interactive"},
        "parley_attempt_duration_seconds_count": {},
        "parley_attempts_total": {"outcome": "completed", "code": "none"},
        "parley_provider_calls_total": {"model": "quick", "code": "none"},
        "parley_provider_call_duration_seconds_count": {"model": "quick"},
        "parley_provider_tokens_total": {"model": "quick", "kind": "completion"},
    }
    before = {name: counted(name, **labels) for name, labels in names.items()}
    waited = counted("parley_job_wait_seconds_sum", queue_class="interactive")

    runner.take([(job_id, 0)])
    eventually(lambda: the_job(job_id).status is JobStatus.COMPLETED)
    eventually(lambda: not runner.running)

    assert {name: counted(name, **labels) - before[name] for name, labels in names.items()} == {
        **dict.fromkeys(names, 1),
        "parley_provider_tokens_total": 4,
    }
    assert 0 < counted("parley_job_wait_seconds_sum", queue_class="interactive") - waited < 10


def test_a_call_that_fails_is_counted_by_its_code_with_what_it_charged() -> None:
    """And goes on failing as it did."""

    def fail() -> Reply:
        raise ProviderError("no", kind=Kind.TRANSIENT, code="provider_cut", usage=Usage(5, 0))

    def call() -> None:
        with pytest.raises(ProviderError, match="no"):
            Calls(["m"]).measured("m", fail)

    assert grown("parley_provider_calls_total", call, model="m", code="provider_cut") == 1
    assert grown("parley_provider_tokens_total", call, model="m", kind="prompt") == 5


def test_ten_thousand_names_of_models_make_one_series() -> None:
    """Only what the settings name is shown by its name."""

    def ask() -> None:
        calls = Calls(["m"])
        for number in range(10_000):
            calls.measured(f'hostile-{number}"}}\n', lambda: Reply(text="", model="", usage=None))

    assert grown("parley_provider_calls_total", ask, model=metrics.OTHER, code="none") == 10_000
    assert counted("parley_provider_calls_total", model='hostile-7"}\n', code="none") == 0


def test_an_ending_that_comes_too_late_is_no_attempt_that_ended() -> None:
    """It has changed nothing."""
    ending = Ending(job_id="x", attempt=1, outcome=Outcome.RETRIED, error_code="provider_timeout")
    labels = {"outcome": "retried", "code": "provider_timeout"}

    assert grown("parley_attempts_total", lambda: recorded(ending, taken=False), **labels) == 0
    assert grown("parley_attempts_total", lambda: recorded(ending, taken=True), **labels) == 1
    assert grown("parley_fenced_writes_total", lambda: recorded(ending, taken=False)) == 1


def test_what_was_paid_for_counts_whatever_became_of_it() -> None:
    """What has no price is not known, and adds nothing."""
    dear = Ending(job_id="x", attempt=1, outcome=Outcome.COMPLETED, text="", cost=Decimal("0.25"))
    unknown = Ending(job_id="x", attempt=1, outcome=Outcome.COMPLETED, text="")

    assert grown("parley_provider_cost_total", lambda: recorded(dear, taken=False)) == 0.25
    assert grown("parley_provider_cost_total", lambda: recorded(unknown, taken=True)) == 0


def test_what_the_dispatcher_takes_back_and_fails_is_counted(db: Settings) -> None:
    """Once each."""
    dispatcher.keep(lease_seconds=15)  # the first grants an amnesty
    a_job(status=JobStatus.ANALYZING, lease_until=_ago())
    a_job(deadline_at=_ago())
    expired = counted("parley_jobs_expired_total")

    assert grown("parley_leases_reaped_total", lambda: dispatcher.keep(lease_seconds=15)) == 1
    assert counted("parley_jobs_expired_total") - expired == 1


def test_only_what_was_published_is_announced(db: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Redis that is away takes nothing."""
    hints = [(create(), 0) for _ in range(3)]

    def refuse(**_: Any) -> None:
        raise OperationalError

    def publish() -> None:
        dispatcher._publish(hints, "interactive")

    monkeypatch.setattr(replies, "answer", SimpleNamespace(apply_async=refuse))
    assert grown("parley_jobs_announced_total", publish, queue_class="interactive") == 0
    monkeypatch.setattr(replies, "answer", SimpleNamespace(apply_async=lambda **_: None))
    assert grown("parley_jobs_announced_total", publish, queue_class="interactive") == 3


def _ago() -> dt.datetime:
    return now() - dt.timedelta(hours=1)
