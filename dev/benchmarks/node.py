"""What a node adds to the service's own time, and what overlaps."""

from __future__ import annotations

import asyncio
import io
import itertools
import os
from statistics import median
from typing import Any

import requests
from comfyui_siliconflow.nodes import NODE_CLASS_MAPPINGS
from PIL import Image

from .measure import Row, in_turns, seconds
from .service import serving

ADDED_MS, SIXTEEN_SECONDS = 30, 3
MODEL = "Qwen/Qwen-Image"
SIZE = {"image_size": "custom", "width": 1024, "height": 1024}
_SEEDS = itertools.count(1)


def rows() -> list[Row]:
    """Measure one image without latency, and sixteen with a second of it."""
    return [_one(), _sixteen()]


def draw(**inputs: Any) -> Any:
    """Run text to image, with a seed that was not used before."""
    node = NODE_CLASS_MAPPINGS["SiliconFlowTextToImage"]()
    values = {"model": MODEL, "prompt": "x", "seed": next(_SEEDS), **SIZE, **inputs}
    return asyncio.run(node.execute(**values))


def _one() -> Row:
    with serving(), requests.Session() as session:
        times = in_turns({"ours": draw, "bare": lambda: _bare(session)}, rounds=25)
    added = sorted(
        ours - bare for ours, bare in zip(times["ours"].each, times["bare"].each, strict=True)
    )
    return Row(
        "one image of 1024x1024 at zero latency",
        f"{median(added) * 1e3:.0f} ms over bare requests and Pillow",
        f"at most {ADDED_MS} ms more",
        median(added) * 1e3 <= ADDED_MS,
        f"the node {times['ours']}; POST, GET and decode {times['bare']}",
    )


def _bare(session: requests.Session) -> None:
    """Request an image, fetch it and decode it, with nothing checked, recorded or kept."""
    answer = session.post(
        f"{os.environ['SILICONFLOW_BASE_URL']}/images/generations",
        json={"model": MODEL, "prompt": "x", "seed": next(_SEEDS), "image_size": "1024x1024"},
        headers={"Authorization": f"Bearer {os.environ['SILICONFLOW_API_KEY']}"},
        timeout=60,
    )
    file = session.get(answer.json()["images"][0]["url"], timeout=60).content
    Image.open(io.BytesIO(file)).load()


def _sixteen() -> Row:
    with serving('{"latency": 1}'):
        taken = seconds(lambda: draw(batch_size=16))
    return Row(
        "16 images of a model without batch_size, 1 s each, default settings",
        f"{taken:.2f} s",
        f"at most {SIXTEEN_SECONDS} s (one after the other: 16 s)",
        taken <= SIXTEEN_SECONDS,
    )
