"""Kinds: what a job asks of the model, who may take it, and what its answer is for."""

from __future__ import annotations

import enum
from typing import Any

from models.settings import Settings


class JobType(enum.StrEnum):
    """What is asked of the model."""

    CHAT = "chat"
    SUMMARIZE = "summarize"


class QueueClass(enum.StrEnum):
    """Which workers may take a job: one Celery queue and one kind of worker process each."""

    INTERACTIVE = "interactive"
    """Somebody waits for it."""
    BATCH = "batch"
    """Part of a batch: nobody waits for this one in particular."""


class Purpose(enum.StrEnum):
    """What its answer is for: who asked it reads it, or a chat takes it in."""

    PROMPT = "prompt"
    """A message on its own; the answer is the job's result and no more."""
    REPLY = "reply"
    """The AI's next message in a chat."""
    RECAP = "recap"
    """The same, on being asked what was said."""
    REGENERATION = "regeneration"
    """Another answer, in the place of one that the AI has given."""
    TITLE = "title"
    SUMMARY = "summary"
    """A step of a chat's rolling summary."""


def limits_of(settings: Settings, job_type: JobType) -> dict[str, Any]:
    """What holds for a job of this type that does not say otherwise."""
    is_chat = job_type is JobType.CHAT
    return {
        "max_attempts": settings.max_attempts,
        "deadline_seconds": settings.chat_deadline_seconds if is_chat else settings.summarize_deadline_seconds,
        "ttl_seconds": (settings.chat_ttl_seconds if is_chat else settings.summarize_ttl_seconds) or None,
    }
