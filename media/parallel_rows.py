"""The upper and the lower half of an image at the same time.

torch, numpy and zlib release Python's lock while they work. torch could share out the work itself,
but its threads take the cores that other images would use.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

_MIN_VALUES = 1 << 16
"""Values below which a second thread costs more than it saves."""


def in_halves(work: Callable[[slice], T], rows: int, values: int) -> list[T]:
    """Call `work` with the rows of each half of an image of so many rows and values, in order."""
    middle = rows // 2 if values > _MIN_VALUES else 0
    if not middle:
        return [work(slice(0, rows))]
    with ThreadPoolExecutor(1) as pool:
        upper = pool.submit(work, slice(0, middle))
        lower = work(slice(middle, rows))
        return [upper.result(), lower]
