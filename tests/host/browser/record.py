"""The moving images of both READMEs, recorded in a real page on the simulator.

COMFYUI_PATH=<checkout> COMFYUI_PYTHON=<its python> \\
    python -m comfyui_siliconflow.tests.host.browser.record docs/images
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.tests.host.browser.page import Page, launch
from comfyui_siliconflow.tests.host.comfy import Comfy, variables_for
from PIL import Image

if TYPE_CHECKING:
    from playwright.sync_api import ViewportSize

PACK = "ComfyUI-SiliconFlow-Nodes"
WINDOW: ViewportSize = {"width": 1280, "height": 900}
WIDTH = 960
TOP = 165
"""Where the nodes begin, in pixels of the window: below them is room for their images."""
LATENCY = 2.5
FIRST_MS, FRAME_MS, LAST_MS = 1500, 150, 4000
FEWEST_RUNNING = 5
TYPED = {"en": "A lighthouse on a cliff at dusk", "zh": "黄昏时分，悬崖上的灯塔"}
CHANGE = {"en": "Make it a watercolour", "zh": "改成水彩画"}
FILES = {"en": "run.webp", "zh": "run-zh.webp"}
UP = """top => {
    app.canvas.ds.scale *= 0.92;
    app.canvas.ds.offset[0] += 20;
    app.canvas.ds.offset[1] = top / app.canvas.ds.scale;
    app.canvas.setDirty(true, true);
}"""
GRAPH = """([prompt, change]) => {
    const add = (type, x, y, width, values) => {
        const node = LiteGraph.createNode(type);
        node.pos = [x, y];
        app.graph.add(node);
        for (const [name, value] of Object.entries(values)) {
            const widget = node.widgets.find(each => each.name === name);
            widget.value = value;
            widget.callback?.(value);
        }
        node.setSize([width, node.size[1]]);
        return node;
    };
    const image = add('SiliconFlowTextToImage', 0, 0, 360, {prompt});
    const edit = add('SiliconFlowImageEdit', 430, 0, 360, {prompt: change});
    const save = add('SaveImage', 860, 0, 380, {filename_prefix: 'lighthouse'});
    image.connect(0, edit, 'image');
    edit.connect(0, save, 'images');
    return [image.id, save.id].map(Number);
}"""


def record(page: Page, language: str) -> list[tuple[Image.Image, int]]:
    """Return frames and the milliseconds that each stands: a prompt is typed, and run."""
    frames: list[tuple[Image.Image, int]] = []

    def snap(milliseconds: int = FRAME_MS) -> None:
        shot = Image.open(io.BytesIO(page.page.screenshot())).convert("RGB")
        size = WIDTH, round(shot.height * WIDTH / shot.width)
        frames.append((shot.resize(size, Image.Resampling.LANCZOS), milliseconds))

    first, last = page.js(GRAPH, ["", CHANGE[language]])
    page.fit()
    page.js(UP, TOP)
    page.settle()
    snap(FIRST_MS)
    page.element(first).locator("textarea").first.click()
    for letter in TYPED[language]:
        page.page.keyboard.type(letter)
        snap(FRAME_MS // 2)
    snap(FIRST_MS)
    page.page.get_by_test_id("queue-button").click()
    running = 0
    while running < FEWEST_RUNNING or not page.element(last).locator("img").count():
        start = time.monotonic()
        snap()
        frames[-1] = frames[-1][0], max(FRAME_MS, round((time.monotonic() - start) * 1000))
        running += 1
    page.settle(4)
    snap(LAST_MS)
    return frames


def draw_once(comfy: Comfy) -> None:
    """Make the first image of an account, whose note about marks appears once."""
    inputs = {"model": "Kwai-Kolors/Kolors", "prompt": "A kite"}
    preview = {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}
    comfy.run({"1": {"class_type": "SiliconFlowTextToImage", "inputs": inputs}, "2": preview})


def main() -> None:
    """Record both languages into the folder that the command line names."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - not everybody has it

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    with (
        tempfile.TemporaryDirectory() as work,
        Simulator(as_of="today", latency=LATENCY) as simulator,
        Comfy(Path(work) / "comfyui", pack=PACK) as comfy,
        sync_playwright() as playwright,
        launch(playwright) as browser,
    ):
        comfy.forget_settings(native_batch=False)
        comfy.start(variables_for(simulator))
        draw_once(comfy)
        for language, name in FILES.items():
            page = Page(browser, comfy, "nodes2", language)
            page.setting("Comfy.Node.AlwaysShowAdvancedWidgets", value=False)
            page.page.set_viewport_size(WINDOW)
            images, durations = zip(*record(page, language), strict=True)
            assert page.errors == []
            page.close()
            rest = {"append_images": images[1:], "duration": durations, "loop": 0}
            images[0].save(folder / name, save_all=True, quality=70, **rest)


if __name__ == "__main__":
    main()
