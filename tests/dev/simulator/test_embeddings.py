"""`POST /embeddings`: vectors that say something of the texts."""

import base64
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import requests
from comfyui_siliconflow.dev.simulator import Simulator
from numpy.typing import NDArray

Generate = Callable[..., requests.Response]

M3 = "BAAI/bge-m3"
LARGE = "BAAI/bge-large-en-v1.5"
QWEN = "Qwen/Qwen3-Embedding-8B"


def embed(simulator: Simulator, given: Any, **changes: Any) -> requests.Response:
    headers = {"Authorization": f"Bearer {simulator.key}"}
    body = {"model": M3, "input": given, **changes}
    return requests.post(f"{simulator.base_url}/embeddings", json=body, headers=headers, timeout=20)


def vectors(simulator: Simulator, texts: list[str], **changes: Any) -> NDArray[np.float64]:
    answer = embed(simulator, texts, **changes)
    return np.array([entry["embedding"] for entry in answer.json()["data"]])


def test_the_answer_has_the_documented_shape(simulator: Simulator) -> None:
    answer = embed(simulator, "a lighthouse").json()
    assert set(answer) == {"object", "model", "data", "usage"}
    assert [set(entry) for entry in answer["data"]] == [{"object", "index", "embedding"}]
    assert (answer["object"], answer["model"], answer["data"][0]["index"]) == ("list", M3, 0)
    assert answer["usage"]["total_tokens"] == answer["usage"]["prompt_tokens"] > 0


def test_each_text_of_a_list_gets_a_vector(simulator: Simulator) -> None:
    data = embed(simulator, ["one", "two", "three"]).json()["data"]
    assert [entry["index"] for entry in data] == [0, 1, 2]


@pytest.mark.parametrize(
    ("model", "size"),
    [(M3, 1024), (LARGE, 1024), ("netease-youdao/bce-embedding-base_v1", 768), (QWEN, 4096)],
)
def test_a_vector_has_the_length_of_its_model(simulator: Simulator, model: str, size: int) -> None:
    assert vectors(simulator, ["x"], model=model).shape == (1, size)


@pytest.mark.parametrize("text", ["a lighthouse", "灯塔", "!?", " ", "x" * 500])
def test_a_vector_is_of_length_one(simulator: Simulator, text: str) -> None:
    assert np.linalg.norm(vectors(simulator, [text])[0]) == pytest.approx(1, abs=1e-5)


def test_similar_texts_get_similar_vectors(simulator: Simulator) -> None:
    one, near, far = vectors(
        simulator, ["a red lighthouse by the sea", "red lighthouses near the sea", "boiled eggs"]
    )
    assert one @ near > 0.5
    assert one @ far < 0.2


def test_the_same_text_gets_the_same_vector_in_any_company(simulator: Simulator) -> None:
    alone, among = vectors(simulator, ["fox"]), vectors(simulator, ["owl", "fox"])
    assert np.array_equal(alone[0], among[1])


def test_models_do_not_share_their_vectors(simulator: Simulator) -> None:
    one, other = vectors(simulator, ["fox"]), vectors(simulator, ["fox"], model=LARGE)
    assert not np.allclose(one, other)


def test_base64_holds_the_same_numbers(simulator: Simulator) -> None:
    data = embed(simulator, "fox", encoding_format="base64").json()["data"][0]["embedding"]
    numbers = np.frombuffer(base64.b64decode(data), "<f4")
    assert np.allclose(numbers, vectors(simulator, ["fox"])[0])


def test_a_model_may_offer_several_lengths(simulator: Simulator) -> None:
    assert vectors(simulator, ["fox"], model=QWEN, dimensions=256).shape == (1, 256)


@pytest.mark.parametrize(("model", "wanted"), [(M3, 1024), (QWEN, 1000)])
def test_a_length_that_a_model_does_not_offer_is_refused(
    simulator: Simulator, model: str, wanted: int
) -> None:
    answer = embed(simulator, "fox", model=model, dimensions=wanted)
    assert (answer.status_code, "dimensions" in answer.json()["message"]) == (400, True)


def test_32_texts_are_taken_and_one_more_is_refused(simulator: Simulator) -> None:
    assert embed(simulator, ["x"] * 32).status_code == 200
    answer = embed(simulator, ["x"] * 33)
    assert (answer.status_code, "maximum allowed batch size 32" in answer.text) == (400, True)


@pytest.mark.parametrize(("model", "limit"), [(LARGE, 512), (M3, 8192), (QWEN, 32768)])
def test_a_text_longer_than_the_model_reads_is_refused(
    simulator: Simulator, model: str, limit: int
) -> None:
    assert embed(simulator, "字" * limit, model=model).status_code == 200
    answer = embed(simulator, ["x", "字" * (limit + 1)], model=model)
    assert (answer.status_code, answer.json()["code"]) == (413, 20042)


@pytest.mark.parametrize(
    "changes",
    [
        {"input": ""},
        {"input": []},
        {"input": ["x", ""]},
        {"input": [1, 2]},
        {"input": [[1, 2]]},
        {"input": None},
        {"encoding_format": "hex"},
        {"dimensions": "64"},
    ],
)
def test_a_request_that_breaks_a_rule_is_refused(simulator: Simulator, changes: Any) -> None:
    answer = embed(simulator, changes.pop("input", "x"), **changes)
    assert (answer.status_code, answer.json()["code"]) == (400, 20015)


@pytest.mark.parametrize("model", ["no/such", "BAAI/bge-reranker-v2-m3", "Kwai-Kolors/Kolors"])
def test_only_models_that_embed_are_known_here(simulator: Simulator, model: str) -> None:
    assert embed(simulator, "x", model=model).json()["code"] == 20012
