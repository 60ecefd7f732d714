"""A clock that tests set."""

from __future__ import annotations

import pytest

BEGINNING = 1_800_000_000.0


class Clock:
    """A clock that moves only when a test says so."""

    def __init__(self) -> None:
        self.now = BEGINNING

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Return a clock that stands still."""
    return Clock()
