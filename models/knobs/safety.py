"""Who else may read, and what is kept on record."""

from __future__ import annotations

from dataclasses import dataclass

from models import forms
from models.knobs.knob import knob


@dataclass(frozen=True, kw_only=True)
class SafetyKnobs:
    """Other sites, and the audit log."""

    cors_origins: str = knob(
        "CORS_ORIGINS",
        forms.origins,
        default="",
        example="https://chat.example.com,https://admin.example.com",
        meaning="Origins whose pages may read the API, with a token. Empty: only the API's own.",
    )
    audit_retention_days: float = knob(
        "AUDIT_RETENTION_DAYS",
        forms.seconds(30, 3650, unit="days"),
        default=365.0,
        example="365",
        meaning="Audit notes are removed after so many days, 30 at least.",
    )
