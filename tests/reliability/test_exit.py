"""A process that is told to end does so at once, whatever the pack is doing in it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from comfyui_siliconflow.tests.reliability import breakers
from comfyui_siliconflow.tests.reliability.children import Child
from comfyui_siliconflow.tests.reliability.trial import NODES, Bench, write_settings
from comfyui_siliconflow.tests.waiting import until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="only Unix can send Ctrl+C alone")
DRAW, REDRAW = "SiliconFlowTextToImage", "SiliconFlowImageToImage"
KOLORS = "Kwai-Kolors/Kolors"
LARGE = {"width": 512, "height": 512, "image_size": "custom"}
"""So large that its rows are shared out."""
HELD: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("media.image_files._convert", REDRAW, {"image_side": 512}),
    ("media.png._filtered", REDRAW, {"image_side": 512}),
    ("media.image_files.decode", DRAW, {}),
    ("media.image_files._to_float", DRAW, {}),
)
"""What encodes and decodes, and the node that calls it."""


def end(process: Child, how: str) -> None:
    """Press Ctrl+C, or let the main program come to its end."""
    if how == "interrupted":
        process.interrupt()
    else:
        process.send()
        process.expect("leaving")
    until(lambda: process.ended)
    assert not process.was_killed


@pytest.mark.parametrize("how", ["interrupted", "at its end"])
def test_a_download_that_stands_still_keeps_no_process_from_ending(
    bench: Bench, data: Path, child: Callable[..., Child], how: str
) -> None:
    write_settings(data, read_timeout=3600)
    bench.server.break_next(breakers.stop(0.5), "download", 1)
    process = child(
        node=DRAW, inputs={**NODES[DRAW], "prompt": "a cat"}, leave=how != "interrupted"
    )
    process.go()
    assert bench.server.holding.wait(30)
    end(process, how)
    assert not bench.server.quiet(0.0)  # the server has not gone on


@pytest.mark.parametrize("how", ["interrupted", "at its end"])
@pytest.mark.parametrize(("target", "node", "orders"), HELD, ids=lambda item: str(item)[:40])
def test_an_image_that_is_encoded_or_decoded_keeps_no_process_from_ending(
    child: Callable[..., Child], target: str, node: str, orders: Any, how: str
) -> None:
    inputs = {"model": KOLORS, "prompt": "a cat", **LARGE}
    hold = (target, "before", 1)
    process = child(node=node, inputs=inputs, hold=hold, leave=how != "interrupted", **orders)
    process.go()
    process.expect("held")
    end(process, how)
