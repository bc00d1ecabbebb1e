"""What of chats is kept in Redis."""

from __future__ import annotations

from dataclasses import dataclass

from models import forms
from models.knobs.knob import knob


@dataclass(frozen=True, kw_only=True)
class CacheKnobs:
    """The chat cache."""

    chat_page_messages: int = knob(
        "CHAT_PAGE_MESSAGES",
        forms.whole(1, 200),
        default=50,
        example="50",
        meaning="Messages on a page of `GET /chats/<id>`, and how many of a chat Redis keeps.",
    )
    reply_cache_seconds: float = knob(
        "REPLY_CACHE_SECONDS",
        forms.seconds(0, 86_400),
        default=3600.0,
        example="3600",
        meaning="How long an answer is kept for the very same prompt of the same owner and chat; 0: not at all.",
    )
    cached_chats: int = knob(
        "CACHED_CHATS",
        forms.whole(0, 1_000_000),
        default=10_000,
        example="10000",
        meaning="Chats whose newest messages Redis keeps, the least recently read go first; 0: none.",
    )
