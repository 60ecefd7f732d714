"""`POST /rerank`: texts in the order in which they answer a query. Source: the `2024` document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...strings.text import Text
from ..client import Client
from ..errors import BadAnswer, Failure

PATH = "rerank"
_LARGEST = 1e30


@dataclass(frozen=True)
class Ranked:
    """The places of the texts in the list that was sent, the best first, and their scores."""

    indices: Sequence[int]
    scores: Sequence[float]
    trace_id: str
    seconds: float


def rerank(client: Client, body: Mapping[str, Any]) -> Ranked:
    """Ask which of `body["documents"]` answer `body["query"]`, once; this costs money.

    Raises a `RequestError` of the cause; `BadAnswer` for results that name no text of the list.
    """
    answer = client.post(PATH, body)
    data = answer.data if isinstance(answer.data, dict) else {}
    found = data.get("results")
    pairs = [_pair(item) for item in found] if isinstance(found, list) else []
    indices = [index for index, _ in pairs]
    known = set(range(len(body["documents"])))
    if not pairs or len(set(indices)) != len(indices) or not set(indices) <= known:
        said = Text("its results name none of the texts", "结果与发送的文本对不上")
        model = str(body.get("model", ""))
        raise BadAnswer(Failure(said, 200, model=model, trace_id=answer.trace_id))
    best_first = sorted(pairs, key=lambda pair: -pair[1])
    return Ranked(
        [index for index, _ in best_first],
        [score for _, score in best_first],
        answer.trace_id,
        answer.seconds,
    )


def _pair(item: object) -> tuple[int, float]:
    """Give a result's place and score; -1 for one that has none, which no text has."""
    found = item if isinstance(item, dict) else {}
    index, score = found.get("index"), found.get("relevance_score")
    if type(index) is int and isinstance(score, int | float) and abs(score) < _LARGEST:
        return index, float(score)
    return -1, 0.0
