"""Waiting for what a test expects: so long that only what never comes is missed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

import pytest

T = TypeVar("T")
LONGEST = 60.0
"""Seconds. Nothing is judged by them: they keep a test that fails from hanging for ever."""


def until(condition: Callable[[], T]) -> T:
    """Wait until a condition holds, and return its value."""
    end = time.monotonic() + LONGEST
    while not (value := condition()):
        if time.monotonic() > end:
            pytest.fail(f"it did not happen within {LONGEST:.0f} seconds")
        time.sleep(0.005)
    return value


def pack_threads() -> list[threading.Thread]:
    """Return the threads in which the pack still works."""
    return [thread for thread in threading.enumerate() if thread.name == "siliconflow"]
