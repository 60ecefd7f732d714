"""Embeddings, rerank and the list of models: every shape of answer."""

from __future__ import annotations

from typing import Any

import pytest
from comfyui_siliconflow.siliconflow.client import JsonResponse
from comfyui_siliconflow.siliconflow.errors import BadAnswer
from comfyui_siliconflow.siliconflow.resources import embeddings, models, rerank

TEXTS = {"model": "m", "input": ["a", "b"]}
QUERY = {"model": "m", "query": "q", "documents": ["a", "b", "c"]}


class FixedClient:
    """A client with a fixed response; it records its requests."""

    def __init__(self, data: Any) -> None:
        self.data = data
        self.received: Any = None

    def post(self, _path: str, _body: Any) -> JsonResponse:
        return JsonResponse(self.data, "t-1", 1.0)

    def get(self, path: str, params: Any) -> JsonResponse:
        self.received = (path, params)
        return JsonResponse(self.data, "t-1", 1.0)


def vectors(*items: Any) -> Any:
    return {"data": list(items), "usage": {"total_tokens": 7}}


def item(index: Any, embedding: Any) -> dict[str, Any]:
    return {"object": "embedding", "index": index, "embedding": embedding}


def embed(data: Any) -> embeddings.Embeddings:
    client: Any = FixedClient(data)
    return embeddings.embed(client, TEXTS)


def rank(data: Any) -> rerank.Ranking:
    client: Any = FixedClient(data)
    return rerank.rerank(client, QUERY)


def test_vectors_stand_in_the_order_of_the_texts() -> None:
    result = embed(vectors(item(1, [3.0, 4.0]), item(0, [1, 2])))
    assert (result.vectors, result.tokens) == ([[1, 2], [3.0, 4.0]], 7)


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        vectors(),
        vectors(item(0, [1.0])),
        vectors(item(0, [1.0]), item(0, [1.0])),
        vectors(item(0, [1.0]), item(2, [1.0])),
        vectors(item(0, [1.0]), item(1, [1.0, 2.0])),
        vectors(item(0, []), item(1, [])),
        vectors(item(0, "AAAA"), item(1, "AAAA")),
        vectors(item(0, [float("nan")]), item(1, [1.0])),
        vectors(item(0, [10**40]), item(1, [1.0])),
        vectors(item("0", [1.0]), item(1, [1.0])),
    ],
)
def test_vectors_that_do_not_fit_the_texts_are_an_error(data: Any) -> None:
    with pytest.raises(BadAnswer, match="t-1"):
        embed(data)


def test_ranks_stand_with_the_best_first() -> None:
    results = [{"index": at, "relevance_score": score} for at, score in ((2, 0.1), (0, 0.9))]
    result = rank({"results": results})
    assert (result.indices, result.scores) == ([0, 2], [0.9, 0.1])


@pytest.mark.parametrize(
    "results",
    [
        None,
        [],
        [None],
        [{"index": 3, "relevance_score": 0.5}],
        [{"index": -1, "relevance_score": 0.5}],
        [{"index": True, "relevance_score": 0.5}],
        [{"index": 0, "relevance_score": None}],
        [{"index": 0, "relevance_score": 10**400}],
        [{"index": 0, "relevance_score": 0.5}, {"index": 0, "relevance_score": 0.4}],
    ],
)
def test_ranks_of_other_texts_are_an_error(results: Any) -> None:
    with pytest.raises(BadAnswer, match="t-1"):
        rank({"results": results})


def test_models_are_requested_by_what_is_set() -> None:
    client: Any = FixedClient({"data": [{"id": "a"}, {"id": "b"}, {"id": "a"}, {"id": 5}, None]})
    assert models.list_models(client, "", "chat") == ("a", "b")
    assert client.received == ("models", {"sub_type": "chat"})


def test_an_answer_without_models_is_an_error() -> None:
    client: Any = FixedClient({"data": None})
    with pytest.raises(BadAnswer, match="it contains no list of models"):
        models.list_models(client)
