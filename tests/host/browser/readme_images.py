"""The still images of both READMEs, taken of a real page on the simulator.

COMFYUI_PATH=<checkout> COMFYUI_PYTHON=<its python> \\
    python -m comfyui_siliconflow.tests.host.browser.readme_images docs/images [NAME ...]

Look at each: they are taken as the page is after a moment, whatever it shows then.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.tests.host.browser.page import Page, launch
from comfyui_siliconflow.tests.host.browser.panels import draw
from comfyui_siliconflow.tests.host.browser.record import CHANGE, PACK
from comfyui_siliconflow.tests.host.browser.test_help import OPEN
from comfyui_siliconflow.tests.host.comfy import ROOT, Comfy
from PIL import Image

if TYPE_CHECKING:
    from playwright.sync_api import ViewportSize

WINDOW: ViewportSize = {"width": 1440, "height": 900}
WIDE: ViewportSize = {"width": 2000, "height": 800}
COLORS = 256
QWEN, KOLORS = "Qwen/Qwen-Image", "Kwai-Kolors/Kolors"
FIXED = {"seed": 596, "control_after_generate": "fixed"}
LIMITED = {
    "jobs": {"en": "Tongyi-MAI/Z-Image", "zh": "Tongyi-MAI/Z-Image-Turbo"},
    "rate-limit": {"en": KOLORS, "zh": QWEN},
}
"""Models that have met a limit, which is remembered: each is in one image, or in the last."""
PROMPTS = {
    "en": (
        "A paper boat on a rain-filled street, neon reflections",
        "Tea house in a bamboo forest after the rain, ink wash",
        "A lighthouse on a cliff above a stormy sea, oil on canvas",
        "An astronaut watering sunflowers on the moon",
    ),
    "zh": (
        "雨夜街道上的纸船，霓虹倒影",
        "雨后竹林里的茶馆，水墨",
        "悬崖上的灯塔，暴风雨的海，油画",
        "宇航员在月球上给向日葵浇水",
    ),
}


def graph(page: Page, _: Simulator) -> None:
    """Run an example whose nodes are ours and ComfyUI's."""
    page.page.set_viewport_size(WIDE)
    example(page, "Chained with local nodes")
    (image,), (edit,) = page.ids("SiliconFlowTextToImage"), page.ids("SiliconFlowImageEdit")
    page.change(image, "prompt", PROMPTS[page.language][2])
    page.change(edit, "prompt", CHANGE[page.language])
    page.run()
    page.fit()
    page.settle(20)  # until ComfyUI no longer says that it is done


def models(page: Page, _: Simulator) -> None:
    """Show the fields of three models side by side."""
    for at, model in enumerate((KOLORS, QWEN, "Tongyi-MAI/Z-Image-Turbo")):
        node = page.add("SiliconFlowTextToImage", (at * 440, 0))
        page.change(node, "model", model)
        page.change(node, "prompt", PROMPTS[page.language][0])
    page.fit()


def help_page(page: Page, _: Simulator) -> None:
    """Open the help of a node beside it."""
    node = page.add("SiliconFlowImageEdit", (200, 0))
    page.fit()
    page.select(node)
    page.settle(2)
    page.page.locator(OPEN).first.click()
    page.page.locator(".node-help-content img").first.wait_for()
    page.settle(4)


def rate_limit(page: Page, simulator: Simulator) -> None:
    """Wait for the limit in the middle of a batch."""
    example(page, "Text to image")
    (node,) = page.ids("SiliconFlowTextToImage")
    page.change(node, "model", LIMITED["rate-limit"][page.language])
    page.change(node, "prompt", PROMPTS[page.language][3])
    page.change(node, "batch_size", 4)
    simulator.ipm = 2
    page.queue()
    page.wait_for("() => document.querySelectorAll('.sf-status img').length === 2", seconds=60)
    page.settle(6)
    page.fit()


def failure(page: Page, simulator: Simulator) -> None:
    """Time out, so that nobody knows whether it was paid."""
    example(page, "Text to image")
    (node,) = page.ids("SiliconFlowTextToImage")
    page.change(node, "prompt", PROMPTS[page.language][0])
    for name, value in FIXED.items():
        page.change(node, name, value)
    page.fit()
    simulator.fail(504)
    page.run()
    page.settle(4)


