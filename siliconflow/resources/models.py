"""`GET /models`: the models that an account has (the `2024` API document)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, TypeGuard

from ...strings.text import Text
from ..client import Client
from ..errors import BadAnswer, Failure

PATH = "models"
OF_IMAGES = ("text-to-image", "image-to-image")
OF_OTHERS = ("chat", "embedding", "reranker", "speech-to-text")
"""The service's own sub types of the models that nodes offer."""
_LONGEST_ID = 200


def list_models(client: Client, kind: str = "", sub_type: str = "") -> tuple[str, ...]:
    """Ask for the models of a type and a sub type, of all where one is empty. Costs nothing.

    Raises a `RequestError` of the cause.
    """
    asked = {"type": kind, "sub_type": sub_type}
    answer = client.get(PATH, {name: value for name, value in asked.items() if value})
    data = answer.data.get("data") if isinstance(answer.data, dict) else None
    if not isinstance(data, list):
        raise BadAnswer(
            Failure(Text("it lists no models", "其中没有模型列表"), 200, trace_id=answer.trace_id)
        )
    ids = [item.get("id") for item in data if isinstance(item, dict)]
    return tuple(dict.fromkeys(filter(_is_id, ids)))


def list_speaking(client: Client, listening: Collection[str]) -> tuple[str, ...]:
    """Ask for the models of sound, less those that only listen. Costs nothing.

    Raises a `RequestError` of the cause.
    """
    return tuple(model_id for model_id in list_models(client, "audio") if model_id not in listening)


def _is_id(item: Any) -> TypeGuard[str]:
    return isinstance(item, str) and 0 < len(item) <= _LONGEST_ID and item.isprintable()
