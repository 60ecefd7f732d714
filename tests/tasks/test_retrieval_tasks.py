"""Embeddings and Rerank, from their inputs to the simulator and back."""

from __future__ import annotations

import csv
from collections.abc import Callable
from typing import Any

import pytest
import torch
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.nodes import NODE_CLASS_MAPPINGS
from comfyui_siliconflow.siliconflow import errors
from comfyui_siliconflow.siliconflow.resources import rerank
from comfyui_siliconflow.tasks import similarity

Run = Callable[..., dict[str, Any]]

EMBED = "SiliconFlowEmbeddings"
RANK = "SiliconFlowRerank"
BGE = "BAAI/bge-m3"
RANKER = "BAAI/bge-reranker-v2-m3"
CAPTIONS = "the stock market\na cat on a mat\na dog in the rain"


def test_each_line_becomes_a_vector(simulator: Simulator, outputs_of: Run) -> None:
    outputs = outputs_of(EMBED, model=BGE, input="a cat\n\n a cat \na dog")
    vectors, alike = outputs["embeddings"], outputs["similarity"]
    assert (vectors.shape[0], vectors.dtype) == (3, torch.float32)
    assert alike.shape == (3, 3)
    assert torch.allclose(alike, alike.T)
    assert torch.allclose(alike.diagonal(), torch.ones(3), atol=1e-5)
    assert alike[0, 1] == pytest.approx(1, abs=1e-5)
    assert outputs["info"]["closest"][0]["closest"] == 1
    assert simulator.requests[0].body == {
        "model": BGE,
        "input": ["a cat", "a cat", "a dog"],
        "encoding_format": "float",
    }


def test_how_alike_texts_are_is_a_table_and_numbers_for_nodes_that_know_no_tensors(
    simulator: Simulator, outputs_of: Run
) -> None:
    long = "a very long text, with a comma,\nand a line break " * 3
    outputs = outputs_of(EMBED, model=BGE, input="a cat", texts=['a "cat"', long])
    rows = list(csv.reader(outputs["table"].splitlines()))
    names = ['a "cat"', "a very long text, with a comma, and a l…", "a cat"]
    assert rows[0] == ["", *names]
    assert [row[0] for row in rows[1:]] == names
    alike = outputs["similarity"]
    numbers = torch.tensor([[float(value) for value in row[1:]] for row in rows[1:]])
    assert torch.allclose(numbers, alike, atol=6e-4)
    assert outputs["scores"] == alike[0].tolist()
    assert len(simulator.requests) == 1


def test_a_list_of_texts_is_taken_whole_before_what_is_typed(
    simulator: Simulator, outputs_of: Run
) -> None:
    outputs_of(EMBED, model=BGE, input="typed", texts=["first\nwith two lines", "second"])
    assert simulator.requests[0].body["input"] == ["first\nwith two lines", "second", "typed"]


def test_many_texts_go_in_requests_of_32_and_come_back_in_order(
    simulator: Simulator, outputs_of: Run
) -> None:
    texts = [f"text number {number}" for number in range(70)]
    whole = outputs_of(EMBED, model=BGE, input="", texts=texts)["embeddings"]
    assert sorted(len(record.body["input"]) for record in simulator.requests) == [6, 32, 32]
    for place in (0, 31, 32, 69):
        alone = outputs_of(EMBED, model=BGE, input=texts[place])["embeddings"]
        assert torch.allclose(whole[place], alone[0])


def test_of_many_texts_only_the_new_part_is_paid(simulator: Simulator, outputs_of: Run) -> None:
    texts = [f"text number {number}" for number in range(40)]
    outputs_of(EMBED, model=BGE, input="", texts=texts)
    outputs_of(EMBED, model=BGE, input="", texts=[*texts, "one more"])
    assert len(simulator.charges) == 3


@pytest.mark.parametrize(
    ("model", "text"),
    [
        ("BAAI/bge-m3", "word " * 8193),
        ("BAAI/bge-large-zh-v1.5", "猫" * 513),
        ("netease-youdao/bce-embedding-base_v1", "word " * 500 + "猫" * 208),
    ],
)
def test_a_text_that_is_surely_too_long_is_reported_before_anything_is_paid(
    simulator: Simulator, outputs_of: Run, model: str, text: str
) -> None:
    texts = [*(f"text {number}" for number in range(40)), text]
    with pytest.raises(errors.InvalidInput, match=r"number 41 has at least \d+ tokens"):
        outputs_of(EMBED, model=model, texts=texts)
    assert simulator.requests == []


def test_a_text_that_may_fit_is_sent(simulator: Simulator, outputs_of: Run) -> None:
    outputs_of(EMBED, model="BAAI/bge-large-zh-v1.5", input="猫" * 255 + "a " * 255)
    assert len(simulator.charges) == 1


def test_one_text_has_no_closest_other(simulator: Simulator, outputs_of: Run) -> None:
    assert outputs_of(EMBED, model=BGE, input="alone")["info"]["closest"] == []
    assert len(simulator.charges) == 1


