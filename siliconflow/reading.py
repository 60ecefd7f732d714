"""Helpers that read a JSON response: what is missing or odd becomes `None`, empty or an error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..strings.text import text
from .client import FileResponse, JsonResponse
from .errors import BadAnswer, Failure

MAX_NUMBER = 2**53
"""Larger numbers are no seeds and no seconds, and neither JSON nor the ledger holds them."""
_MAX_FLOAT32 = 1e30


def read_object(value: object) -> Mapping[str, Any]:
    """Return a JSON object, an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def read_list(value: object) -> list[Any]:
    """Return a JSON list, an empty one for anything else."""
    return value if isinstance(value, list) else []


def read_integer(value: object) -> int | None:
    """Return a whole number from 0 to `MAX_NUMBER`, else `None`."""
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value < MAX_NUMBER else None


def read_number(value: object) -> float | None:
    """Return a number from 0 to `MAX_NUMBER`, else `None`."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < MAX_NUMBER else None


def read_text(value: object) -> str:
    """Return a text, empty for anything else. A lone surrogate becomes a question mark."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def fits_float32(value: object) -> bool:
    """Return whether this is a number that a float32 tensor holds."""
    return isinstance(value, int | float) and abs(value) < _MAX_FLOAT32


def bad_answer(
    response: JsonResponse | FileResponse, key: str, code: int | None = None, **values: object
) -> BadAnswer:
    """Return the error of a 200 that lacks its result, with the reason of this key."""
    return BadAnswer(Failure(text(key, **values), 200, code, response.model, response.trace_id))
