"""How people are told of messages that they have not seen come."""

from __future__ import annotations

from dataclasses import dataclass

from models import forms
from models.knobs.knob import knob


@dataclass(frozen=True, kw_only=True)
class NotifyKnobs:
    """Notifications."""

    notify_sender: str = knob(
        "NOTIFY_SENDER",
        forms.one_of("log", "webhook"),
        default="log",
        example="webhook",
        meaning="Who is told of messages for people who are away: the log, or a `webhook`.",
    )
    notify_webhook_url: str = knob(
        "NOTIFY_WEBHOOK_URL",
        forms.url("https", "http"),
        default="",
        example="https://push.example.com/parley",
        meaning="Where the webhook posts.",
        secret=True,
    )
    notify_webhook_secret: str = knob(
        "NOTIFY_WEBHOOK_SECRET",
        forms.webhook_secret,
        default="",
        example="whsec_ and 24 to 64 bytes in base64",
        meaning="Signs what the webhook posts, as Standard Webhooks has it.",
        secret=True,
    )
    notify_webhook_private: bool = knob(
        "NOTIFY_WEBHOOK_PRIVATE",
        forms.yes_or_no,
        default=False,
        example="true",
        meaning="Whether the webhook may be plain HTTP, and lead to private addresses and this machine.",
    )