@pytest.mark.parametrize(
    ("inputs", "name"),
    [
        ({"input": " \n "}, "input"),
        ({"input": "x", "texts": ["one", " "]}, "texts"),
        ({"model": RANKER}, "model"),
        ({"extra_body": '{"encoding_format": "base64"}'}, "extra_body"),
    ],
)
def test_nothing_is_sent_when_an_input_is_wrong(
    simulator: Simulator, outputs_of: Run, inputs: dict[str, Any], name: str
) -> None:
    with pytest.raises(errors.InvalidInput) as caught:
        outputs_of(EMBED, **{"model": BGE, "input": "x", **inputs})
    assert caught.value.name == name
    assert simulator.requests == []


def test_texts_come_in_the_order_in_which_they_answer(
    simulator: Simulator, outputs_of: Run
) -> None:
    outputs = outputs_of(RANK, model=RANKER, query="a cat", documents=CAPTIONS)
    lines = CAPTIONS.splitlines()
    assert outputs["best"] == outputs["texts"][0] == "a cat on a mat"
    assert [lines[index] for index in outputs["indices"]] == outputs["texts"]
    assert sorted(outputs["indices"]) == [0, 1, 2]
    assert outputs["scores"] == sorted(outputs["scores"], reverse=True)
    assert simulator.requests[0].body == {
        "model": RANKER,
        "query": "a cat",
        "documents": lines,
        "return_documents": False,
    }


def test_what_the_user_set_is_sent(simulator: Simulator, outputs_of: Run) -> None:
    outputs = outputs_of(
        RANK,
        model=RANKER,
        query="a cat",
        documents=CAPTIONS,
        top_n=2,
        max_chunks_per_doc=8,
        overlap_tokens=0,
    )
    assert len(outputs["texts"]) == 2
    body = simulator.requests[0].body
    assert (body["top_n"], body["max_chunks_per_doc"], body["overlap_tokens"]) == (2, 8, 0)


def test_a_document_longer_than_the_context_is_ranked_in_chunks(
    simulator: Simulator, outputs_of: Run
) -> None:
    outputs = outputs_of(RANK, model=RANKER, query="cat", texts=["word " * 9000 + "cat", "dog"])
    assert (outputs["indices"][0], len(simulator.charges)) == (0, 1)


def test_more_than_there_are_means_all(simulator: Simulator, outputs_of: Run) -> None:
    outputs = outputs_of(RANK, model=RANKER, query="a", documents=CAPTIONS, top_n=99)
    assert len(outputs["texts"]) == simulator.requests[0].body["top_n"] == 3


@pytest.mark.parametrize(
    ("inputs", "name"),
    [({"query": " "}, "query"), ({"documents": ""}, "documents"), ({"overlap_tokens": 81}, "")],
)
def test_nothing_is_ranked_when_an_input_is_wrong(
    simulator: Simulator, outputs_of: Run, inputs: dict[str, Any], name: str
) -> None:
    with pytest.raises(errors.InvalidInput) as caught:
        outputs_of(RANK, **{"model": RANKER, "query": "q", "documents": "d", **inputs})
    assert caught.value.name == name or not name
    assert simulator.requests == []


def test_how_alike_vectors_are_does_not_depend_on_their_length() -> None:
    alike = similarity.cosines(torch.tensor([[0.3, 0.4], [30.0, 40.0], [4.0, 3.0], [-0.03, -0.04]]))
    assert torch.allclose(alike[0], torch.tensor([1.0, 1.0, 0.96, -1.0]), atol=1e-6)
    assert similarity.closest(alike)[0] == {"text": 0, "closest": 1, "similarity": 1.0}
    assert similarity.cosines(torch.zeros(2, 3)).tolist() == [[0, 0], [0, 0]]


def test_a_list_that_is_connected_to_the_texts_is_taken_whole(
    simulator: Simulator, outputs_of: Run
) -> None:
    outputs = outputs_of(EMBED, model=BGE, input=["a cat", "a dog", "a tram"])
    assert outputs["embeddings"].shape[0] == 3
    assert simulator.requests[0].body["input"] == ["a cat", "a dog", "a tram"]


def test_a_text_that_is_connected_to_the_texts_is_taken_line_by_line_as_one_that_is_typed(
    simulator: Simulator, outputs_of: Run
) -> None:
    """ComfyUI gives the value of a widget, a connected text and a list of one alike."""
    for node, name in ((EMBED, "input"), (RANK, "documents")):
        more = {"model": RANKER, "query": ["a cat"]} if node == RANK else {"model": BGE}
        outputs_of(node, **more, **{name: ["a cat\na dog"]})
        assert simulator.requests[-1].body[name] == ["a cat", "a dog"]
        said = str(NODE_CLASS_MAPPINGS[node].INPUT_TYPES()["required"][name][1]["tooltip"])
        assert "connected text is also split into lines" in said


def test_a_list_of_several_queries_is_refused_before_anything_is_sent(
    simulator: Simulator, outputs_of: Run
) -> None:
    with pytest.raises(errors.InvalidInput, match="query: a list of 2 values is connected"):
        outputs_of(RANK, model=RANKER, documents=["a cat", "a dog"], query=["one", "two"])
    assert simulator.requests == []


def test_fewer_results_than_texts_are_not_passed_over_in_silence(
    outputs_of: Run, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rerank, "rerank", lambda *_: rerank.Ranking([1], [0.9], "t-1", 0.1))
    outputs = outputs_of(RANK, model=RANKER, documents="a cat\na dog\na tram", query="dog")
    assert outputs["info"]["notes"] == ["Only 1 of the 3 texts were ranked."]
    assert simulator.requests == []
