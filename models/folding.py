"""Folding: which of a chat's messages go into its summary next, and which a prompt shows as they are.

    1 ────────── summarized_seq ─── step ─── step ─── … ──── last_seq
    └ in the summary ┘          └ folded into it ┘     └ window ┘

Every message is in one of the three, at any length: that is what `Plan` is for.
Numbers of messages have no gaps, so all of it is arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass

STEP_MESSAGES = 100
"""The most that one call to the model is shown. A chat of years is folded step by step, never in one call."""
VERBATIM = 20
"""The newest so many are never folded: what is being talked about stands in the prompt word for word."""
MOST_VERBATIM = 50
"""The most that a prompt shows word for word. With more, the oldest are folded first."""
AHEAD_FROM = 40
"""With more, the AI's next reply is spared the wait: a job of its own folds while this reply is being made."""
FULL_SHARE = 0.8
"""Of a prompt's tokens. Long messages fill it before there are so many."""
WORTH_FOLDING = 10
"""Fewer are folded only if the prompt could not show them: each step is a call to the model."""
STEPS_BEFORE_REPLY = 3
"""The most that somebody waits for. A chat that needs more is folded in the background, and the reply does without."""
MOST_BEFORE_REPLY = STEPS_BEFORE_REPLY * STEP_MESSAGES + MOST_VERBATIM
OVERDUE = 100
"""More than so many that no summary has seen: somebody should have folded them."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What has to happen before a prompt can be made."""

    steps: tuple[range, ...]
    """The messages of each step, the oldest first. None: the prompt can be made as it is."""
    window: range
    """The messages that the prompt then shows word for word."""


def plan(*, last_seq: int, summarized_seq: int, tolerated: int = MOST_VERBATIM) -> Plan:
    """The steps after which no more than ``tolerated`` messages are outside of the summary, and what then is.

    >>> plan(last_seq=50, summarized_seq=0)
    Plan(steps=(), window=range(1, 51))
    >>> plan(last_seq=300, summarized_seq=0)
    Plan(steps=(range(1, 101), range(101, 201), range(201, 281)), window=range(281, 301))
    """
    steps = []
    while step := next_step(last_seq=last_seq, summarized_seq=summarized_seq, tolerated=tolerated):
        steps.append(step)
        summarized_seq = step[-1]
    return Plan(steps=tuple(steps), window=range(summarized_seq + 1, last_seq + 1))


def is_full(*, tokens: int, budget: int, unseen: int) -> bool:
    """Whether messages are to be folded because of what they weigh, though they are not too many.

    Args:
        tokens: of a prompt that shows all of them.
        unseen: how many are outside of the summary.

    >>> [is_full(tokens=t, budget=1000, unseen=u) for t, u in ((801, 30), (801, 29), (1001, 21), (1001, 20), (799, 49))]
    [True, False, True, False, False]
    """
    foldable = unseen - VERBATIM
    return (tokens > FULL_SHARE * budget and foldable >= WORTH_FOLDING) or (tokens > budget and foldable > 0)


def next_step(*, last_seq: int, summarized_seq: int, tolerated: int = MOST_VERBATIM, most: int | None = None) -> range:
    """The messages to be folded next; empty if no more than ``tolerated`` are outside of the summary.

    Args:
        most: empty, too, if there are more than so many: it would take more steps than there is time for.

    >>> next_step(last_seq=51, summarized_seq=0), next_step(last_seq=51, summarized_seq=1)
    (range(1, 32), range(2, 2))
    """
    unseen = last_seq - summarized_seq
    is_due = max(tolerated, VERBATIM) < unseen <= (unseen if most is None else most)
    taken = min(STEP_MESSAGES, unseen - VERBATIM) if is_due else 0
    return range(summarized_seq + 1, summarized_seq + 1 + taken)
