"""Ten pictures under a rate limit: the windows used and the refusals, with minutes of 4 seconds."""

from __future__ import annotations

import math
import tempfile
import time

from comfyui_siliconflow.siliconflow import pacing
from comfyui_siliconflow.simulator import Simulator

from . import node, service
from .measure import Row

PICTURES = 10
MINUTE = 4.0
CASES = (
    ("Qwen/Qwen-Image", 2),
    ("Qwen/Qwen-Image", 3),
    ("Qwen/Qwen-Image", 5),
    ("Kwai-Kolors/Kolors", 2),
    ("Kwai-Kolors/Kolors", 4),
)


def rows() -> list[Row]:
    """Count for each model and limit; no time is measured."""
    return [_case(model, limit) for model, limit in CASES]


def _case(model: str, limit: int) -> Row:
    windows, refused = _run(model, limit)
    least = math.ceil(PICTURES / limit)
    return Row(
        f"{PICTURES} pictures of {model} at {limit} per minute",
        f"{windows} windows, {refused} refused",
        f"{least} windows, at most 1 refused",
        windows <= least and refused <= 1,
    )


def _run(model: str, limit: int) -> tuple[int, int]:
    """Give the windows that were used, and how many requests were refused."""
    real, pacing.WINDOW = pacing.WINDOW, MINUTE
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            Simulator(ipm=limit, clock=lambda: time.time() * 60 / MINUTE) as simulator,
        ):
            service.use(simulator.base_url, simulator.key, folder)
            node.draw(model=model, batch_size=PICTURES)
            records = simulator.generations
    finally:
        pacing.WINDOW = real
    passed = [record.time for record in records if record.status == 200]
    windows = 1 + int((max(passed) - min(passed)) // 60)
    return windows, sum(record.status == 429 for record in records)
