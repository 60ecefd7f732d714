"""Every example workflow runs in ComfyUI, to its pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from comfyui_siliconflow.simulator import Simulator
from comfyui_siliconflow.tests.host.comfy import Comfy
from comfyui_siliconflow.tests.host.graphs import BYPASSED
from PIL import Image

Json = dict[str, Any]
Size = tuple[int, int]

SQUARE = (1024, 1024)
SIZES: dict[str, list[Size]] = {
    "Text to image": [(1584, 1056)],
    "Image to image": [SQUARE],
    "Edit with three pictures": [SQUARE],
    "Chained with local nodes": [SQUARE, (1024, 768)],
    "Batch from one prompt": [SQUARE] * 4,
    "Same prompt on several models": [SQUARE, (1328, 1328), SQUARE],
}
"""The sizes of the pictures that each example saves or previews."""

CHARGED = {
    "Text to image": 1,
    "Image to image": 1,
    "Edit with three pictures": 2,
    "Chained with local nodes": 2,
    "Batch from one prompt": 4,
    "Same prompt on several models": 3,
}


def size_of(file: Path) -> Size:
    with Image.open(file) as picture:
        picture.load()
        return picture.size


@pytest.mark.parametrize("name", SIZES)
def test_the_example_makes_its_pictures(
    comfy: Comfy,
    service: Simulator,
    load: Callable[[str], Json],
    convert: Callable[[Json], Json],
    name: str,
) -> None:
    workflow, before = load(name), len(service.charges)
    ended = comfy.run(convert(workflow), workflow)
    assert ended.status == "success", ended.entry["status"]
    assert sorted(size_of(file) for file in ended.files) == sorted(SIZES[name])
    assert sum(charge.pictures for charge in service.charges[before:]) == CHARGED[name]


def test_the_pictures_of_the_edit_arrive_in_order(
    comfy: Comfy,
    service: Simulator,
    load: Callable[[str], Json],
    convert: Callable[[Json], Json],
) -> None:
    """In the prompt, @image2 is the file; the service is told of it by its place."""
    prompt = convert(load("Edit with three pictures"))
    (edit,) = [n["inputs"] for n in prompt.values() if n["class_type"] == "SiliconFlowImageEdit"]
    assert comfy.run(prompt).status == "success"
    sent = service.generations[-1].body
    assert {"image", "image2", "image3"} <= set(sent)
    assert sent["prompt"] == edit["prompt"].replace("@image", "Picture ")


def test_bypassed_local_nodes_hand_the_picture_on(
    comfy: Comfy, load: Callable[[str], Json], convert: Callable[[Json], Json]
) -> None:
    workflow = load("Chained with local nodes")
    for node in workflow["nodes"]:
        if node["type"] in {"ImageScale", "ImageBlur", "ImageBlend"}:
            node["mode"] = BYPASSED
    ended = comfy.run(convert(workflow), workflow)
    assert ended.status == "success", ended.entry["status"]
    assert [size_of(file) for file in ended.files] == [SQUARE, SQUARE]
