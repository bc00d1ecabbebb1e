"""The nemesis: breaks what it can reach, heals it again, and tells the history.

Faults are dealt from a shuffled deck, so that each kind comes in every deal,
and what loses workers twice.
Which, in what order, how long and how far apart is decided by the seed; they
may overlap, but one worker is always left to recover by.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import redis

from tests.chaos.history import History
from tests.chaos.plant import Plant
from tests.fake_llm import FakeLLM
from tests.fault_proxy import Mode

Heal = Callable[[], None]
DELAYS_MS = (20, 150)
LONG_LEASE_SECONDS = 10
WORTH_KILLING = 3
"""Jobs a worker should have in hand."""
NETWORK: tuple[tuple[str, Mode, float, float], ...] = (
    ("postgres", "freeze", 1, 4),
    ("postgres", "half_open", 0.1, 0.5),
    ("postgres", "reset", 0.1, 1),
    ("postgres", "delay", 2, 4),
    ("redis", "freeze", 2, 6),
    ("redis", "half_open", 0.1, 0.5),
    ("redis", "reset", 0.1, 2),
    ("redis", "delay", 2, 4),
    ("model", "freeze", 1, 4),
    ("model", "reset", 0.1, 1),
    ("model", "delay", 2, 4),
)
"""What the proxies do, and for how many seconds."""
KILLED = ("api", "dispatcher", "worker", "postgres", "redis")
FREEZE_WORKER, FREEZE_DISPATCHER, ERASE = "freeze worker past its lease", "freeze dispatcher", "erase redis"
FAULTS = (
    *(f"kill {name}" for name in KILLED),
    FREEZE_WORKER,
    FREEZE_DISPATCHER,
    *(f"{mode} {server}" for server, mode, _, _ in NETWORK),
    ERASE,
)
"""All there are."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A way to break something."""

    name: str
    begin: Callable[[], dict[str, object]]
    """Does it; answers what the history should know."""
    heal: Heal
    seconds: float
    """From one to the other; 0: nothing to heal."""


class Nemesis:
    """One run's faults.

    Args:
        lease_seconds: a frozen worker stays so for longer than that, and the longer it is, the more time a loss needs.
        deals: how often the whole deck is dealt.
        calm_deals: how often, before that, the part of it that leaves database and model alone: what a lost worker
            costs can be told only there.
        faults: the deck's cards.
    """

    def __init__(
        self,
        plant: Plant,
        llm: FakeLLM,
        history: History,
        chance: random.Random,
        *,
        lease_seconds: float,
        deals: int,
        calm_deals: int,
        faults: Sequence[str] = FAULTS,
    ) -> None:
        self._plant, self._llm, self._history, self._chance = plant, llm, history, chance
        self._lease_seconds = lease_seconds
        deck = [name for name in sorted(faults) for _ in range(1 + ("worker" in name))]
        calm = [name for name in deck if "postgres" not in name and "model" not in name]
        dealt = [chance.sample(cards, len(cards)) for cards in [calm] * calm_deals + [deck] * deals]
        self._deck = [name for cards in reversed(dealt) for name in cards]
        self._gap_seconds = (0.5, 2.5) if lease_seconds < LONG_LEASE_SECONDS else (2.0, 6.0)
        self.seconds = len(self._deck) * sum(self._gap_seconds) / 2
        """About how long it will take to deal them all."""
        self._healing: list[tuple[float, str, Heal]] = []
        self._begun_at = self._next_at = time.monotonic()

    def act(self) -> bool:
        """Break and heal what is due; whether there is anything left to do. To be called again and again."""
        now = time.monotonic()
        for due in [one for one in self._healing if one[0] <= now]:
            self._healing.remove(due)
            due[2]()
            self._history.add("info", "fault", name=due[1], healed=True)
        if self._deck and now >= self._next_at and (card := self._next_card()) is not None:
            self._next_at = now + self._chance.uniform(*self._gap_seconds)
            self._begin(self._deck.pop(card))
        return bool(self._deck or self._healing)

    def _next_card(self) -> int | None:
        """The last that would break something now.

        A worker is taken only while another one is left and while it has work to lose; in the end, whatever it has.
        """
        is_frozen = any("worker" in name for _, name, _ in self._healing)
        is_idle = self._plant.most_in_hand() < WORTH_KILLING and time.monotonic() < self._begun_at + self.seconds
        allowed = [place for place, name in enumerate(self._deck) if not ((is_frozen or is_idle) and "worker" in name)]
        return allowed[-1] if allowed else None

    def _begin(self, name: str) -> None:
        fault = self._kinds()[name]()
        facts = fault.begin()
        self._history.add("info", "fault", name=name, seconds=round(fault.seconds, 2), **facts)
        if fault.seconds:
            self._healing.append((time.monotonic() + fault.seconds, name, fault.heal))

    def _kinds(self) -> dict[str, Callable[[], Fault]]:
        kills = {f"kill {name}": self._killing(name) for name in KILLED}
        freezes = {
            FREEZE_WORKER: self._freezing("worker", 1.3 * self._lease_seconds, 1.6 * self._lease_seconds),
            FREEZE_DISPATCHER: self._freezing("dispatcher", 2, 7),
        }
        network = {
            f"{mode} {server}": self._failing(server, mode, least, most) for server, mode, least, most in NETWORK
        }
        return {**kills, **freezes, **network, ERASE: self._erase}

    def _killing(self, name: str) -> Callable[[], Fault]:
        """The plant starts another."""
        return lambda: Fault(
            name=name, begin=lambda: {"pid": self._plant.kill_one(name, self._chance)}, heal=lambda: None, seconds=0
        )

    def _freezing(self, name: str, least: float, most: float) -> Callable[[], Fault]:
        def fault() -> Fault:
            frozen: list[int] = []

            def begin() -> dict[str, object]:
                frozen.append(self._plant.freeze_one(name, self._chance))
                return {"pid": frozen[0]}

            return Fault(
                name=name,
                begin=begin,
                heal=lambda: self._plant.thaw(frozen[0]),
                seconds=self._chance.uniform(least, most),
            )

        return fault

    def _failing(self, server: str, mode: Mode, least: float, most: float) -> Callable[[], Fault]:
        proxy = self._plant.proxies[server]

        def fault() -> Fault:
            delay = self._chance.uniform(*DELAYS_MS)

            def begin() -> dict[str, object]:
                broken = int(self._llm.stats()["active"]) if (server, mode) == ("model", "reset") else 0
                proxy.switch(mode, delay_ms=delay)
                return {"server": server, "calls_broken": broken}

            return Fault(
                name=mode, begin=begin, heal=lambda: proxy.switch("pass"), seconds=self._chance.uniform(least, most)
            )

        return fault

    def _erase(self) -> Fault:
        def begin() -> dict[str, object]:
            try:
                with redis.Redis.from_url(self._plant.servers.environment["REDIS_URL"], retry=None) as client:
                    client.flushall()
            except redis.RedisError as error:  # it is down just now, and comes back empty
                return {"missed": type(error).__name__}
            return {}

        return Fault(name="erase", begin=begin, heal=lambda: None, seconds=0)
