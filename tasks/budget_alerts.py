"""Budget alerts: told to a receiver that the operator has named, by a signed webhook.

    claim (a transaction) ──▶ post (no transaction) ──▶ note it (a transaction)

One at a time: there are few of them. At least once, under the same name, as `tasks.notifier` does it for people.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models import budget_alerts, logs
from models.base import Session
from models.budget_alerts import Claimed
from models.prices import wire
from models.settings import Settings
from tasks import metrics, webhook
from tasks.webhook import NotSent, Webhook

PAUSE_SECONDS = 1.0
DOWN_SECONDS = 5.0
"""Before the next, when nobody answered."""

log = logs.logger()


class AlertPoster:
    """One for each dispatcher."""

    def __init__(self, hook: Webhook, *, currency: str, soft_percent: int) -> None:
        self._hook, self._currency, self._soft_percent = hook, currency, soft_percent

    @classmethod
    def of(cls, settings: Settings) -> AlertPoster | None:
        """None: there is no receiver."""
        if not settings.budget_webhook_url:
            return None
        hook = Webhook(
            url=settings.budget_webhook_url,
            secret=settings.budget_webhook_secret,
            may_be_private=settings.budget_webhook_private,
        )
        return cls(hook, currency=settings.prices.currency, soft_percent=settings.budget_soft_percent)

    def tick(self) -> float:
        """Post one that is due; seconds to rest."""
        with Session.begin() as session:
            alert = budget_alerts.claim(session)
        if alert is None:
            return PAUSE_SECONDS
        try:
            webhook.post(self._hook, name=f"budget_{alert.id}", now=alert.now, said=self._body(alert))
        except NotSent as failure:
            _note_failure(alert, failure)
            return DOWN_SECONDS if failure.is_down else 0.0
        with Session.begin() as session:
            budget_alerts.done(session, alert)
        metrics.BUDGET_POSTS.labels("taken").inc()
        return 0.0

    def _body(self, alert: Claimed) -> Mapping[str, Any]:
        return {
            "type": f"budget.{alert.level}",
            "timestamp": webhook.wire_time(alert.created_at),
            "data": {
                "day": alert.day.isoformat(),
                "owner": alert.owner,
                "budget": wire(alert.budget),
                "spent": wire(alert.spent),
                "currency": self._currency,
                "softPercent": self._soft_percent,
            },
        }


def _note_failure(alert: Claimed, failure: NotSent) -> None:
    reason, seconds = str(failure), webhook.again_after(failure, attempt=alert.attempt)
    with Session.begin() as session:
        if seconds is None:
            budget_alerts.give_up(session, alert, error=reason)
        else:
            budget_alerts.again(session, alert, error=reason, seconds=seconds)
    about = {"level": alert.level, "owner": alert.owner, "attempt": alert.attempt, "reason": reason}
    if seconds is None:
        metrics.BUDGET_POSTS.labels("given_up").inc()
        log.error("budget_alert_given_up", **about)
    else:
        metrics.BUDGET_POSTS.labels("failed").inc()
        log.warning("budget_alert_failed", **about)
