"""Senders: the ways in which somebody can be told that there is a message for them.

A sender either returns, and the receiver has it, or raises `NotSent`. It may be asked to send the same notice twice: if
a dispatcher dies between sending and noting it, another one sends again. The notice's name is the same then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from models import logs
from models.notifications import Notice
from models.settings import Settings
from tasks.webhook import Webhook, WebhookSender

__all__ = ["LogSender", "Sender", "sender_of"]
log = logs.logger()


class Sender(Protocol):
    """One for each dispatcher; used by several threads."""

    at_once: int
    """Notices that are claimed together."""

    def send(self, notice: Notice, user_ids: Sequence[str]) -> None:
        """Have these people told.

        Raises:
            NotSent: nobody was, as far as one knows.
        """
        ...


class LogSender:
    """Writes a line, and no word of the message: for those who have nothing to send with yet."""

    at_once = 200

    def send(self, notice: Notice, user_ids: Sequence[str]) -> None:
        """One line a message."""
        log.info("notification_logged", chat_id=notice.chat_id, seq=notice.seq, people=len(user_ids))


def sender_of(settings: Settings) -> Sender:
    """The one that the settings name."""
    if settings.notify_sender == "webhook":
        hook = Webhook(
            url=settings.notify_webhook_url,
            secret=settings.notify_webhook_secret,
            may_be_private=settings.notify_webhook_private,
        )
        return WebhookSender(hook)
    return LogSender()
