"""Editing in ComfyUI over its API: what a graph may leave out, seeds, references, outputs."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.tests.host.comfy import Comfy, ComfyFailure
from PIL import Image

Json = dict[str, Any]
EDIT = {"model": "Qwen/Qwen-Image-Edit-2509", "prompt": "Make it night"}
CAT = "https://example.com/cat.png"
COLORS = (0xFF0000, 0x00FF00)


def graph(node_type: str = "SiliconFlowImageEdit", output: int = 0, **inputs: Any) -> Json:
    """Return a prompt of one node, one of whose outputs is previewed, and of two colors."""
    empty = {"width": 64, "height": 48, "batch_size": 1}
    return {
        "1": {"class_type": node_type, "inputs": {**EDIT, **inputs}},
        "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", output]}},
        **{
            f"{at + 10}": {"class_type": "EmptyImage", "inputs": {**empty, "color": color}}
            for at, color in enumerate(COLORS)
        },
        "20": {"class_type": "PrimitiveInt", "inputs": {"value": -1}},
    }


def test_an_address_stands_in_for_an_image_and_is_sent_as_it_is(
    comfy: Comfy, service: Simulator
) -> None:
    seed = secrets.randbelow(10**9)
    ended = comfy.run(graph(image_urls=CAT, image2=["10", 0], seed=seed))
    assert ended.status == "success", ended.entry["status"]
    body = service.generations[-1].body
    assert body["image"] == CAT
    assert body["image2"].startswith("data:image/")


def test_without_an_image_nothing_runs(comfy: Comfy, service: Simulator) -> None:
    before = len(service.generations)
    with pytest.raises(ComfyFailure, match="image: connect an image"):
        comfy.queue(graph())
    assert len(service.generations) == before


@pytest.mark.parametrize("seed", [-1, ["20", 0]], ids=["typed", "linked"])
def test_a_seed_of_minus_one_is_not_answered_by_the_cache(
    comfy: Comfy, service: Simulator, seed: Any
) -> None:
    before = len(service.generations)
    for _ in range(3):
        assert comfy.run(graph(image=["10", 0], seed=seed)).status == "success"
    seeds = [record.body["seed"] for record in service.generations[before:]]
    assert len(set(seeds)) == 3


def test_a_seed_of_a_local_sampler_is_taken_and_answered_by_the_cache(
    comfy: Comfy, service: Simulator
) -> None:
    before = len(service.generations)
    for _ in range(2):
        assert comfy.run(graph(image=["10", 0], seed=2**64 - 1)).status == "success"
    assert [record.body["seed"] for record in service.generations[before:]] == [3709551615]


def test_each_image_of_the_list_goes_on_in_its_own_size(comfy: Comfy) -> None:
    sizes = {"image_size": "custom", "width": 96, "height": 64, "batch_size": 2}
    values = {"model": "Kwai-Kolors/Kolors", "seed": secrets.randbelow(10**9), **sizes}
    ended = comfy.run(graph("SiliconFlowTextToImage", 3, **values))
    assert ended.status == "success", ended.entry["status"]
    assert len(ended.files) == 2
    for file in ended.files:
        with Image.open(file) as image:
            assert image.size == (96, 64)


def test_an_edit_keeps_the_shape_of_its_image_and_gives_its_parameters(comfy: Comfy) -> None:
    prompt = graph(image=["10", 0], seed=secrets.randbelow(10**9))
    prompt["3"] = {"class_type": "PreviewAny", "inputs": {"source": ["1", 5]}}
    ended = comfy.run(prompt)
    assert ended.status == "success", ended.entry["status"]
    with Image.open(ended.files[0]) as image:
        width, height = image.size
    assert abs(height - width * 48 / 64) <= width / 64
    [parameters] = ended.entry["outputs"]["3"]["text"]
    assert parameters.startswith("Make it night\nSteps: ")
    assert f"Size: {width}x{height}" in parameters
