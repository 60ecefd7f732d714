"""What the tests of the panels share: a graph to run, and what the pack has stored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from comfyui_siliconflow.tests.host.browser.page import Page
from comfyui_siliconflow.tests.host.comfy import Comfy

MODEL = "Kwai-Kolors/Kolors"
REFUSED = "Failed to load resource: the server responded with a status of"


def settings_file(comfy: Comfy) -> Path:
    """Name the one file that may hold the key."""
    return comfy.folder / "user" / "__siliconflow" / "settings.json"


def stored(comfy: Comfy) -> dict[str, Any]:
    """Read it, without what the tests themselves put there."""
    file = settings_file(comfy)
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    content.pop("native_batch", None)
    return content


def draw(page: Page, prompt: str, **values: Any) -> int:
    """Put a node with a preview on the canvas, and give the node's id."""
    node, preview = page.add("SiliconFlowTextToImage"), page.add("PreviewImage", (700, 200))
    connect = (
        "([a, b]) => { const g = app.graph; g.getNodeById(a).connect(0, g.getNodeById(b), 0) }"
    )
    page.js(connect, [node, preview])
    for name, value in {"model": MODEL, "prompt": prompt, **values}.items():
        page.change(node, name, value)
    return node


def forgive_refusals(page: Page) -> None:
    """Forget what the browser says of routes that refused, as the test wanted them to."""
    page.errors = [error for error in page.errors if not error.startswith(REFUSED)]
