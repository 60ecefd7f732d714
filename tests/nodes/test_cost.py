"""What a run costs beside the service: counted, never timed (`benchmarks/` times it)."""

import asyncio
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.engine import run as run_module
from comfyui_siliconflow.engine import uploads as upload
from comfyui_siliconflow.media.data_urls import encode
from comfyui_siliconflow.media.image_files import Picture, tensor_to_pixels, to_batch
from comfyui_siliconflow.nodes import NODE_CLASS_MAPPINGS

Run = Callable[..., tuple[torch.Tensor, int, dict[str, Any]]]
SMALL = {"image_size": "custom", "width": 96, "height": 64}
STALL_SECONDS = 0.5


def peak_of(work: Callable[[], object]) -> int:
    """Return the bytes that numpy and Python hold at most while `work` is done."""
    tracemalloc.start()
    try:
        kept = work()
        peak = tracemalloc.get_traced_memory()[1]
        del kept
    finally:
        tracemalloc.stop()
    return peak


@pytest.mark.parametrize("most", [1, 3])
def test_no_more_requests_run_in_parallel_than_the_settings_allow(
    simulator: Simulator, run_node: Run, write_settings: Callable[..., Path], most: int
) -> None:
    write_settings(max_parallel=most)
    simulator.latency = 0.3
    run_node("SiliconFlowTextToImage", model="Qwen/Qwen-Image", prompt="x", batch_size=6, **SMALL)
    began = sorted(record.time for record in simulator.generations)
    together = max(sum(at <= other < at + 0.29 for other in began) for at in began)
    assert together == most


def test_a_batch_takes_its_own_memory_and_little_more() -> None:
    pictures: list[Picture] = [np.zeros((256, 256, 3), np.uint8) for _ in range(8)]
    batch = 8 * 256 * 256 * 3 * 4
    assert peak_of(lambda: to_batch(pictures)) < 1.1 * batch
    assert pictures == []


def test_a_frame_is_converted_in_strips() -> None:
    frame = torch.rand(2048, 512, 3)
    pixels = 2048 * 512 * 3
    assert peak_of(lambda: tensor_to_pixels(frame)) < 1.5 * pixels


def test_a_data_url_takes_no_more_than_its_pixels_three_filters_and_two_files() -> None:
    frame = torch.rand(1024, 512, 3)
    pixels = 1024 * 512 * 3
    assert peak_of(lambda: encode(frame, "png")) < 6 * pixels


def test_the_loop_goes_on_while_images_are_encoded_and_decoded(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*given: Any) -> Any:
            time.sleep(2 * STALL_SECONDS)
            return work(*given)

        return run

    monkeypatch.setattr(upload, "encode", slowly(encode))
    monkeypatch.setattr(run_module, "to_batch", slowly(to_batch))
    frames = torch.rand(2, 64, 64, 3)
    asked = {"model": "Kwai-Kolors/Kolors", "prompt": "x", **SMALL}

    async def longest_stall() -> float:
        node = NODE_CLASS_MAPPINGS["SiliconFlowImageToImage"]()
        task = asyncio.create_task(node.execute(image=frames, **asked))
        worst = 0.0
        while not task.done():
            started = time.perf_counter()
            await asyncio.sleep(0.001)
            worst = max(worst, time.perf_counter() - started)
        task.result()
        return worst

    assert asyncio.run(longest_stall()) < STALL_SECONDS
    assert len(simulator.generations) == 2
