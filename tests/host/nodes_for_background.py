"""Nodes for the tests of the background: one takes its time, one gives another number each time."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Any

import torch

NUMBERS = count(1)


class Sleep:
    """Takes its time on this computer; gives an image, the one it is given if any, or fails."""

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "execute"
    CATEGORY = "tests"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        seconds = ("FLOAT", {"default": 0.0})
        optional = {"image": ("IMAGE",), "fails": ("BOOLEAN", {"default": False})}
        return {"required": {"seconds": seconds}, "optional": optional}

    async def execute(
        self, seconds: float, image: torch.Tensor | None = None, *, fails: bool = False
    ) -> tuple[torch.Tensor]:
        await asyncio.sleep(seconds)
        if fails:
            raise ValueError("as it should")
        return (torch.zeros(1, 64, 64, 3) if image is None else image,)


class AnyNumber:
    """Gives another number in each run."""

    RETURN_TYPES = ("INT",)
    FUNCTION = "execute"
    CATEGORY = "tests"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        return {"required": {}}

    @classmethod
    def IS_CHANGED(cls) -> float:  # noqa: N802 - ComfyUI's name
        return float("nan")

    def execute(self) -> tuple[int]:
        return (next(NUMBERS),)


class Numbers:
    """Gives a list of numbers."""

    RETURN_TYPES = ("INT",)
    OUTPUT_IS_LIST = (True,)
    FUNCTION = "execute"
    CATEGORY = "tests"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        return {"required": {"first": ("INT", {"default": 0, "max": 10**9}), "n": ("INT", {})}}

    def execute(self, first: int, n: int) -> tuple[list[int]]:
        return (list(range(first, first + n)),)


class Noise:
    """Gives other images in each run, as what is drawn on a GPU may be; one more each if told."""

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "execute"
    CATEGORY = "tests"
    counts = count(1)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        inputs = {"n": ("INT", {"default": 1}), "grows": ("BOOLEAN", {"default": False})}
        return {"required": {}, "optional": inputs}

    @classmethod
    def IS_CHANGED(cls, **_inputs: Any) -> float:  # noqa: N802 - ComfyUI's name
        return float("nan")

    def execute(self, n: int = 1, *, grows: bool = False) -> tuple[torch.Tensor]:
        return (torch.rand(next(self.counts) if grows else n, 64, 64, 3),)


NODE_CLASS_MAPPINGS = {
    "TestSleep": Sleep,
    "TestAnyNumber": AnyNumber,
    "TestNumbers": Numbers,
    "TestNoise": Noise,
}
