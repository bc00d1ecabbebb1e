"""What a gateway counts."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from api.gateway.metrics import GatewayFigures
from models.metrics import REGISTRY
from tests.factories import a_chat, a_user, say
from tests.gateway.clients import Client
from tests.gateway.conftest import Live

pytestmark = pytest.mark.xdist_group("gateway")


def test_a_message_is_counted_at_each_socket_and_timed_once(live: Live, client: Callable[..., Client]) -> None:
    """By the clock of the database, which has both ends."""
    anna, ben = a_user(), a_user()
    chat = a_chat(anna, ben)
    pages = [client(anna), client(ben), client(ben)]
    before = [counted(name) for name in NAMES]

    say(chat, anna, "Hello")
    for page in pages:
        page.event("message.new", chat=chat)

    events, messages, seconds = (counted(name) - had for name, had in zip(NAMES, before, strict=True))
    assert events >= 3
    assert messages == 1
    assert 0 < seconds < 10
    shown = {each.name: each.samples[0].value for each in GatewayFigures(live.gateway.hub, live.gateway.bus).collect()}
    assert shown["parley_gateway_sockets"] == len(live.gateway.hub.sockets) >= 3
    assert shown["parley_gateway_bus_up"] == 1


NAMES = (
    "parley_gateway_events_total",
    "parley_gateway_delivery_duration_seconds_count",
    "parley_gateway_delivery_duration_seconds_sum",
)


def counted(name: str) -> float:
    return REGISTRY.get_sample_value(name) or 0.0
