"""What a run costs beside the service: counted, never timed (`benchmarks/` times it)."""

import asyncio
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.engine import uploads
from comfyui_siliconflow.media import image_files
from comfyui_siliconflow.media.data_urls import encode
from comfyui_siliconflow.media.image_files import DecodedImage, tensor_to_pixels, to_batch
from comfyui_siliconflow.nodes import NODE_CLASS_MAPPINGS
from comfyui_siliconflow.tasks import image_tasks
from comfyui_siliconflow.tests.conftest import Held
from comfyui_siliconflow.tests.waiting import LONGEST

Run = Callable[..., tuple[torch.Tensor, int, dict[str, Any]]]
SMALL = {"image_size": "custom", "width": 96, "height": 64}


def peak_of(work: Callable[[], object]) -> int:
    """Return the bytes that numpy and Python hold at most while `work` is done."""
    tracemalloc.start()
    try:
        result = work()
        peak = tracemalloc.get_traced_memory()[1]
        del result
    finally:
        tracemalloc.stop()
    return peak


@pytest.mark.parametrize("most", [1, 3])
def test_no_more_requests_are_under_way_than_the_settings_allow(
    simulator: Simulator,
    held: Held,
    run_node: Run,
    write_settings: Callable[..., Path],
    most: int,
) -> None:
    write_settings(max_parallel=most)
    values = {"model": "Qwen/Qwen-Image", "prompt": "x", "batch_size": 6, **SMALL}
    node = threading.Thread(target=run_node, args=("SiliconFlowTextToImage",), kwargs=values)
    node.start()
    held.wait_for(most)
    held.release()
    node.join(LONGEST)
    assert (held.most, len(simulator.charges)) == (most, 6)


def test_a_batch_takes_its_own_memory_and_little_more() -> None:
    images: list[DecodedImage] = [np.zeros((256, 256, 3), np.uint8) for _ in range(8)]
    batch = 8 * 256 * 256 * 3 * 4
    assert peak_of(lambda: to_batch(images)) < 1.1 * batch
    assert images == []


def test_a_frame_is_converted_in_strips() -> None:
    frame = torch.rand(2048, 512, 3)
    pixels = 2048 * 512 * 3
    assert peak_of(lambda: tensor_to_pixels(frame)) < 1.5 * pixels


def test_a_data_url_takes_no_more_than_its_pixels_three_filters_and_two_files() -> None:
    frame = torch.rand(1024, 512, 3)
    pixels = 1024 * 512 * 3
    assert peak_of(lambda: encode(frame, "png")) < 6 * pixels


@pytest.mark.usefixtures("simulator")
def test_no_image_is_encoded_decoded_or_copied_on_the_event_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads: dict[str, set[int]] = {}

    def noted(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any) -> Any:
            threads.setdefault(name, set()).add(threading.get_ident())
            return work(*args)

        return run

    monkeypatch.setattr(uploads, "encode", noted("encode", encode))
    monkeypatch.setattr(image_tasks, "to_batch", noted("to_batch", to_batch))
    monkeypatch.setattr(image_files, "_decode", noted("decode", image_files._decode))  # noqa: SLF001
    node = NODE_CLASS_MAPPINGS["SiliconFlowImageToImage"]()
    inputs = {"model": "Kwai-Kolors/Kolors", "prompt": "x", **SMALL}
    asyncio.run(node.execute(image=torch.rand(2, 64, 64, 3), **inputs))
    assert set(threads) == {"encode", "decode", "to_batch"}
    assert threading.get_ident() not in set.union(*threads.values())
