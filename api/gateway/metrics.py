"""Metrics of a gateway: its sockets, what is delivered to them and how soon, and the way to Redis."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from api.gateway.bus import Bus
from api.gateway.hub import Hub


class GatewayFigures(Collector):
    """How things stand here at the moment. Read from a scrape's thread: lengths and numbers only."""

    def __init__(self, hub: Hub, bus: Bus) -> None:
        self._hub, self._bus = hub, bus

    def collect(self) -> Iterator[Metric]:
        """As of now."""
        yield GaugeMetricFamily("parley_gateway_sockets", "Sockets that are signed in.", len(self._hub.sockets))
        yield GaugeMetricFamily("parley_gateway_users", "Users with sockets here.", len(self._hub.users))
        yield GaugeMetricFamily("parley_gateway_chats", "Chats that somebody here is in.", len(self._hub.rooms))
        yield GaugeMetricFamily("parley_gateway_bus_up", "1 while it hears what others commit.", int(self._bus.is_up))
        yield GaugeMetricFamily(
            "parley_gateway_bus_lag_seconds",
            "How long the last word took through Redis and back.",
            self._bus.lag_seconds,
        )
