"""What becomes of a job whose call failed, whatever the call and however often."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.attempts import Outcome
from tasks import retry
from tasks.llm.base import Kind, ProviderError

BACKOFF = retry.Backoff(base_seconds=2, max_seconds=300)
JOBS = 1000


def failed(kind: Kind = Kind.TRANSIENT, *, retry_after: float | None = None) -> ProviderError:
    return ProviderError("No.", kind=kind, code="some_code", retry_after=retry_after)


def decided(error: ProviderError, *, failures: int, spared: bool = False, has_next: bool = False) -> retry.Decision:
    return retry.decide(error, failures=failures, max_attempts=5, backoff=BACKOFF, spared=spared, has_next=has_next)


@given(
    st.sampled_from([Kind.TRANSIENT, Kind.THROTTLED]),
    st.one_of(st.none(), st.floats(0, 1e9)),
    st.integers(1, 4),
)
def test_nobody_comes_back_before_the_time_that_was_asked_for(kind: Kind, asked: float | None, failures: int) -> None:
    """Nor much later; and no server can send a job away for more than an hour."""
    decision = decided(failed(kind, retry_after=asked), failures=failures)

    earliest = min(asked or 0.0, 3600.0)
    if kind is Kind.THROTTLED:
        earliest = max(earliest, 1.0)
    assert earliest <= decision.delay_seconds <= earliest + 2 * 2 ** (failures - 1)


@pytest.mark.parametrize("failures", [1, 2, 3, 4])
def test_a_thousand_back_offs_are_spread_evenly_over_the_whole_range(failures: int) -> None:
    """Kolmogorov-Smirnov against the uniform distribution; and nowhere do twice as many come at once as on average."""
    draw = random.Random(failures)
    ceiling = 2.0 * 2 ** (failures - 1)

    delays = sorted(
        retry.decide(failed(), failures=failures, max_attempts=5, backoff=BACKOFF, uniform=draw.uniform).delay_seconds
        for _ in range(JOBS)
    )

    assert 0 <= delays[0] <= delays[-1] <= ceiling
    distance = max(
        max((place + 1) / JOBS - delay / ceiling, delay / ceiling - place / JOBS) for place, delay in enumerate(delays)
    )
    assert distance < 1.63 / JOBS**0.5  # what one honest sample in a hundred exceeds
    in_tenths = [
        sum(start <= delay < end for delay in delays) for start, end in pairwise(x / 10 * ceiling for x in range(11))
    ]
    assert max(in_tenths) < 2 * JOBS / 10
    print(f"\nR17: {JOBS} back-offs of 0 to {ceiling:g} s: distance {distance:.4f}, fullest tenth {max(in_tenths)}")  # noqa: T201


@pytest.mark.parametrize(
    ("kind", "failures", "more", "expected"),
    [
        (Kind.TRANSIENT, 4, {}, (Outcome.RETRIED, False)),
        (Kind.TRANSIENT, 5, {}, (Outcome.FAILED, False)),
        (Kind.TRANSIENT, 5, {"has_next": True}, (Outcome.RETRIED, True)),
        (Kind.TRANSIENT, 4, {"has_next": True}, (Outcome.RETRIED, False)),
        (Kind.TRANSIENT, 5, {"spared": True, "has_next": True}, (Outcome.SNOOZED, False)),
        (Kind.THROTTLED, 5, {"has_next": True}, (Outcome.SNOOZED, False)),
        (Kind.PERMANENT, 1, {"has_next": True}, (Outcome.FAILED, False)),
        (Kind.PERMANENT, 1, {"spared": True}, (Outcome.FAILED, False)),
    ],
)
def test_only_used_up_attempts_hand_a_job_down_and_a_probe_uses_none(
    kind: Kind, failures: int, more: dict[str, bool], expected: tuple[Outcome, bool]
) -> None:
    """What one model refuses for good, the next is not asked."""
    decision = decided(failed(kind), failures=failures, **more)

    assert (decision.outcome, decision.next_model) == expected
