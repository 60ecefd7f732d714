"""`POST /embeddings`: texts to vectors. Source: the `2024` API document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..client import Client, JsonResponse, bad_answer
from ..http.bodies import fits_float32, read_integer, read_list, read_object

PATH = "embeddings"


@dataclass(frozen=True)
class Embeddings:
    """One vector for each text, in the order of the texts."""

    vectors: Sequence[Sequence[float]]
    tokens: int
    trace_id: str
    seconds: float


def embed(client: Client, body: Mapping[str, Any]) -> Embeddings:
    """Return the vectors of `body["input"]`, once; this is charged.

    Raises a `RequestError` of the cause; `BadAnswer` unless each text has a vector of one length.
    """
    response = client.post(PATH, body)
    vectors = _vectors(response, len(body["input"]))
    usage = read_object(read_object(response.data).get("usage"))
    tokens = read_integer(usage.get("total_tokens")) or 0
    return Embeddings(vectors, tokens, response.trace_id, response.seconds)


def _vectors(response: JsonResponse, count: int) -> list[list[float]]:
    """Return the vectors by their index, or by their position where they have none."""
    by_index: dict[int, Any] = {}
    for at, entry in enumerate(read_list(read_object(response.data).get("data"))):
        index = read_object(entry).get("index", at)
        if isinstance(index, int):
            by_index[index] = read_object(entry).get("embedding")
    if sorted(by_index) != list(range(count)):
        counts = {"vectors": len(by_index), "texts": count}
        raise bad_answer(response, "response.vector_count", **counts)
    vectors = [by_index[index] for index in range(count)]
    if not all(map(_is_vector, vectors)) or len({len(vector) for vector in vectors}) != 1:
        raise bad_answer(response, "response.bad_vectors")
    return vectors


def _is_vector(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(map(fits_float32, value))
