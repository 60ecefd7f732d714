"""`POST /rerank`: documents in order, with their scores."""

from typing import Any

import pytest
import requests
from comfyui_siliconflow.dev.simulator import Simulator

MODEL = "BAAI/bge-reranker-v2-m3"
DOCUMENTS = ["a bowl of soup", "a red lighthouse by the sea", "the sea at night", "an old car"]


def rerank(simulator: Simulator, **changes: Any) -> requests.Response:
    body = {"model": MODEL, "query": "lighthouse at the sea", "documents": DOCUMENTS, **changes}
    headers = {"Authorization": f"Bearer {simulator.key}"}
    return requests.post(f"{simulator.base_url}/rerank", json=body, headers=headers, timeout=20)


def test_the_answer_has_the_documented_shape(simulator: Simulator) -> None:
    answer = rerank(simulator).json()
    assert set(answer) == {"id", "results", "tokens"}
    assert set(answer["results"][0]) == {"index", "relevance_score"}
    assert set(answer["tokens"]) == {"input_tokens", "output_tokens"}


def test_the_best_document_comes_first(simulator: Simulator) -> None:
    results = rerank(simulator).json()["results"]
    assert [result["index"] for result in results][:2] == [1, 2]
    scores = [result["relevance_score"] for result in results]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)


def test_every_document_is_listed_once(simulator: Simulator) -> None:
    results = rerank(simulator).json()["results"]
    assert sorted(result["index"] for result in results) == [0, 1, 2, 3]


@pytest.mark.parametrize(("top_n", "count"), [(1, 1), (3, 3), (9, 4)])
def test_top_n_limits_the_list(simulator: Simulator, top_n: int, count: int) -> None:
    assert len(rerank(simulator, top_n=top_n).json()["results"]) == count


def test_documents_come_back_when_requested(simulator: Simulator) -> None:
    results = rerank(simulator, return_documents=True).json()["results"]
    assert results[0]["document"] == {"text": DOCUMENTS[1]}


def test_the_best_chunk_of_a_long_document_counts(simulator: Simulator) -> None:
    long = "soup " * 2000 + DOCUMENTS[1]
    assert rerank(simulator, documents=["an old car", long]).json()["results"][0]["index"] == 1
    first = rerank(simulator, documents=[long], max_chunks_per_doc=1).json()["results"][0]
    assert first["relevance_score"] < 0.2


@pytest.mark.parametrize(
    "changes",
    [
        {"query": ""},
        {"query": None},
        {"documents": []},
        {"documents": "one"},
        {"documents": [{"text": "one"}]},
        {"top_n": 0},
        {"top_n": "3"},
        {"overlap_tokens": 81},
        {"max_chunks_per_doc": 0},
        {"return_documents": 1},
    ],
)
def test_a_request_that_breaks_a_rule_is_refused(simulator: Simulator, changes: Any) -> None:
    answer = rerank(simulator, **changes)
    assert (answer.status_code, answer.json()["code"]) == (400, 20015)


def test_only_models_that_rank_are_known_here(simulator: Simulator) -> None:
    assert rerank(simulator, model="BAAI/bge-m3").json()["code"] == 20012
