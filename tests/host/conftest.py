"""One real ComfyUI, and the simulated service it talks to, for all tests of this folder.

COMFYUI_PATH=<checkout> COMFYUI_PYTHON=<its python> python -m pytest tests/host
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.tests.host.comfy import ROOT, Comfy, variables_for
from comfyui_siliconflow.tests.host.graphs import to_prompt

HERE = Path(__file__).parent
REASON = "COMFYUI_PATH and COMFYUI_PYTHON name no ComfyUI (a checkout and its Python) to test in"

Json = dict[str, Any]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests of this folder where there is no ComfyUI."""
    if os.environ.get("COMFYUI_PATH") and os.environ.get("COMFYUI_PYTHON"):
        return
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=REASON))


@pytest.fixture(scope="session")
def running_service() -> Iterator[Simulator]:
    """Serve the China site for a key that is in no other place."""
    with Simulator(site="cn", key=f"sk-{secrets.token_hex(20)}", balance="10000") as started:
        yield started


@pytest.fixture(scope="session")
def paths_at_start() -> list[str]:
    """Return the paths that the pack had asked for by the time that ComfyUI was up."""
    return []


@pytest.fixture(scope="session")
def comfy(
    tmp_path_factory: pytest.TempPathFactory,
    running_service: Simulator,
    paths_at_start: list[str],
) -> Iterator[Comfy]:
    """Start ComfyUI with the pack, once."""
    with Comfy(tmp_path_factory.mktemp("comfyui")) as comfy:
        comfy.start(variables_for(running_service))
        paths_at_start += [record.path for record in running_service.requests]
        yield comfy


@pytest.fixture
def service(running_service: Simulator) -> Iterator[Simulator]:
    """Return the service as it is at first: quick, and without failures."""
    yield running_service
    running_service.clear_failures()
    running_service.latency = 0.0


@pytest.fixture
def load() -> Callable[[str], Json]:
    """Read an example workflow by name."""

    def load_example(name: str) -> Json:
        file = ROOT / "example_workflows" / f"{name}.json"
        loaded: Json = json.loads(file.read_text(encoding="utf-8"))
        return loaded

    return load_example


@pytest.fixture
def convert(comfy: Comfy) -> Callable[[Json], Json]:
    """Turn a saved workflow into a prompt with other seeds, so that nothing is known already."""

    def convert_workflow(workflow: Json) -> Json:
        prompt = to_prompt(workflow, comfy.object_info)
        for node in prompt.values():
            if "seed" in node["inputs"]:
                node["inputs"]["seed"] += secrets.randbelow(10**9)
        return prompt

    return convert_workflow


@pytest.fixture
def drawing() -> Callable[..., Json]:
    """Return a prompt of independent text-to-image nodes, each previewed; never the same twice."""

    def draw(count: int = 1, **inputs: Any) -> Json:
        prompt: Json = {}
        for at in range(count):
            seed = secrets.randbelow(10**9)
            values = {"model": "Kwai-Kolors/Kolors", "prompt": "A kite", "seed": seed, **inputs}
            prompt[f"{at + 1}"] = {"class_type": "SiliconFlowTextToImage", "inputs": values}
            preview = {"class_type": "PreviewImage", "inputs": {"images": [f"{at + 1}", 0]}}
            prompt[f"{at + 101}"] = preview
        return prompt

    return draw
