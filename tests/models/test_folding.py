"""Which messages go into the summary, and which into the prompt."""

from __future__ import annotations

import itertools

import pytest

from models.folding import next_step, plan


@pytest.mark.parametrize("summarized_seq", [0, 1, 80, 100])
def test_every_message_is_in_the_summary_or_in_the_prompt(summarized_seq: int) -> None:
    """At any length, once: no step has more than a hundred, no prompt more than fifty, and the newest stay verbatim."""
    for length in range(301):
        last_seq = summarized_seq + length
        made = plan(last_seq=last_seq, summarized_seq=summarized_seq)

        shown = [*range(1, summarized_seq + 1), *itertools.chain(*made.steps), *made.window]
        assert shown == list(range(1, last_seq + 1))
        assert all(1 <= len(step) <= 100 for step in made.steps)
        assert len(made.window) <= 50
        assert len(made.window) >= min(20, length)
        assert len(made.steps) <= 3


def test_a_chat_of_years_takes_as_many_steps_as_it_has_hundreds() -> None:
    """Never one call for all of it."""
    made = plan(last_seq=5_000, summarized_seq=0)

    assert [len(step) for step in made.steps] == [100] * 49 + [80]
    assert made.window == range(4_981, 5_001)


@pytest.mark.parametrize(("unseen", "taken"), [(40, 0), (51, 31), (350, 100), (351, 0)])
def test_before_a_reply_only_what_it_can_wait_for_is_folded(unseen: int, taken: int) -> None:
    """Beyond that three steps would not do, and the rest would be left out all the same."""
    assert len(next_step(last_seq=unseen, summarized_seq=0, most=350)) == taken
