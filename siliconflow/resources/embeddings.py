"""`POST /embeddings`: texts to vectors. Source: the `2024` API document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...strings.text import Text
from ..client import Client
from ..errors import BadAnswer, Failure

PATH = "embeddings"
MOST_TEXTS = 32
"""How many texts one request may hold."""
_LARGEST = 1e30


@dataclass(frozen=True)
class Embedded:
    """One vector for each text, in the order of the texts."""

    vectors: Sequence[Sequence[float]]
    tokens: int
    trace_id: str
    seconds: float


def embed(client: Client, body: Mapping[str, Any]) -> Embedded:
    """Ask for the vectors of `body["input"]`, once; this costs money.

    Raises a `RequestError` of the cause; `BadAnswer` unless each text has a vector of one length.
    """
    answer = client.post(PATH, body)
    known = Failure(status=200, model=str(body.get("model", "")), trace_id=answer.trace_id)
    data = answer.data if isinstance(answer.data, dict) else {}
    vectors = _in_order(data.get("data"), len(body["input"]), known)
    usage = data.get("usage")
    tokens = usage.get("total_tokens") if isinstance(usage, dict) else 0
    told = tokens if isinstance(tokens, int) and tokens > 0 else 0
    return Embedded(vectors, told, answer.trace_id, answer.seconds)


def _in_order(found: object, count: int, known: Failure) -> list[list[float]]:
    by_index: dict[int, Any] = {
        item.get("index", at): item.get("embedding")
        for at, item in enumerate(found if isinstance(found, list) else [])
        if isinstance(item, dict) and isinstance(item.get("index", at), int)
    }
    if sorted(by_index) != list(range(count)):
        raise _bad(
            known,
            f"it has {len(by_index)} vectors for {count} texts",
            f"{count} 段文字只有 {len(by_index)} 个向量",
        )
    vectors = [by_index[at] for at in range(count)]
    if not all(map(_is_vector, vectors)) or len({len(vector) for vector in vectors}) != 1:
        raise _bad(known, "its vectors are none", "其中的向量无法使用")
    return vectors


def _is_vector(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_number, value))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and abs(value) < _LARGEST


def _bad(known: Failure, en: str, zh: str) -> BadAnswer:
    return BadAnswer(replace(known, message=Text(en, zh)))
