"""Breaker: what a model's breaker becomes, and how many jobs it lets through. Pure: no clock, no database.

A model whose calls fail is not asked again for a while, then once, and if that
goes well, slowly more: the jobs that have gathered would otherwise knock it
over at the moment it gets up. The one call in between is the *probe*.

Source: Michael Nygard, "Release It!" (2nd ed. 2018), chapter 5.
"""

from __future__ import annotations

from collections.abc import Sequence

from models.announcements import LARGEST_ANNOUNCEMENT, Pass
from models.breakers import WINDOW_SECONDS, BreakerState, Change, Probe, Seen, Tally

FAILED_SHARE = 0.5
FIRST_OPEN_SECONDS, LONGEST_OPEN_SECONDS = 10.0, 60.0
SLOW_START_JOBS = 4
"""In flight at once after an outage; doubled every `SLOW_START_SECONDS` until there are more than slots."""
SLOW_START_SECONDS = 5.0


def judged_closed(seen: Seen, tally: Tally, *, least_calls: int) -> Change | None:
    """Open a closed breaker if half of the newest calls have failed.

    One that closed only lately has been closed too soon: it stays open twice as long as before.

    Args:
        least_calls: fewer tell nothing.

    >>> judged_closed(Seen(model="m"), Tally(calls=20, failures=10), least_calls=20).wait_seconds
    10.0
    >>> [judged_closed(Seen(model="m"), Tally(calls=c, failures=f), least_calls=20) for c, f in ((19, 19), (20, 9))]
    [None, None]
    """
    if tally.calls < least_calls or tally.failures < FAILED_SHARE * tally.calls:
        return None
    relapse = seen.unchanged_seconds is not None and seen.unchanged_seconds < WINDOW_SECONDS
    seconds = _longer(seen.open_seconds) if relapse else FIRST_OPEN_SECONDS
    return Change(to=BreakerState.OPEN, open_seconds=seconds, wait_seconds=seconds)


def judged_probe(seen: Seen, *, again_after: float) -> Change | None:
    """Close or open a half-open breaker as its probe ended; have another probe sent if it told nothing, or is lost.

    Args:
        again_after: seconds after which an announcement nobody acted on counts as lost.

    >>> half = {"model": "m", "state": BreakerState.HALF_OPEN, "open_seconds": 40.0, "unchanged_seconds": 1.0}
    >>> [judged_probe(Seen(**half, probe=probe), again_after=5).open_seconds for probe in (Probe.FAILED, Probe.VOID)]
    [60.0, 40.0]
    """
    if seen.probe is Probe.PASSED:
        return Change(to=BreakerState.CLOSED, open_seconds=seen.open_seconds)
    if seen.probe is Probe.FAILED:
        seconds = _longer(seen.open_seconds)
        return Change(to=BreakerState.OPEN, open_seconds=seconds, wait_seconds=seconds)
    lost = seen.probe is Probe.UNCLAIMED and (seen.unchanged_seconds or 0.0) > again_after
    if lost or seen.probe is Probe.VOID:
        return Change(to=BreakerState.OPEN, open_seconds=seen.open_seconds)
    return None


def _longer(open_seconds: float) -> float:
    return min(LONGEST_OPEN_SECONDS, max(FIRST_OPEN_SECONDS, 2 * open_seconds))


def slow_start(seen: Seen, *, slots: int) -> int | None:
    """How many jobs may be in flight for the model of a closed breaker; None: as many as there are slots.

    >>> [slow_start(Seen(model="m", unchanged_seconds=s), slots=20) for s in (0, 4.9, 5, 10, 15)]
    [4, 4, 8, 16, None]
    >>> slow_start(Seen(model="never open"), slots=20)
    """
    if seen.unchanged_seconds is None:
        return None
    doublings = min(int(seen.unchanged_seconds / SLOW_START_SECONDS), 32)
    most = SLOW_START_JOBS * 2**doublings
    return None if most >= slots else most


def passes(limits: Sequence[int | None]) -> list[Pass]:
    """In which passes to announce, most urgent jobs and first models first.

    Each job goes to the first model, from the one it has been handed down to,
    that lets it through. A model that lets through nothing is left out, and its
    jobs go to the next; so do those beyond the number that it lets through.

    Args:
        limits: for each model of the chain how many jobs it lets through now; None: all.

    >>> [(each.choice, each.low, each.high, each.most) for each in passes([0, 1, None])]
    [(1, 0, 1, 1), (2, 0, 32767, 512)]
    >>> [(each.choice, each.low, each.high) for each in passes([None, 0, None])]
    [(0, 0, 0), (2, 1, 32767)]
    >>> [(each.choice, each.low, each.high) for each in passes([None, None])]
    [(0, 0, 32767)]
    >>> passes([0])
    []
    """
    found: list[Pass] = []
    last, low = len(limits) - 1, 0
    for choice, limit in enumerate(limits):
        rest_is_free = all(each is None for each in limits[choice:])
        high = Pass.high if choice == last or rest_is_free else choice
        if limit != 0:
            most = LARGEST_ANNOUNCEMENT if limit is None else limit
            found.append(Pass(choice=choice, low=low, high=high, most=most, last=last))
        if rest_is_free:
            break
        if limit is None:
            low = choice + 1
    return found


def paused_from(states: Sequence[BreakerState]) -> int | None:
    """From which place in the chain on no job is let through; None: the last model takes any.

    >>> from models.breakers import BreakerState as S
    >>> [paused_from(each) for each in ([S.CLOSED], [S.OPEN], [S.OPEN, S.CLOSED], [S.CLOSED, S.HALF_OPEN])]
    [None, 0, None, 1]
    """
    closed = [place for place, state in enumerate(states) if state is BreakerState.CLOSED]
    beyond = closed[-1] + 1 if closed else 0
    return beyond if beyond < len(states) else None
