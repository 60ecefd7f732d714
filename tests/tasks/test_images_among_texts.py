"""Embeddings and Rerank of today: images beside texts, the length of vectors, instructions."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.engine import lifecycle
from comfyui_siliconflow.siliconflow import catalogue, errors
from comfyui_siliconflow.storage.ledger import fingerprint
from comfyui_siliconflow.storage.settings import Settings
from comfyui_siliconflow.tasks import retrieval_tasks
from comfyui_siliconflow.tasks.retrieval_tasks import plan_embeddings
from comfyui_siliconflow.tests.former_names import name_as_before
from PIL import Image

Run = Callable[..., dict[str, Any]]

EMBED = "SiliconFlowEmbeddings"
RANK = "SiliconFlowRerank"
BGE = "BAAI/bge-m3"
SEES = "Qwen/Qwen3-VL-Embedding-8B"
RANKER = "BAAI/bge-reranker-v2-m3"
QWEN_RANKER = "Qwen/Qwen3-Reranker-8B"
SEEING_RANKER = "Qwen/Qwen3-VL-Reranker-8B"
SIZED = [model for model in catalogue.load().of_task("embedding") if "dimensions" in model.fields]


def images(*colors: tuple[float, float, float], size: int = 32) -> torch.Tensor:
    """Return an IMAGE with a frame in each of these colours."""
    return torch.tensor(colors)[:, None, None, :].expand(-1, size, size, 3)


RED, BLUE = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)


def sent_image(item: dict[str, str]) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(item["image"].partition(",")[2])))


# The length of vectors


@pytest.mark.parametrize("model", SIZED, ids=lambda model: model.name)
def test_vectors_have_each_length_that_a_model_offers(
    today: Simulator, outputs_of: Run, model: Any
) -> None:
    for length in model.fields["dimensions"].choices:
        outputs = outputs_of(EMBED, model=model.id, input="a cat", dimensions=int(length))
        assert outputs["embeddings"].shape == (1, int(length))
    assert [record.body["dimensions"] for record in today.requests] == [
        int(length) for length in model.fields["dimensions"].choices
    ]


def test_there_are_models_that_offer_lengths() -> None:
    assert len(SIZED) == 4


def test_0_is_the_model_s_own_length_and_not_sent(today: Simulator, outputs_of: Run) -> None:
    outputs_of(EMBED, model="Qwen/Qwen3-Embedding-8B", input="a cat", dimensions=0)
    outputs_of(EMBED, model=BGE, input="a cat", dimensions=0)
    assert all("dimensions" not in record.body for record in today.requests)


@pytest.mark.parametrize(
    ("model", "length", "words"),
    [
        ("Qwen/Qwen3-Embedding-0.6B", 2048, "64, 128, 256, 512, 768, 1024[.]\n"),
        ("Qwen/Qwen3-Embedding-8B", 1000, "64, 128, .*, 4096[.]\n"),
    ],
)
def test_a_length_that_a_model_lacks_is_refused_with_those_that_there_are(
    today: Simulator, outputs_of: Run, model: str, length: int, words: str
) -> None:
    with pytest.raises(errors.InvalidInput, match=words) as caught:
        outputs_of(EMBED, model=model, input="a cat", dimensions=length)
    assert caught.value.name == "dimensions"
    assert today.requests == []


def test_a_length_is_not_sent_to_a_model_that_offers_none(
    today: Simulator, outputs_of: Run
) -> None:
    outputs = outputs_of(EMBED, model=BGE, input="a cat", dimensions=512)
    assert "dimensions" not in today.requests[0].body
    info = outputs["info"]
    assert info["not_sent"] == ["dimensions"]
    assert f"Not sent, because {BGE} does not have it: dimensions." in info["notes"]


# Images among embeddings


def test_each_image_has_a_vector_behind_those_of_the_texts(
    today: Simulator, outputs_of: Run
) -> None:
    outputs = outputs_of(
        EMBED, model=SEES, input="mostly red\nthe stock market", image=images(RED, BLUE)
    )
    sent = today.requests[0].body["input"]
    assert [set(item) for item in sent] == [{"text"}, {"text"}, {"image"}, {"image"}]
    assert outputs["embeddings"].shape[0] == 4
    assert outputs["similarity"][0, 2] > outputs["similarity"][1, 2]
    assert (outputs["info"]["texts"], outputs["info"]["images"]) == (2, 2)
    assert outputs["table"].splitlines()[0] == ",mostly red,the stock market,image 1,image 2"


def test_images_alone_are_embedded_and_a_list_of_several_sizes_too(
    today: Simulator, outputs_of: Run
) -> None:
    several = [images(RED), images(BLUE, RED, size=16)]
    outputs = outputs_of(EMBED, model=SEES, input="", image=several)
    assert outputs["embeddings"].shape[0] == 3
    assert [sent_image(item).size for item in today.requests[0].body["input"]] == [
        (32, 32),
        (16, 16),
        (16, 16),
    ]


def test_a_large_image_is_scaled_and_sent_lossy_and_info_says_so(
    today: Simulator, outputs_of: Run
) -> None:
    outputs = outputs_of(EMBED, model=SEES, input="", image=torch.rand(1, 1200, 1600, 3))
    [item] = today.requests[0].body["input"]
    image = sent_image(item)
    assert (image.format, image.width * image.height <= 1 << 20) == ("JPEG", True)
    assert image.width / image.height == pytest.approx(4 / 3, rel=0.01)
    assert outputs["info"]["notes"] == ["1 image was scaled down to 1048576 pixels before upload."]


def test_an_image_is_a_png_where_the_settings_say_so(
    today: Simulator, outputs_of: Run, write_settings: Callable[..., Path]
) -> None:
    write_settings(upload_format="png")
    outputs_of(EMBED, model=SEES, input="", image=images(RED))
    assert sent_image(today.requests[0].body["input"][0]).format == "PNG"


def test_more_than_32_texts_and_images_are_several_requests(
    today: Simulator, outputs_of: Run
) -> None:
    texts = [f"text {number}" for number in range(30)]
    outputs = outputs_of(EMBED, model=SEES, input="", texts=texts, image=torch.rand(40, 8, 8, 3))
    assert outputs["embeddings"].shape[0] == 70
    assert sorted(len(record.body["input"]) for record in today.requests) == [6, 32, 32]


def test_a_request_holds_no_more_of_images_than_a_gateway_lets_pass(
    today: Simulator, outputs_of: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrieval_tasks, "MAX_IMAGE_BYTES", 20_000)
    outputs = outputs_of(EMBED, model=SEES, input="a\nb", image=torch.rand(6, 64, 64, 3))
    assert outputs["embeddings"].shape[0] == 8
    sizes = [
        sum(len(item.get("image", "")) for item in record.body["input"])
        for record in today.requests
    ]
    assert len(sizes) > 1
    assert max(sizes) <= 20_000


@pytest.mark.parametrize(
    ("node_id", "inputs", "field"),
    [
        (EMBED, {"model": SEES, "input": "a"}, "input"),
        (RANK, {"model": SEEING_RANKER, "query": "red", "documents": "a"}, "documents"),
    ],
)
def test_images_that_a_gateway_refuses_are_sent_smaller_once_with_a_note_and_paid_once(
    today: Simulator, outputs_of: Run, node_id: str, inputs: Any, field: str
) -> None:
    image = torch.rand(1, 64, 32, 3)
    today.fail(body="large-413", on="rerank" if node_id == RANK else "embeddings")
    outputs = outputs_of(node_id, image=image, **inputs)
    refused, sent = today.requests
    assert [sent_image(record.body[field][1]).size for record in (refused, sent)] == [
        (32, 64),
        (16, 32),
    ]
    assert "a quarter of the pixels" in outputs["info"]["notes"][0]
    assert len(today.charges) == 1
    again = outputs_of(node_id, image=image, **inputs)
    assert again["info"]["requests"][0]["origin"] == "reused"


def test_images_that_stay_too_large_are_an_error(today: Simulator, outputs_of: Run) -> None:
    today.fail(body="large-413", on="embeddings", times=3)
    with pytest.raises(errors.UploadTooLarge):
        outputs_of(EMBED, model=SEES, input="a", image=images(RED))
    assert len(today.requests) == 2
    assert today.charges == []


def test_texts_without_images_are_sent_as_they_always_were(
    today: Simulator, outputs_of: Run
) -> None:
    outputs_of(EMBED, model=SEES, input="a cat\na dog")
    assert today.requests[0].body == {
        "model": SEES,
        "encoding_format": "float",
        "input": ["a cat", "a dog"],
    }


def test_the_same_images_are_free_the_second_time_and_others_are_not(
    today: Simulator, outputs_of: Run
) -> None:
    for color in (RED, RED, BLUE):
        outputs_of(EMBED, model=SEES, input="", image=images(color))
    assert len(today.charges) == 2


@pytest.fixture
def former_names(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the former names that are made: each costs a walk through all encoded images."""
    made: list[str] = []

    def name(*given: Any, encoded: bool = False) -> str:
        made_now = fingerprint(*given, encoded=encoded)
        made.extend([made_now] if encoded else [])
        return made_now

    monkeypatch.setattr(lifecycle, "fingerprint", name)
    return made


