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
LIMITS = range(2, 8)
MODELS = {
    "Qwen/Qwen-Image": "one picture a request",
    "Kwai-Kolors/Kolors": "up to four pictures a request",
}


def rows() -> list[Row]:
    """Count for each model and limit; no time is measured."""
    return [_case(model, limit) for model in MODELS for limit in LIMITS]


def _case(model: str, limit: int) -> Row:
    windows, refused = _run(model, limit)
    least = math.ceil(PICTURES / limit)
    return Row(
        f"{PICTURES} pictures at {limit} per minute, {MODELS[model]}",
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
