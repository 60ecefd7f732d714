"""Every example workflow runs in ComfyUI, to its images, on the service and settings of today."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.tests.host.comfy import Comfy, variables_for
from comfyui_siliconflow.tests.host.graphs import BYPASSED
from PIL import Image, ImageChops

Json = dict[str, Any]
Size = tuple[int, int]

SQUARE = (1024, 1024)
SIZES: dict[str, list[Size]] = {
    "Text to image": [(1584, 1056)],
    "Image to image": [SQUARE],
    "Edit with three images": [SQUARE],
    "Five references, one picture": [(768, 768)],
    "Chained with local nodes": [SQUARE, (1184, 889)],
    "Batch from one prompt": [SQUARE] * 4,
    "Same prompt on several models": [SQUARE, (1328, 1328), SQUARE],
    "Chat writes the prompt": [(1584, 1056)],
    "Describe an image and redraw it": [SQUARE],
    "Edit with a Chinese prompt": [(768, 768)],
    "Edit only the mask": [(768, 768)],
    "Same size as the photo": [(768, 768)],
    "Text to speech to text": [],
    "Pick the best caption and draw it": [SQUARE],
    "Storyboard": [SQUARE] * 4,
}
"""The sizes of the images that each example saves or previews."""

CHARGED = {
    "Text to image": 1,
    "Image to image": 1,
    "Edit with three images": 2,
    "Five references, one picture": 4,
    "Chained with local nodes": 2,
    "Batch from one prompt": 4,
    "Same prompt on several models": 3,
    "Chat writes the prompt": 1,
    "Describe an image and redraw it": 1,
    "Edit with a Chinese prompt": 1,
    "Edit only the mask": 1,
    "Same size as the photo": 1,
    "Text to speech to text": 0,
    "Pick the best caption and draw it": 1,
    "Storyboard": 4,
}
OTHER_CALLS = {
    "Chat writes the prompt": 1,
    "Describe an image and redraw it": 1,
    "Edit with a Chinese prompt": 1,
    "Text to speech to text": 3,
    "Pick the best caption and draw it": 1,
    "Storyboard": 1,
}
"""How many requests that make no image an example pays."""
DRESS = (263, 324, 499, 663)
"""Where ComfyUI's own example image is pink."""


@pytest.fixture(scope="module")
def running_service() -> Iterator[Simulator]:
    """Serve the China site as it is now."""
    with Simulator(site="cn", as_of="today", balance="10000") as started:
        yield started


@pytest.fixture(scope="module")
def comfy(tmp_path_factory: pytest.TempPathFactory, running_service: Simulator) -> Iterator[Comfy]:
    """Start a ComfyUI with the settings of a new account."""
    with Comfy(tmp_path_factory.mktemp("comfyui")) as comfy:
        comfy.forget_settings(native_batch=False)
        comfy.start(variables_for(running_service))
        yield comfy


def size_of(file: Path) -> Size:
    with Image.open(file) as image:
        image.load()
        return image.size


@pytest.mark.parametrize("name", SIZES)
def test_the_example_makes_its_images(
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
    charges = service.charges[before:]
    assert sum(charge.pictures for charge in charges) == CHARGED[name]
    assert sum(not charge.pictures for charge in charges) <= OTHER_CALLS.get(name, 0)


def test_the_images_of_the_edit_arrive_in_order(
    comfy: Comfy,
    service: Simulator,
    load: Callable[[str], Json],
    convert: Callable[[Json], Json],
) -> None:
    """In the prompt, @image2 is the file; the service is told of it by its place."""
    prompt = convert(load("Edit with three images"))
    (edit,) = [n["inputs"] for n in prompt.values() if n["class_type"] == "SiliconFlowImageEdit"]
    assert comfy.run(prompt).status == "success"
    sent = service.generations[-1].body
    assert {"image", "image2", "image3"} <= set(sent)
    assert sent["prompt"] == edit["prompt"].replace("@image", "Picture ")


def test_what_was_spoken_is_heard_again(
    comfy: Comfy, load: Callable[[str], Json], convert: Callable[[Json], Json]
) -> None:
    workflow = load("Text to speech to text")
    ended = comfy.run(convert(workflow), workflow)
    texts = [out["text"][0] for out in ended.entry["outputs"].values() if "text" in out]
    spoken = next(n for n in workflow["nodes"] if n["type"] == "PrimitiveStringMultiline")
    assert spoken["widgets_values"][0] in texts
    assert any('"similarity": 1.0' in text for text in texts)
    [sound] = [out["audio"] for out in ended.entry["outputs"].values() if "audio" in out]
    assert (ended.folder / sound[0]["type"] / sound[0]["filename"]).stat().st_size > 1000


def test_each_scene_of_the_storyboard_is_requested_by_its_own_prompt(
    comfy: Comfy,
    service: Simulator,
    load: Callable[[str], Json],
    convert: Callable[[Json], Json],
) -> None:
    before = len(service.generations)
    workflow = load("Storyboard")
    assert comfy.run(convert(workflow), workflow).status == "success"
    prompts = {record.body["prompt"] for record in service.generations[before:]}
    assert len(prompts) == 4


def test_bypassed_local_nodes_hand_the_image_on(
    comfy: Comfy, load: Callable[[str], Json], convert: Callable[[Json], Json]
) -> None:
    workflow = load("Chained with local nodes")
    for node in workflow["nodes"]:
        if node["type"] in {"ImageScale", "ImageBlur", "ImageBlend"}:
            node["mode"] = BYPASSED
    ended = comfy.run(convert(workflow), workflow)
    assert ended.status == "success", ended.entry["status"]
    assert [size_of(file) for file in ended.files] == [SQUARE, SQUARE]


@pytest.mark.parametrize("is_painted", [False, True])
def test_only_the_dress_or_in_another_image_what_was_painted_is_changed(
    comfy: Comfy, load: Callable[[str], Json], convert: Callable[[Json], Json], is_painted: bool
) -> None:
    """The mask editor saves what was painted as the transparency of the image."""
    workflow = load("Edit only the mask")
    [loader] = [node for node in workflow["nodes"] if node["type"] == "LoadImage"]
    original = Image.open(comfy.folder / "input" / "example.png").convert("RGB")
    masked = DRESS
    if is_painted:
        masked = (440, 100, 600, 300)
        original, alpha = original.convert("L").convert("RGB"), Image.new("L", original.size, 255)
        alpha.paste(0, masked)
        painted = original.copy()
        painted.putalpha(alpha)
        painted.save(comfy.folder / "input" / "painted.png")
        loader["widgets_values"][0] = "painted.png"
    prompt = convert(workflow)
    [edit] = [n["inputs"] for n in prompt.values() if n["class_type"] == "SiliconFlowImageEdit"]
    ended = comfy.run(prompt)
    assert ended.status == "success", ended.entry["status"]
    with Image.open(ended.files[0]) as made:
        changed = ImageChops.difference(made.convert("RGB"), original).getbbox()
    feather, (left, top, right, bottom) = edit["mask_feather"], masked
    assert changed
    assert left - feather <= changed[0] <= left
    assert top - feather <= changed[1] <= top
    assert right <= changed[2] <= right + feather
    assert bottom <= changed[3] <= bottom + feather
