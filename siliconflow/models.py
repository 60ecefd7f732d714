"""`GET /models`: the models that an account has (the `2024` API document)."""

from __future__ import annotations

from typing import Any, TypeGuard

from .client import Client
from .errors import BadAnswer, Failure

PATH = "models"
KINDS = ("text-to-image", "image-to-image")
"""The service's own sub types of image models."""
_LONGEST_ID = 200


def image_models(client: Client, kind: str) -> tuple[str, ...]:
    """Ask for the image models of a kind. Costs nothing. Raises a `RequestError` of the cause."""
    answer = client.get(PATH, {"type": "image", "sub_type": kind})
    data = answer.data.get("data") if isinstance(answer.data, dict) else None
    if not isinstance(data, list):
        raise BadAnswer(Failure("it lists no models", 200, trace_id=answer.trace_id))
    ids = [item.get("id") for item in data if isinstance(item, dict)]
    return tuple(dict.fromkeys(filter(_is_id, ids)))


def _is_id(item: Any) -> TypeGuard[str]:
    return isinstance(item, str) and 0 < len(item) <= _LONGEST_ID and item.isprintable()
