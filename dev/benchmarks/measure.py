"""Times ways of doing the same in turns, so that a noisy machine is unfair to none of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

ROUNDS = 9


@dataclass(frozen=True)
class Row:
    """One line of the table: what was measured, what was found, and whether that is enough."""

    what: str
    found: str
    target: str
    met: bool
    detail: str = ""


@dataclass(frozen=True)
class Times:
    """Seconds that one way took, round by round."""

    each: tuple[float, ...]

    @property
    def best(self) -> float:
        """Return the least disturbed round."""
        return min(self.each)

    @property
    def middle(self) -> float:
        """Return the median."""
        return median(self.each)

    def __str__(self) -> str:
        """Show the best round and the median in milliseconds."""
        return f"{self.best * 1e3:.1f} ms (median {self.middle * 1e3:.1f})"


def in_turns(ways: Mapping[str, Callable[[], object]], rounds: int = ROUNDS) -> dict[str, Times]:
    """Run every way once a round, after a first round that is not counted."""
    for way in ways.values():
        way()
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            taken[name].append(seconds(way))
    return {name: Times(tuple(found)) for name, found in taken.items()}


def seconds(way: Callable[[], object]) -> float:
    """Return the seconds that one call takes."""
    started = time.perf_counter()
    way()
    return time.perf_counter() - started
