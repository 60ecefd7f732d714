"""`POST /rerank`: texts sorted by how well they match a query. Source: the `2024` document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..client import Client, bad_answer
from ..http.bodies import fits_float32, read_integer, read_list, read_object

PATH = "rerank"


@dataclass(frozen=True)
class Ranking:
    """The positions of the texts in the list that was sent, the best first, and their scores."""

    indices: Sequence[int]
    scores: Sequence[float]
    trace_id: str
    seconds: float
    tokens: int | None = None


def rerank(client: Client, body: Mapping[str, Any]) -> Ranking:
    """Rank `body["documents"]` by `body["query"]`, once; this is charged.

    Raises a `RequestError` of the cause; `BadAnswer` unless each result is one text of the list.
    """
    response = client.post(PATH, body)
    results = list(map(read_object, read_list(read_object(response.data).get("results"))))
    indices: list[Any] = [result.get("index") for result in results]
    scores: list[Any] = [result.get("relevance_score") for result in results]
    positions = range(len(body["documents"]))
    is_valid = (
        results
        and all(type(index) is int and index in positions for index in indices)
        and len(set(indices)) == len(indices)
        and all(map(fits_float32, scores))
    )
    if not is_valid:
        raise bad_answer(response, "response.other_texts")
    best_first = sorted(zip(indices, scores, strict=True), key=lambda pair: -pair[1])
    return Ranking(
        [index for index, _ in best_first],
        [float(score) for _, score in best_first],
        response.trace_id,
        response.seconds,
        _tokens(read_object(response.data)),
    )


def _tokens(data: Mapping[str, Any]) -> int | None:
    """Return the tokens that were used: the `2024` document has them in `tokens`, others in `meta`.

    `None` where the response does not say.
    """
    tokens = read_object(data.get("tokens") or read_object(data.get("meta")).get("tokens"))
    return read_integer(tokens.get("input_tokens"))
