"""`GET /models`: the models that an account has. Source: the `2024` API document."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, TypeGuard

from ..client import Client, bad_answer
from ..http.bodies import read_object

PATH = "models"
SUB_TYPES = (
    "text-to-image",
    "image-to-image",
    "text-to-video",
    "image-to-video",
    "chat",
    "embedding",
    "reranker",
    "speech-to-text",
)
"""The service's own sub types of the models that nodes offer."""
_MAX_ID = 200


def list_models(client: Client, kind: str = "", sub_type: str = "") -> tuple[str, ...]:
    """Return the ids of the models of a type and a sub type; of all where one is empty. Free.

    Raises a `RequestError` of the cause.
    """
    params = {"type": kind, "sub_type": sub_type}
    response = client.get(PATH, {name: value for name, value in params.items() if value})
    entries = read_object(response.data).get("data")
    if not isinstance(entries, list):
        raise bad_answer(response, "response.no_models")
    ids = (read_object(entry).get("id") for entry in entries)
    return tuple(dict.fromkeys(filter(_is_id, ids)))


def list_speech_models(client: Client, transcribers: Collection[str]) -> tuple[str, ...]:
    """Return the ids of the models of audio, without those that only transcribe. Free.

    Raises a `RequestError` of the cause.
    """
    return tuple(
        model_id for model_id in list_models(client, "audio") if model_id not in transcribers
    )


def _is_id(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and 0 < len(value) <= _MAX_ID and value.isprintable()
