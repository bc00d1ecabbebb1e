"""The rules of the breaker, on any history."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from models.breakers import BreakerState, Change, Probe, Seen, Tally
from tasks import breaker

LIMITS = st.lists(st.one_of(st.none(), st.integers(0, 3)), min_size=1, max_size=5)
TALLIES = st.integers(0, 100).flatmap(
    lambda calls: st.builds(Tally, calls=st.just(calls), failures=st.integers(0, calls))
)


@given(TALLIES, st.sampled_from([None, 0.0, 29.0, 31.0, 1e9]), st.sampled_from([0.0, 10.0, 40.0, 60.0]))
def test_it_opens_at_half_of_twenty_calls_for_ten_seconds_to_a_minute(
    tally: Tally, unchanged: float | None, before: float
) -> None:
    """Never at fewer, never later, never shorter, never longer."""
    change = breaker.judged_closed(
        Seen(model="m", unchanged_seconds=unchanged, open_seconds=before), tally, least_calls=20
    )

    assert (change is not None) == (tally.calls >= 20 and tally.failures * 2 >= tally.calls)
    if change is not None:
        relapsed = unchanged is not None and unchanged < 30
        assert change.wait_seconds == (max(10.0, min(60.0, 2 * before)) if relapsed else 10.0)


@given(LIMITS, st.lists(st.integers(0, 6), max_size=12))
def test_each_job_goes_to_the_first_model_that_lets_it_through(
    limits: list[int | None], handed_down: list[int]
) -> None:
    """In one pass after another, as each job would in turn."""
    went: dict[int, int] = {}
    for each in breaker.passes(limits):
        fit = [job for job, down in enumerate(handed_down) if each.low <= down <= each.high and job not in went]
        went |= {job: max(each.choice, min(handed_down[job], each.last)) for job in fit[: each.most]}

    left = list(limits)
    expected: dict[int, int] = {}
    for job, down in enumerate(handed_down):
        for place in range(min(down, len(limits) - 1), len(limits)):
            if left[place] != 0:
                left[place] = None if (room := left[place]) is None else room - 1
                expected[job] = place
                break
    assert went == expected


@given(LIMITS)
def test_one_pass_is_enough_while_nothing_is_limited(limits: list[int | None]) -> None:
    """The hot path costs one statement, however long the chain is."""
    assert len(breaker.passes([None] * len(limits))) == 1


@given(st.floats(0, 1e6), st.integers(1, 5000))
def test_a_slow_start_only_grows_and_ends_above_the_slots(seconds: float, slots: int) -> None:
    """None is all."""
    now, later = (breaker.slow_start(Seen(model="m", unchanged_seconds=s), slots=slots) for s in (seconds, seconds + 5))

    assert later is None or (now is not None and later == 2 * now < slots)


class Outages(RuleBasedStateMachine):
    """A model that comes and goes, jobs that always wait, and one tick a second."""

    @initialize()
    def begin(self) -> None:
        """Closed, and well."""
        self.seen = Seen(model="m")
        self.up, self.seconds_up = True, 0
        self.failed_in_a_row = 0
        self.clock = 0
        self.asked_again_at = 0
        """No probe before: the last one failed."""

    @rule()
    def it_breaks(self) -> None:
        """From now on every call fails."""
        if self.up:
            self.up, self.failed_in_a_row = False, 0

    @rule()
    def it_is_mended(self) -> None:
        """From now on every call is answered."""
        if not self.up:
            self.up, self.seconds_up = True, 0

    @rule(seconds=st.integers(1, 100))
    def time_passes(self, seconds: int) -> None:
        """A tick each second."""
        for _ in range(seconds):
            self.tick()

    @precondition(lambda self: self.seen.state is BreakerState.HALF_OPEN)
    @rule(how=st.sampled_from([Probe.VOID, Probe.UNCLAIMED]))
    def the_probe_is_lost(self, how: Probe) -> None:
        """With its worker, or with its hint."""
        lost = replace(self.seen, probe=how, unchanged_seconds=6.0)
        change = breaker.judged_probe(lost, again_after=5)
        assert change is not None
        self.become(change)
        assert self.seen.wait_seconds == 0

    def tick(self) -> None:
        """Calls end as the model is; then the announcer judges."""
        self.clock += 1
        self.seconds_up += self.up
        unchanged, wait = self.seen.unchanged_seconds, self.seen.wait_seconds
        self.seen = replace(
            self.seen,
            unchanged_seconds=None if unchanged is None else unchanged + 1,
            wait_seconds=None if wait is None else wait - 1,
        )
        if self.seen.state is BreakerState.CLOSED:
            self.failed_in_a_row += 0 if self.up else 10
            tally = Tally(calls=max(20, self.failed_in_a_row), failures=self.failed_in_a_row)
            self.become(breaker.judged_closed(self.seen, tally, least_calls=20))
        elif self.seen.state is BreakerState.OPEN and (self.seen.wait_seconds or 0) <= 0:
            assert self.clock >= self.asked_again_at
            half_open = Change(to=BreakerState.HALF_OPEN, open_seconds=self.seen.open_seconds, probe=("job", 1))
            self.become(half_open, probe=Probe.RUNNING)
        elif self.seen.state is BreakerState.HALF_OPEN:
            ended = replace(self.seen, probe=Probe.PASSED if self.up else Probe.FAILED)
            self.asked_again_at = self.clock + (0 if self.up else int(min(60, 2 * self.seen.open_seconds)))
            self.become(breaker.judged_probe(ended, again_after=5))

    def become(self, change: Change | None, *, probe: Probe | None = None) -> None:
        """As the row would."""
        if change is not None:
            self.failed_in_a_row = 0
            wait = change.wait_seconds if change.to is BreakerState.OPEN else None
            self.seen = Seen(
                model="m",
                state=change.to,
                open_seconds=change.open_seconds,
                unchanged_seconds=0.001,
                wait_seconds=wait,
                probe=probe,
            )

    @invariant()
    def a_model_that_is_well_is_asked_again_within_about_a_minute(self) -> None:
        """However long the outage was."""
        if hasattr(self, "seen") and self.up and self.seconds_up > 60 + 5:
            assert self.seen.state is not BreakerState.OPEN


TestOutages = Outages.TestCase
