"""One line of the report about a thing that was broken, beside those of the faults and drives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """What was broken, what happened then, how many results were kept, and how many charged."""

    broken: str
    happened: str
    kept: int
    results: int
    charged: int
    problems: Sequence[str]


def row(
    broken: str,
    happened: Sequence[str],
    counts: tuple[int, int, int],
    expected: tuple[Sequence[str], tuple[int, int, int]],
) -> Row:
    """Compare what happened, and the results kept, of how many, and charged, with a table."""
    wrong = [
        f"{was!r}, not {wanted!r}"
        for was, wanted in zip((tuple(happened), counts), expected, strict=True)
        if was != wanted
    ]
    return Row(broken, "; then ".join(happened), *counts, wrong)
