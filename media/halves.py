"""The upper and the lower half of a picture at the same time.

What torch, numpy and zlib do with them they do without Python's lock. torch could share out the
work itself, but its threads burn the cores that other pictures would use.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")

_SMALL = 1 << 16
"""Values below which a second thread costs more than it saves."""


def in_halves(work: Callable[[slice], Result], rows: int, values: int) -> list[Result]:
    """Call `work` with the rows of each half of a picture of so many rows and values, in order."""
    middle = rows // 2 if values > _SMALL else 0
    if not middle:
        return [work(slice(0, rows))]
    with ThreadPoolExecutor(1) as other:
        upper = other.submit(work, slice(0, middle))
        lower = work(slice(middle, rows))
        return [upper.result(), lower]
