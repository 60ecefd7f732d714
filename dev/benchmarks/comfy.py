"""In a real ComfyUI: four nodes of one graph against one, and what our nodes cost /object_info."""

from __future__ import annotations

import os
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.nodes import NODE_CLASS_MAPPINGS
from comfyui_siliconflow.tests.host.comfy import Comfy, variables_for

from .measure import Row, in_turns, seconds
from .node import MODEL, SIZE

FOUR_TIMES, INFO_MS, LATENCY = 1.2, 5, 2.0


def rows() -> list[Row]:
    """Measure both, if a ComfyUI is named."""
    if not os.environ.get("COMFYUI_PATH") or not os.environ.get("COMFYUI_PYTHON"):
        why = "not measured: COMFYUI_PATH and COMFYUI_PYTHON name no ComfyUI"
        return [Row("4 nodes of one graph, and /object_info", why, "", met=False)]
    with (
        tempfile.TemporaryDirectory() as folder,
        Simulator(latency=LATENCY) as simulator,
        Comfy(Path(folder) / "comfy") as comfy,
    ):
        comfy.start(variables_for(simulator) | {"SILICONFLOW_DATA_DIR": f"{folder}/data"})
        return [_four(comfy), _info(comfy)]


def _four(comfy: Comfy) -> Row:
    comfy.run(_graph([0]))
    graphs = _graph([1]), _graph([2, 3, 4, 5])
    one, four = (seconds(partial(comfy.run, graph)) for graph in graphs)
    return Row(
        f"4 nodes of one graph in a real ComfyUI, {LATENCY:.0f} s each",
        f"{four / one:.2f}x the time of one",
        f"at most {FOUR_TIMES}x",
        four / one <= FOUR_TIMES,
        f"one {one:.2f} s; four {four:.2f} s",
    )


def _graph(seeds: list[int]) -> dict[str, Any]:
    graph: dict[str, Any] = {}
    for seed in seeds:
        inputs = {"model": MODEL, "prompt": "x", "seed": seed, **SIZE}
        graph[f"{seed}0"] = {"class_type": "SiliconFlowTextToImage", "inputs": inputs}
        shown = {"images": [f"{seed}0", 0]}
        graph[f"{seed}1"] = {"class_type": "PreviewImage", "inputs": shown}
    return graph


def _info(comfy: Comfy) -> Row:
    lookups = {name: partial(comfy.get, f"/object_info/{name}") for name in NODE_CLASS_MAPPINGS}
    total = sum(times.best for times in in_turns(lookups).values()) * 1e3
    empty = in_turns({"": partial(comfy.get, "/object_info/none")})[""].best * 1e3 * len(lookups)
    return Row(
        "/object_info for all our nodes",
        f"{max(0.0, total - empty):.1f} ms a call",
        f"at most {INFO_MS} ms",
        total - empty <= INFO_MS,
        f"{len(lookups)} nodes one by one over HTTP take {total:.1f} ms; as many requests for"
        f" nothing, which are taken off, {empty:.1f} ms",
    )
