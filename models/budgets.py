"""Budgets: what may be spent on a day (UTC), by all together and by each owner.

Before a job is announced, what it will probably cost is reserved for it, and afterwards it is settled with what it did
cost: a reservation counts while its job is announced or runs, and what was spent counts from the moment it is
recorded. A job is let through while anything is left, so the last one may cost more than that, and whoever
says more than was reckoned with does too; but no job is begun once nothing is left.

One announcer at a time asks and reserves, of whichever queue class: the lock is held to the end of its transaction.
Without a budget nothing of this is asked.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.announcements import LOCK_SPACE
from models.kinds import Purpose, QueueClass
from models.quotas import TODAY
from models.settings import Settings
from models.spending import ERASED
from models.states import RUNNING, WAITING, in_sql

BYTES_A_TOKEN = 3
"""Of a message, so as to reckon with too many tokens rather than too few: English has about four."""
PROMPT_TOKENS = 200
"""Around a message."""
MOST_NAMED = 1000
"""Owners that are said to have used up their budget, or nearly, though nothing of theirs waits; those that have spent
most."""

Hint = tuple[str, int]


@dataclass(frozen=True, kw_only=True)
class Budgets:
    """What is allowed, and what is reckoned with."""

    day: Decimal | None
    owner_day: Decimal | None
    soft_percent: int
    inputs: Sequence[Decimal]
    """For each model of the chain: what a million tokens of a prompt cost."""
    outputs: Sequence[Decimal]
    context_tokens: int
    output_tokens: int


def of(settings: Settings) -> Budgets | None:
    """Those that are set; None: there are none."""
    day, owner_day = (
        Decimal(amount) if amount else None for amount in (settings.budget_day, settings.budget_owner_day)
    )
    if day is None and owner_day is None:
        return None
    prices = [settings.prices.models[model] for model in settings.llm_chain]
    return Budgets(
        day=day,
        owner_day=owner_day,
        soft_percent=settings.budget_soft_percent,
        inputs=[price.input for price in prices],
        outputs=[price.output for price in prices],
        context_tokens=settings.llm_context_tokens,
        output_tokens=settings.budget_output_tokens,
    )


@dataclass(frozen=True, kw_only=True)
class Purse:
    """How today's budgets stand."""

    day: dt.date
    spent: Decimal
    """By all, as far as it is known."""
    reserved: Decimal
    """For jobs that are announced or run."""
    is_empty: bool
    """Nothing is left for anybody."""
    is_low: bool
    """The soft limit of all is reached."""
    empty: Sequence[str]
    """Owners for whom nothing is left, who spent most first: all of whom something waits, and `MOST_NAMED`."""
    low: Sequence[str]
    """Owners who have reached their soft limit, those of before among them."""

    def as_json(self) -> dict[str, Any]:
        """For the snapshot that the API reads."""
        return {"all": self.is_empty, "owners": list(self.empty)}


_RESERVED = f"""
    SELECT owner, reserved FROM jobs WHERE status IN {in_sql(RUNNING)} AND reserved IS NOT NULL
    UNION ALL
    SELECT owner, reserved FROM jobs
    WHERE status IN {in_sql(WAITING)} AND reserved IS NOT NULL
    AND announced_at > statement_timestamp() - make_interval(secs => :again_after)
"""  # noqa: S608
_USED = f"""
    parts AS (
        SELECT owner, cost AS spent, 0 AS reserved FROM spending WHERE day = {TODAY} AND cost IS NOT NULL
        UNION ALL SELECT owner, 0, reserved FROM ({_RESERVED}) AS held
    ), used AS (
        SELECT owner, sum(spent) AS spent, sum(reserved) AS reserved FROM parts GROUP BY owner
    )
"""  # noqa: S608
_CLASSES = f"('{QueueClass.INTERACTIVE}', '{QueueClass.BATCH}')"
# Of whom something waits nobody may be left out: what is only taken back is stamped again at the next tick, before
# the jobs of those who have something left.
_LOOK = text(f"""
    WITH {_USED}, poor AS (
        SELECT owner, row_number() OVER (ORDER BY spent DESC, owner) AS place FROM used
        WHERE owner <> '{ERASED}' AND spent + reserved >= CAST(:owner_day AS numeric)
    )
    SELECT COALESCE(sum(spent), 0) AS spent, COALESCE(sum(reserved), 0) AS reserved,
           (SELECT COALESCE(array_agg(owner ORDER BY place), '{{}}') FROM poor
            WHERE place <= {MOST_NAMED} OR EXISTS (
                SELECT FROM jobs WHERE jobs.owner = poor.owner AND queue_class IN {_CLASSES}
                AND status IN {in_sql(WAITING)} AND due)) AS empty,
           COALESCE((array_agg(owner ORDER BY spent DESC) FILTER (
               WHERE owner <> '{ERASED}' AND spent * 100 >= CAST(:owner_day AS numeric) * :soft_percent
           ))[1\\:{MOST_NAMED}], '{{}}') AS low,
           {TODAY} AS day
    FROM used
""")  # noqa: S608
_LOCK = text("SELECT pg_advisory_xact_lock(:space, hashtext('budgets'))")


