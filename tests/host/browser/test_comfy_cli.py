"""Every template means the same to comfy-cli, which converts it by itself, as to the page.

COMFY_CLI names its `comfy`, if that is not on the path.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from comfyui_siliconflow.tests.host.browser.page import Page
from comfyui_siliconflow.tests.host.comfy import HOST, ROOT, Comfy

FILES = sorted((ROOT / "example_workflows").glob("*.json"))
COMFY = os.environ.get("COMFY_CLI") or shutil.which("comfy")
RUN_SECONDS = 120

pytestmark = pytest.mark.skipif(COMFY is None, reason="comfy-cli is not here (COMFY_CLI)")
Json = dict[str, Any]


@pytest.fixture
def run(comfy: Comfy, tmp_path: Path) -> Iterator[Callable[[Path], Json]]:
    """Return what ComfyUI was sent by `comfy run --workflow`, which is asked about nothing."""
    comfy.post("/siliconflow/settings", {"confirm_images": 0, "confirm_cost": 0})

    def run_workflow(file: Path) -> Json:
        options = ["--host", HOST, "--port", str(comfy.port), "--wait"]
        words = [str(COMFY), "--skip-prompt", "--json", "run", "--workflow", str(file), *options]
        before = set(comfy.get("/history").json())
        done = subprocess.run(
            words,
            env={**os.environ, "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        [prompt_id] = set(comfy.get("/history").json()) - before
        sent: Json = comfy.end_of(prompt_id).entry["prompt"][2]
        return sent

    yield run_workflow
    comfy.forget_settings()


def inputs_of(prompt: Json, object_info: Json) -> Json:
    """Return type and inputs of every node, without what only the page reads.

    Nor what ComfyUI keeps of older versions of its own nodes: inputs that are hidden and optional.
    """

    def is_hidden(node_type: str, name: str) -> bool:
        _, options = object_info[node_type]["input"].get("optional", {}).get(name, (None, {}))
        return bool(options.get("hidden"))

    return {
        key: (kind, {k: v for k, v in node["inputs"].items() if not is_hidden(kind, k)})
        for key, node in prompt.items()
        for kind in [node["class_type"]]
    }


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
@pytest.mark.usefixtures("service")
def test_comfy_cli_sends_what_the_page_would(
    page: Page, run: Callable[[Path], Json], file: Path
) -> None:
    page.load(json.loads(file.read_text(encoding="utf-8")))
    exported = inputs_of(page.exported(), page.comfy.object_info)
    assert exported
    assert inputs_of(run(file), page.comfy.object_info) == exported


@pytest.fixture(params=["nodes2"], scope="module")
def look(request: pytest.FixtureRequest) -> str:
    """Return one look: what is exported is the same in both."""
    return str(request.param)
