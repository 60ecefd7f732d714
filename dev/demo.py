"""A demo: runs the image nodes one after the other, as ComfyUI does."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from ..comfyui.host import report_to
from ..media.image_files import tensor_to_pil
from ..nodes import NODE_CLASS_MAPPINGS
from ..strings.text import Text, text

MODELS = {
    "cn": {
        "draw": "Kwai-Kolors/Kolors",
        "redraw": "Kwai-Kolors/Kolors",
        "edit": "Qwen/Qwen-Image-Edit-2509",
        "batch": "Qwen/Qwen-Image",
    },
    "com": {
        "draw": "Qwen/Qwen-Image",
        "redraw": "black-forest-labs/FLUX-1.1-pro",
        "edit": "Qwen/Qwen-Image-Edit",
        "batch": "black-forest-labs/FLUX.1-schnell",
    },
}
"""At most two images a model: the rate limit of new accounts is two a minute and model."""

_REWRITE = "\r\033[K"


@dataclass(frozen=True)
class Step:
    """One node of the demo: its title, node id and inputs."""

    title: Text
    node: str
    inputs: Mapping[str, Any]


async def play(output: Path, site: str) -> list[Path]:
    """Run all steps, save every image as a PNG in the folder `output`, and return the files."""
    report_to(Console())
    models = MODELS[site]
    files: list[Path] = []
    drawn = await _run(_draw(models), 1, output, files)
    redrawn = await _run(_redraw(models, drawn), 2, output, files)
    await _run(_edit(models, drawn, redrawn, has_three=site == "cn"), 3, output, files)
    await _run(_batch(models), 4, output, files)
    return files


class Console:
    """Progress of a node on a terminal: one line that is overwritten."""

    def text(self, text: Text) -> None:
        """Show the line."""
        if sys.stdout.isatty():
            print(f"{_REWRITE}   {text}", end="", flush=True)

    def value(self, done: int, total: int) -> None:
        """Show nothing: the text says it."""

    def image(self, image: Image.Image, place: int) -> None:
        """Show nothing: the image is saved as a file."""


def _draw(models: Mapping[str, str]) -> Step:
    return Step(
        text("cli.demo.text_to_image"),
        "SiliconFlowTextToImage",
        {
            "model": models["draw"],
            "prompt": "An island near the sea, seagulls, the moon over a lighthouse",
            "seed": 42,
        },
    )


def _redraw(models: Mapping[str, str], drawn: torch.Tensor) -> Step:
    return Step(
        text("cli.demo.image_to_image"),
        "SiliconFlowImageToImage",
        {
            "model": models["redraw"],
            "image": drawn,
            "prompt": "The same island in winter, as a woodcut",
            "seed": 43,
        },
    )


def _edit(
    models: Mapping[str, str], drawn: torch.Tensor, redrawn: torch.Tensor, *, has_three: bool
) -> Step:
    others = {"image2": redrawn, "image3": drawn.flip(2)} if has_three else {}
    prompt = "Put @image1, @image2 and @image3 side by side as a triptych"
    return Step(
        text("cli.demo.edit_three" if has_three else "cli.demo.edit"),
        "SiliconFlowImageEdit",
        {
            "model": models["edit"],
            "image": drawn,
            **others,
            "prompt": prompt if has_three else "Turn @image1 into a watercolour",
            "seed": 44,
        },
    )


def _batch(models: Mapping[str, str]) -> Step:
    return Step(
        text("cli.demo.batch"),
        "SiliconFlowTextToImage",
        {
            "model": models["batch"],
            "prompt": "一只橘猫坐在窗台上，窗外在下雨",
            "seed": 7,
            "batch_size": 2,
        },
    )


async def _run(step: Step, number: int, output: Path, files: list[Path]) -> torch.Tensor:
    started = time.monotonic()
    print(f"{number}. {step.title} · {step.inputs['model']}")
    images: torch.Tensor
    images, *_ = await NODE_CLASS_MAPPINGS[step.node]().execute(**step.inputs)
    seconds = time.monotonic() - started
    saved = [_save(frame, output, number, at) for at, frame in enumerate(images)]
    files += saved
    print(f"{_REWRITE if sys.stdout.isatty() else ''}   {seconds:.2f} s")
    for file in saved:
        print(f"   {file}")
    return images


def _save(frame: torch.Tensor, output: Path, number: int, at: int) -> Path:
    file = output / f"{number}-{at + 1}.png"
    tensor_to_pil(frame).save(file)
    return file