def look(session: Session, budgets: Budgets, *, again_after: float) -> Purse:
    """How they stand now.

    Args:
        again_after: seconds after which an announcement nobody acted on counts as lost, and so does its reservation.
    """
    given = {"owner_day": budgets.owner_day, "soft_percent": budgets.soft_percent, "again_after": again_after}
    row = session.execute(_LOOK, given).mappings().one()
    day = budgets.day
    return Purse(
        **row,
        is_empty=day is not None and row["spent"] + row["reserved"] >= day,
        is_low=day is not None and row["spent"] >= day * budgets.soft_percent / 100,
    )


def look_alone(session: Session, budgets: Budgets, *, again_after: float) -> Purse:
    """The same, and nobody else reserves anything until the transaction ends."""
    session.execute(_LOCK, {"space": LOCK_SPACE})
    return look(session, budgets, again_after=again_after)


# In the order in which they are to run. Each is let through if something was left before it.
_RESERVE = text(f"""
    WITH {_USED}, given AS (
        SELECT * FROM unnest(CAST(:ids AS uuid[])) WITH ORDINALITY AS given(id, place)
    ), wanted AS (
        SELECT jobs.id, jobs.owner, place, ((
            CASE WHEN purpose = '{Purpose.PROMPT}' THEN octet_length(message) / {BYTES_A_TOKEN} + {PROMPT_TOKENS}
                 ELSE CAST(:context_tokens AS int) END * (CAST(:inputs AS numeric[]))[1 + LEAST(choice, :last)]
            + CAST(:output_tokens AS int) * (CAST(:outputs AS numeric[]))[1 + LEAST(choice, :last)]) / 1000000) AS cost
        FROM jobs JOIN given USING (id)
    ), before AS (
        SELECT wanted.*,
               sum(wanted.cost) OVER (ORDER BY place) - wanted.cost
                   + (SELECT COALESCE(sum(spent + reserved), 0) FROM used) AS of_all,
               sum(wanted.cost) OVER (PARTITION BY wanted.owner ORDER BY place) - wanted.cost
                   + COALESCE(used.spent + used.reserved, 0) AS of_owner
        FROM wanted LEFT JOIN used USING (owner)
    ), judged AS (
        SELECT id, cost, COALESCE(of_all < CAST(:day AS numeric), true)
                     AND COALESCE(of_owner < CAST(:owner_day AS numeric), true) AS fits
        FROM before
    )
    UPDATE jobs SET reserved = CASE WHEN fits THEN judged.cost END, announced_at = CASE WHEN fits THEN announced_at END
    FROM judged WHERE jobs.id = judged.id
    RETURNING jobs.id::text AS id, fits
""")  # noqa: S608


def reserve(session: Session, budgets: Budgets, hints: Sequence[Hint], *, again_after: float) -> list[Hint]:
    """Reserve for these jobs, that have just been stamped, and take those back that nothing is left for; the others.

    To be called in the transaction of `look_alone` that stamped them.
    """
    if not hints:
        return []
    free_again = {"ids": [job_id for job_id, _ in hints]}
    session.execute(_FORGET, free_again)
    given = {
        **free_again,
        **{name: getattr(budgets, name) for name in ("day", "owner_day", "context_tokens", "output_tokens")},
        "inputs": list(budgets.inputs),
        "outputs": list(budgets.outputs),
        "last": len(budgets.inputs) - 1,
        "again_after": again_after,
    }
    rows: Sequence[Mapping[Any, Any]] = session.execute(_RESERVE, given).mappings().all()
    fitting = {row["id"] for row in rows if row["fits"]}
    return [hint for hint in hints if hint[0] in fitting]


# Announced again: what was reserved for them before is not to be counted beside what is reserved now.
_FORGET = text("""
    UPDATE jobs SET reserved = NULL WHERE id = ANY(CAST(:ids AS uuid[])) AND reserved IS NOT NULL
""")