def jobs(page: Page, simulator: Simulator) -> None:
    """List results, a failure, a reused result and a wait."""
    boat, tea, lighthouse, astronaut = PROMPTS[page.language]
    node = draw(page, tea, model=QWEN, **FIXED)
    page.run()
    page.change(node, "prompt", lighthouse)
    page.change(node, "batch_size", 4)
    page.run()
    page.change(node, "batch_size", 1)
    simulator.fail(400, body={"code": 20015, "message": "The parameter is invalid."})
    page.change(node, "prompt", boat)
    page.run()
    page.change(node, "prompt", tea)
    page.run()
    simulator.fail(429, headers={"Retry-After": "90"}, limit="IPM")
    page.change(node, "model", LIMITED["jobs"][page.language])
    page.change(node, "prompt", astronaut)
    page.command("SiliconFlow.ShowJobs")
    page.settle(2)
    page.fit()
    page.queue()
    page.settle(12)


def settings(page: Page, _: Simulator) -> None:
    """Open the settings."""
    page.command("SiliconFlow.OpenSettings")
    page.settle(6)


def templates(page: Page, _: Simulator) -> None:
    """Look through the examples among ComfyUI's templates."""
    page.command("Comfy.BrowseTemplates")
    page.page.locator("[role=dialog]").first.get_by_text(PACK).first.click()
    page.settle(8)


def first_run(page: Page, _: Simulator) -> None:
    """Run without a key."""
    example(page, "Text to image")
    page.fit()
    page.run()
    page.page.locator("dialog.sf-dialog").wait_for()
    page.settle(2)


SCENES: dict[str, Callable[[Page, Simulator], None]] = {
    "graph": graph,
    "models": models,
    "settings": settings,
    "templates": templates,
    "failure": failure,
    "jobs": jobs,
    "help": help_page,
    "rate-limit": rate_limit,
    "first-run": first_run,
}
CLASSIC = {"rate-limit"}
KEYLESS = {"first-run"}


def example(page: Page, name: str) -> None:
    """Open an example without its explanation."""
    file = ROOT / "example_workflows" / f"{name}.json"
    workflow = json.loads(file.read_text(encoding="utf-8"))
    workflow["nodes"] = [node for node in workflow["nodes"] if node["type"] != "MarkdownNote"]
    page.load(workflow, name)


def main() -> None:
    """Take the images that the command line names, or all, in both languages."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - not everybody has it

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(SCENES))
    arguments = parser.parse_args()
    for is_keyless in (False, True):
        wanted = arguments.names or [*SCENES]
        names = [name for name in wanted if (name in KEYLESS) is is_keyless]
        if not names:
            continue
        with (
            tempfile.TemporaryDirectory() as work,
            Simulator(as_of="today", latency=1.0, balance="80.20") as simulator,
            Comfy(Path(work) / "comfyui", pack=PACK) as comfy,
            sync_playwright() as playwright,
            launch(playwright) as browser,
        ):
            comfy.forget_settings(native_batch=False)
            comfy.start({"SILICONFLOW_BASE_URL": simulator.base_url})
            comfy.request("POST", "/siliconflow/settings", json={"visible_watermark": False})
            if not is_keyless:
                comfy.request("POST", "/siliconflow/key", json={"key": simulator.key})
            for name in names:
                for language in ("en", "zh"):
                    look = "classic" if name in CLASSIC else "nodes2"
                    page = Page(browser, comfy, look, language)
                    page.setting("Comfy.Node.AlwaysShowAdvancedWidgets", value=False)
                    page.setting("Comfy.RightSidePanel.IsOpen", value=False)
                    page.page.set_viewport_size(WINDOW)
                    SCENES[name](page, simulator)
                    take(page, arguments.folder / f"{name}{'-zh' * (language == 'zh')}.png")
                    comfy.post("/interrupt", {})
                    page.close()
                    simulator.clear_failures()
                    simulator.ipm = None


def take(page: Page, file: Path) -> None:
    """Take an image of the page in few colours."""
    page.page.mouse.move(WINDOW["width"] // 2, WINDOW["height"] - 3)
    page.settle()
    with Image.open(io.BytesIO(page.page.screenshot())) as image:
        image.convert("RGB").quantize(COLORS, dither=Image.Dither.NONE).save(file, optimize=True)


if __name__ == "__main__":
    main()