def test_what_was_paid_under_the_former_name_is_found_and_costs_no_such_name_again(
    today: Simulator, outputs_of: Run, former_names: list[str]
) -> None:
    inputs = {"model": SEES, "input": "a", "image": images(RED)}
    outputs_of(EMBED, **inputs)
    name_as_before("embeddings", today.requests[0].body)
    former_names.clear()
    for _ in range(3):
        assert outputs_of(EMBED, **inputs)["info"]["requests"][0]["origin"] == "reused"
    assert len(former_names) == 1
    assert len(today.charges) == 1


def test_texts_without_images_have_no_former_name(
    today: Simulator, outputs_of: Run, former_names: list[str]
) -> None:
    for _ in range(2):
        outputs_of(EMBED, model=SEES, input="a cat")
    assert len(today.charges) == 1
    assert former_names == []


def test_the_job_list_shows_no_data_of_an_image() -> None:
    inputs = {"model": SEES, "image": [images(RED)]}
    for texts, shown in (([], "[image]"), (["a cat"], "a cat")):
        [request] = plan_embeddings({**inputs, "texts": texts}, Settings()).requests
        assert request.summary == shown


@pytest.mark.parametrize(
    ("node", "model", "sees"), [(EMBED, BGE, SEES), (RANK, QWEN_RANKER, SEEING_RANKER)]
)
def test_a_model_that_only_reads_is_sent_no_image(
    today: Simulator, outputs_of: Run, node: str, model: str, sees: str
) -> None:
    more = {"query": "red", "documents": "x"} if node == RANK else {"input": "x"}
    with pytest.raises(errors.InvalidInput, match=f"such as {sees}") as caught:
        outputs_of(node, model=model, image=images(RED), **more)
    assert caught.value.name == "image"
    assert today.requests == []


