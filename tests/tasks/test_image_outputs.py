"""What an image node gives besides its batch: each image uncut, its settings, what was filtered."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.dev.simulator import images as drawn
from comfyui_siliconflow.media.image_files import is_one_color
from PIL import Image

DRAW, EDIT = "SiliconFlowTextToImage", "SiliconFlowImageEdit"
KOLORS = {"model": "Kwai-Kolors/Kolors", "prompt": "a cat, a dog", "seed": 5}


def test_the_list_has_every_image_in_its_own_size(
    today: Simulator, outputs_of: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    del today
    sizes = iter([(64, 48), (32, 80), (64, 48)])

    def draw(_drawing: Any) -> bytes:
        file = io.BytesIO()
        Image.radial_gradient("L").resize(next(sizes)).save(file, "PNG")
        return file.getvalue()

    monkeypatch.setattr(drawn, "draw", draw)
    outputs = outputs_of(DRAW, **KOLORS, batch_size=3)
    own = [tuple(image.shape) for image in outputs["image_list"]]
    assert sorted(own) == [(1, 48, 64, 3), (1, 48, 64, 3), (1, 80, 32, 3)]
    for image, frame in zip(outputs["image_list"], outputs["images"], strict=True):
        is_same = image.shape[1:] == frame.shape
        assert not is_same or torch.equal(image[0], frame)
    gradient = np.asarray(Image.radial_gradient("L").resize((32, 80)))
    [uncut] = [image for image in outputs["image_list"] if image.shape[1] == 80]
    assert torch.equal(uncut[0, ..., 0], torch.from_numpy(gradient / np.float32(255)))


def test_an_output_and_info_have_the_settings_as_a1111_writes_them(
    today: Simulator, outputs_of: Callable[..., Any]
) -> None:
    del today
    made = outputs_of(DRAW, **KOLORS, negative_prompt="blurry", num_inference_steps=30)
    info = made["info"]
    assert made["parameters"] == info["parameters"]
    assert made["parameters"].split("\n") == [
        "a cat, a dog",
        "Negative prompt: blurry",
        (
            "Steps: 30, CFG scale: 7.5, Seed: 5, Size: 1024x1024, Model: Kwai-Kolors/Kolors, "
            "Version: SiliconFlow"
        ),
    ]
    assert info["requests"][0]["trace_id"]


def test_settings_that_the_model_does_not_have_are_left_out(
    today: Simulator, outputs_of: Callable[..., Any]
) -> None:
    del today
    info = outputs_of(DRAW, **{**KOLORS, "model": "Tongyi-MAI/Z-Image-Turbo"})["info"]
    assert info["parameters"].split("\n")[1:] == [
        "Seed: 5, Size: 1024x1024, Model: Tongyi-MAI/Z-Image-Turbo, Version: SiliconFlow"
    ]


def test_settings_that_are_not_sent_are_the_service_s_own_as_documented(
    today: Simulator, outputs_of: Callable[..., Any]
) -> None:
    inputs = {**KOLORS, "model": "Qwen/Qwen-Image"}
    info = outputs_of(DRAW, **inputs)["info"]
    assert "num_inference_steps" not in today.generations[-1].body
    assert info["parameters"].split("\n")[-1].startswith("Steps: 20, CFG scale: 4, Seed: 5, ")
    info = outputs_of(DRAW, **inputs, extra_body='{"num_inference_steps": 9}')["info"]
    assert info["parameters"].split("\n")[-1].startswith("Steps: 9, ")


@pytest.mark.parametrize("is_marked", [False, True])
def test_a_black_image_is_said_to_be_probably_filtered_and_what_it_cost(
    today: Simulator,
    outputs_of: Callable[..., Any],
    write_settings: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    is_marked: bool,
) -> None:
    del today
    write_settings(visible_watermark=is_marked)

    def draw(_drawing: Any) -> bytes:
        image = Image.new("RGB", (512, 512))
        if is_marked:
            image.paste("white", (400, 8, 500, 40))
        file = io.BytesIO()
        image.save(file, "PNG")
        return file.getvalue()

    monkeypatch.setattr(drawn, "draw", draw)
    priced = {**KOLORS, "model": "Qwen/Qwen-Image"}
    [note] = [n for n in outputs_of(DRAW, **priced)["info"]["notes"] if "filter" in n]
    assert note.startswith("Image 1 is a single color")
    assert "0.3 CNY" in note


def test_an_image_is_of_one_color_only_if_all_of_it_is() -> None:
    image = np.full((64, 64, 3), 7, np.uint8)
    assert is_one_color(image, is_marked=False)
    assert is_one_color(np.full((64, 64, 3), 0.03, np.float32), is_marked=True)
    image[33, 33] = 200
    assert not is_one_color(image, is_marked=False)
    assert is_one_color(image, is_marked=True)
    image[:8] = 200
    assert not is_one_color(image, is_marked=True)


def test_an_ordinary_image_is_not_said_to_be_filtered(
    today: Simulator, outputs_of: Callable[..., Any]
) -> None:
    del today
    assert not [n for n in outputs_of(DRAW, **KOLORS)["info"]["notes"] if "filter" in n]
