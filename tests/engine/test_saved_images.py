"""A saved image is not paid again because it cannot be decoded under the limits of today."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.siliconflow.errors import BadResult
from PIL import Image

DRAW = {"model": "Kwai-Kolors/Kolors", "prompt": "x", "seed": 1, "image_size": "1024x1024"}

ADVICE = {
    "ours": r"most_megapixels in settings\.json",
    "Pillow's": "If you can remove the reason",
}


@pytest.mark.parametrize("limit", ADVICE)
def test_an_image_that_is_over_a_lowered_limit_is_kept_and_found_when_the_limit_is_raised(
    simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    write_settings: Callable[..., Path],
    run_node: Callable[..., Any],
    limit: str,
) -> None:
    run_node("SiliconFlowTextToImage", **DRAW)
    sent = len(simulator.requests)
    with monkeypatch.context() as patched:
        if limit == "ours":
            write_settings(most_megapixels=0.5)
        else:
            patched.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
        for _ in range(2):
            with pytest.raises(BadResult, match=rf"pixels(.|\n)*{ADVICE[limit]}"):
                run_node("SiliconFlowTextToImage", **DRAW)
    write_settings(most_megapixels=64)
    images, _, info = run_node("SiliconFlowTextToImage", **DRAW)
    assert images.shape == (1, 1024, 1024, 3)
    assert [request["origin"] for request in info["requests"]] == ["reused"]
    assert len(simulator.requests) == sent