@pytest.mark.parametrize(
    "image",
    [torch.rand(4, 4, 3), torch.rand(1, 4, 4, 2), "a.png"],
    ids=["three axes", "two channels", "name"],
)
def test_what_is_no_image_is_not_sent(today: Simulator, outputs_of: Run, image: Any) -> None:
    with pytest.raises(errors.InvalidInput, match="image"):
        outputs_of(EMBED, model=SEES, input="x", image=image)
    assert today.requests == []


# Rankings


def test_images_are_ranked_among_texts_by_their_places_behind_them(
    today: Simulator, outputs_of: Run
) -> None:
    outputs = outputs_of(
        RANK,
        model=SEEING_RANKER,
        query="red",
        documents="the stock market\na boiled egg",
        image=images(BLUE, RED),
    )
    assert [set(item) for item in today.requests[0].body["documents"]] == [
        {"text"},
        {"text"},
        {"image"},
        {"image"},
    ]
    assert (outputs["best"], outputs["indices"][0]) == ("image 2", 3)
    names = ["the stock market", "a boiled egg", "image 1", "image 2"]
    assert outputs["texts"] == [names[index] for index in outputs["indices"]]
    assert outputs["info"]["ranked"][0]["text"] == "image 2"


def test_of_images_alone_the_place_is_the_frame(today: Simulator, outputs_of: Run) -> None:
    outputs = outputs_of(
        RANK, model=SEEING_RANKER, query="red", documents="", image=images(BLUE, RED), top_n=1
    )
    assert (outputs["texts"], outputs["indices"]) == (["image 2"], [1])
    assert len(today.charges) == 1


def test_more_images_than_one_ranking_holds_are_refused(today: Simulator, outputs_of: Run) -> None:
    with pytest.raises(errors.InvalidInput, match="has 33 images; one run sorts at most 32"):
        outputs_of(RANK, model=SEEING_RANKER, query="q", image=torch.rand(33, 4, 4, 3))
    assert today.requests == []


def test_an_instruction_is_sent_to_the_models_that_take_one(
    today: Simulator, outputs_of: Run
) -> None:
    asked = {"query": "red", "documents": "a\nb", "instruction": "Rank by mood."}
    assert outputs_of(RANK, model=QWEN_RANKER, **asked)["info"]["not_sent"] == []
    assert outputs_of(RANK, model=RANKER, **asked)["info"]["not_sent"] == ["instruction"]
    outputs_of(RANK, model=QWEN_RANKER, **{**asked, "instruction": ""})
    sent = [record.body.get("instruction") for record in today.requests]
    assert sent == ["Rank by mood.", None, None]


@pytest.mark.parametrize("node_id", [EMBED, RANK])
def test_the_same_images_in_another_format_are_not_paid_again(
    today: Simulator, outputs_of: Run, write_settings: Callable[..., Path], node_id: str
) -> None:
    """The request is named by their pixels."""
    words = {
        EMBED: {"model": SEES, "input": "a cat"},
        RANK: {"model": SEEING_RANKER, "query": "a cat"},
    }
    values = words[node_id]
    outputs_of(node_id, **values, image=[images(RED)])
    write_settings(upload_format="png")
    outputs_of(node_id, **values, image=[images(RED)])
    assert len(today.requests) == 1
    outputs_of(node_id, **values, image=[images(BLUE)])
    assert len(today.requests) == 2
