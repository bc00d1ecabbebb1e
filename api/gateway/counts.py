"""Counts: what a gateway counts as it happens."""

from __future__ import annotations

from models import metrics
from models.metrics import QUICK

DELIVERED = metrics.counter("parley_gateway_events_total", "Events handed to sockets, each socket counted.")
DROPPED = metrics.counter("parley_gateway_events_dropped_total", "Events left out, for a socket took no more.")
RESYNCS = metrics.counter("parley_gateway_resyncs_total", "Sockets told to read anew.", "reason")
DELIVERY_SECONDS = metrics.histogram(
    "parley_gateway_delivery_duration_seconds",
    "From when a message was written to when it was read to be delivered, by the database's clock.",
    buckets=QUICK,
)
