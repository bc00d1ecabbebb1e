"""The sheet: every figure of every round, and how they are printed."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.machine import Spent


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table."""

    key: str
    label: str
    unit: str
    budget: float | None = None
    at_least: bool = False
    """The budget is a lower bound."""
    floor: str | float | None = None
    """Key of the row that is the least this one could be; or that number."""

    def is_within(self, value: float) -> bool:
        """Whether a figure keeps to the budget."""
        return self.budget is None or (value >= self.budget if self.at_least else value <= self.budget)


@dataclass
class Sheet:
    """Figures by row, one for each round."""

    values: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    spent: dict[str, list[Spent]] = field(default_factory=lambda: defaultdict(list))

    def note(self, key: str, value: float, *, spent: Spent) -> None:
        """Add this round's figure and what the machine was like meanwhile."""
        self.values[key].append(float(value))
        self.spent[key].append(spent)

    def lines(self, rows: Sequence[Row]) -> list[str]:
        """The table; rows that were not measured are left out."""
        table: list[tuple[str, ...]] = [
            ("", "median", "lowest-highest", "unit", "floor", "budget", "", "outside cores", "loop ms")
        ]
        table += [self._cells(row) for row in rows if row.key in self.values]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        return [
            "  ".join(
                _aligned(cell, width, n) for n, (cell, width) in enumerate(zip(cells, widths, strict=True))
            ).rstrip()
            for cells in table
        ]

    def _cells(self, row: Row) -> tuple[str, ...]:
        values = self.values[row.key]
        median = statistics.median(values)
        budget = "" if row.budget is None else f"{'>=' if row.at_least else '<='} {_short(row.budget)}"
        verdict = "" if row.budget is None else "ok" if row.is_within(median) else "OVER"
        extremes = f"{_short(min(values))}-{_short(max(values))}"
        return (
            row.label,
            _short(median),
            extremes,
            row.unit,
            self._floor(row),
            budget,
            verdict,
            _short(max(spent.outside_cores for spent in self.spent[row.key])),
            _short(statistics.median(spent.loop_ms for spent in self.spent[row.key])),
        )

    def _floor(self, row: Row) -> str:
        if isinstance(row.floor, str):
            return _short(statistics.median(self.values[row.floor])) if row.floor in self.values else ""
        return "" if row.floor is None else _short(row.floor)

    def over_budget(self, rows: Sequence[Row]) -> list[str]:
        """Labels of the rows whose median is over budget."""
        return [
            row.label
            for row in rows
            if row.key in self.values and not row.is_within(statistics.median(self.values[row.key]))
        ]


def _short(value: float) -> str:
    """
    >>> [_short(value) for value in (0.26412, 23.456, 345.6)]
    ['0.26', '23.5', '346']
    """
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _aligned(cell: str, width: int, column: int) -> str:
    return cell.ljust(width) if column in (0, 3, 6) else cell.rjust(width)
