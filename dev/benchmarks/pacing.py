"""Ten images under a rate limit: the windows used and the refusals, with minutes of 4 seconds."""

from __future__ import annotations

import math
import tempfile
import time

from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.engine import rate_limit as pacing

from . import node, service
from .measure import Row

IMAGES = 10
MINUTE = 4.0
LIMITS = range(2, 8)
_FULL_REQUESTS = (
    "a refused request for four tells that the limit lies between what had passed and three more;"
    " the lower end is kept to, for each further try would be refused or not"
)
MODELS = {
    "Qwen/Qwen-Image": "one image a request",
    "Kwai-Kolors/Kolors": "up to four images a request",
}


def rows() -> list[Row]:
    """Count for each model and limit; no time is measured."""
    return [_case(model, limit) for model in MODELS for limit in LIMITS]


def _case(model: str, limit: int) -> Row:
    windows, refused = _run(model, limit)
    least = math.ceil(IMAGES / limit)
    detail = _FULL_REQUESTS if windows > least else ""
    return Row(
        f"{IMAGES} images at {limit} per minute, {MODELS[model]}",
        f"{windows} windows, {refused} refused",
        f"{least} windows, at most 1 refused",
        windows <= least and refused <= 1,
        detail,
    )


def _clock() -> float:
    return time.time() * 60 / MINUTE


def _run(model: str, limit: int) -> tuple[int, int]:
    """Return the windows that were used, and how many requests were refused."""
    real, pacing.WINDOW = pacing.WINDOW, MINUTE
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            # An account of its own: what another run learned on the same port is not to count.
            Simulator(ipm=limit, key=f"sk-{limit}", clock=_clock) as simulator,
        ):
            service.use(simulator.base_url, simulator.key, folder)
            node.draw(model=model, batch_size=IMAGES)
            records = simulator.generations
    finally:
        pacing.WINDOW = real
    passed = [record.time for record in records if record.status == 200]
    windows = 1 + int((max(passed) - min(passed)) // 60)
    return windows, sum(record.status == 429 for record in records)
