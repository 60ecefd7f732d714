"""A clock that tests set."""

from __future__ import annotations

import pytest

BEGINNING = 1_800_000_000.0


class Clock:
    """The wall's clock, which moves when a test says so."""

    def __init__(self) -> None:
        self.now = BEGINNING

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Give a clock that stands still."""
    return Clock()
