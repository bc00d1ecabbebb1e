"""Who else may read, and what is kept on record."""

from __future__ import annotations

from dataclasses import dataclass

from models import forms
from models.knobs.knob import knob


@dataclass(frozen=True, kw_only=True)
class SafetyKnobs:
    """Other sites, the audit log, and the metrics."""

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
    metrics_token: str = knob(
        "METRICS_TOKEN",
        forms.token,
        default="",
        example="a 43-character random string",
        meaning="Bearer token that opens `/metrics` and nothing else. Empty: only operators may read it.",
        secret=True,
    )
    otel_endpoint: str = knob(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        forms.url("http", "https"),
        default="",
        example="http://collector:4318",
        meaning="Where [traces](../how-to/monitoring.md#traces) go, by OTLP over HTTP. Empty: none are made.",
    )
    sample_seconds: int = knob(
        "SAMPLE_SECONDS",
        forms.whole(1, 300),
        default=15,
        example="15",
        meaning="A dispatcher notes so often how things stand, for the charts of `/dashboard`.",
    )
    metrics_port: int = knob(
        "METRICS_PORT",
        forms.whole(0, 65532),
        default=0,
        example="9400",
        meaning="Port at which a gateway, dispatcher or worker shows its `/metrics` (`make run`: the first of four); "
        "0: none does.",
    )
    metrics_host: str = knob(
        "METRICS_HOST",
        forms.text,
        default="127.0.0.1",
        example="10.0.0.5",
        meaning="Address of that port. Another than this machine's own demands `METRICS_TOKEN`.",
    )
