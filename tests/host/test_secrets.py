"""The key stays where it is: in the environment of the process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.tests.host.comfy import Comfy

Json = dict[str, Any]

PAGES = ("/history", "/queue", "/prompt", "/settings", "/object_info", "/system_stats")
LOGS = ("/internal/logs", "/internal/logs/raw")
"""All that was printed: the console's file lags behind, as its output is buffered."""


@pytest.fixture
def used(
    comfy: Comfy,
    service: Simulator,
    load: Callable[[str], Json],
    convert: Callable[[Json], Json],
    drawing: Callable[..., Json],
) -> Comfy:
    """Return a ComfyUI in which an image was saved, and three requests were refused."""
    workflow = load("Text to image")
    assert comfy.run(convert(workflow), workflow).status == "success"
    for status in (400, 401, 403):
        service.fail(status)
        assert comfy.run(drawing()).status == "error"
    return comfy


def test_no_file_holds_the_key(used: Comfy, service: Simulator) -> None:
    files = list(used.files())
    assert any(file.suffix == ".png" and "output" in file.parts for file in files)
    assert [file for file in files if service.key.encode() in file.read_bytes()] == []


def test_a_saved_image_holds_its_workflow(used: Comfy) -> None:
    """Otherwise the search above could not find anything."""
    saved = [file for file in used.files() if file.suffix == ".png" and "output" in file.parts]
    assert any(b"SiliconFlowTextToImage" in file.read_bytes() for file in saved)


@pytest.mark.parametrize("path", [*PAGES, *LOGS])
def test_no_page_holds_the_key(used: Comfy, service: Simulator, path: str) -> None:
    answer = used.get(path)
    assert answer.status_code == 200
    assert service.key not in answer.text


def test_the_queue_does_not_hold_the_key_while_a_node_runs(
    comfy: Comfy, service: Simulator, drawing: Callable[..., Json]
) -> None:
    service.latency = 1.0
    prompt_id = comfy.queue(drawing())
    running = comfy.wait_for(lambda: comfy.get("/queue").json()["queue_running"])
    assert prompt_id in str(running)
    assert service.key not in str(running)
    assert comfy.end_of(prompt_id).status == "success"
