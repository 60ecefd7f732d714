"""Takes the images of the nodes for their help pages, `web/docs/<node id>/<language>.png`.

COMFYUI_PATH=<checkout> COMFYUI_PYTHON=<its python> \
    python -m comfyui_siliconflow.tests.host.browser.help_images [NODE_ID ...]

Each node is run in Nodes 2.0 on a simulator, with what stands before and behind it.
"""

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.tests.host.browser.page import Page, launch
from comfyui_siliconflow.tests.host.comfy import ROOT, Comfy, variables_for
from PIL import Image

LANGUAGES = ("en", "zh")
WIDTH, GAP, SCALE, MARGIN = 330, 48, 2.08, 14
NO_LINKS = 3
COLORS = 256
VIEWPORT: Any = {"width": 1100, "height": 2600}
SEED = {"seed": 51, "control_after_generate": "fixed"}
Values = dict[str, Any]


@dataclass(frozen=True)
class Scene:
    """One image: what the node is given, and what shows its result.

    A value that is a pair has one wording for each language. `source` provides the first input.
    """

    values: Values = field(default_factory=dict)
    source: str = ""
    shows: tuple[str, int, str] | None = None
    """The node behind it, the output that it shows, and at which input."""


TEXT = ("PreviewAny", 0, "source")
UNSEEN = frozenset({"PreviewImage", "SaveVideo"})
"""What only has the node run: it shows its results itself."""
SCENES: dict[str, Scene] = {
    "SiliconFlowTextToImage": Scene(
        {
            "model": "Qwen/Qwen-Image",
            "prompt": (
                "A travel poster in flat colours: a red lighthouse on a cliff, gulls, calm sea.",
                "扁平风格的旅行海报：悬崖上的红色小灯塔，海鸥，平静的海面。",
            ),
            "image_size": "1472x1140",
            **SEED,
        },
        shows=("PreviewImage", 0, "images"),
    ),
    "SiliconFlowImageToImage": Scene(
        {
            "model": "Kwai-Kolors/Kolors",
            "prompt": ("The same harbour in winter, snow", "同一个港口，冬天，下雪"),
            **SEED,
        },
        source="LoadImage",
        shows=("PreviewImage", 0, "images"),
    ),
    "SiliconFlowImageEdit": Scene(
        {
            "model": "Qwen/Qwen-Image-Edit-2509",
            "prompt": (
                "Turn it into night, with lights in the windows.",
                "改成夜晚，窗户亮着灯，山和水保持不变。",
            ),
            **SEED,
        },
        source="LoadImage",
        shows=("PreviewImage", 0, "images"),
    ),
    "SiliconFlowTextToVideo": Scene(
        {
            "prompt": (
                "A lighthouse on a cliff at dawn. Waves break below, gulls circle the lamp.",
                "黎明时分悬崖上的灯塔，海浪拍打礁石，海鸥绕着灯飞翔。",
            ),
            **SEED,
        },
        shows=("SaveVideo", 0, "video"),
    ),
    "SiliconFlowImageToVideo": Scene(
        {
            "prompt": (
                "Her hair moves in the wind. The camera moves slowly closer.",
                "她的头发随风飘动，镜头缓缓推近。",
            ),
            **SEED,
        },
        source="LoadImage",
        shows=("SaveVideo", 0, "video"),
    ),
    "SiliconFlowChat": Scene(
        {
            "prompt": (
                "An old tram in the rain: write an image prompt.",
                "写提示词：雨中的老式有轨电车",
            ),
            "system_prompt": (
                "You write prompts for image models. Answer with the prompt alone.",
                "你负责为图像模型写提示词，只输出提示词本身。",
            ),
        },
        shows=TEXT,
    ),
    "SiliconFlowTextToSpeech": Scene(
        {
            "input": (
                "The tide had gone out. Where the harbour had been, there was only sand.",
                "潮水退去了。原来的港口只剩下一片沙滩。",
            ),
            "voice": "claire",
            "speed": 0.95,
        },
        shows=("PreviewAudio", 0, "audio"),
    ),
    "SiliconFlowSpeechToText": Scene(source="EmptyAudio", shows=TEXT),
    "SiliconFlowUploadVoice": Scene(
        {
            "customName": ("narrator", "旁白"),
            "text": ("A red kite over a field of wheat.", "麦田上空的一只红风筝"),
        },
        source="EmptyAudio",
        shows=TEXT,
    ),
    "SiliconFlowVoices": Scene(shows=("PreviewAny", 1, "source")),
    "SiliconFlowDeleteVoice": Scene(),
    "SiliconFlowEmbeddings": Scene(
        {
            "input": (
                "a red kite over the wheat\na kite flies above the field\na ship in the storm",
                "麦田上空的红风筝\n红风筝飞过麦田上空\n暴风雨中的船",
            ),
        },
        shows=("PreviewAny", 3, "source"),
    ),
    "SiliconFlowRerank": Scene(
        {
            "query": ("a quiet morning by the sea", "海边宁静的清晨"),
            "documents": (
                "a storm over the harbour\nearly morning at a calm sea\na tram in the rain",
                "港口上空的暴风雨\n清晨宁静的海边\n雨中的电车",
            ),
        },
        shows=TEXT,
    ),
    "SiliconFlowAccount": Scene(shows=("PreviewAny", 2, "source")),
    "SiliconFlowModels": Scene({"sub_type": "text-to-image"}, shows=("PreviewAny", 1, "source")),
}


def take(page: Page, node_type: str, scene: Scene, language: str) -> None:
    """Build the scene, run it, and save its image."""
    page.clear()
    node = page.add(node_type)
    for name, value in scene.values.items():
        worded = value[LANGUAGES.index(language)] if isinstance(value, tuple) else value
        page.change(node, name, worded)
    stack = [node]
    if scene.source:
        source = page.add(scene.source)
        if scene.source == "EmptyAudio":
            page.change(source, "duration", 3)
        first = page.js("id => app.graph.getNodeById(id).inputs[0].name", node)
        page.link(source, 0, node, first)
        stack.insert(0, source)
    if scene.shows:
        kind, output, name = scene.shows
        shown = page.add(kind)
        page.link(node, output, shown, name)
        if kind not in UNSEEN:
            stack.append(shown)
    if node_type == "SiliconFlowDeleteVoice":
        own = page.options(node, "voice")["values"]
        page.change(node, "voice", own[-1])
    else:
        page.run()
    box = arrange(page, stack)
    page.page.mouse.move(VIEWPORT["width"] - 3, VIEWPORT["height"] - 3)
    page.settle(2)
    file = ROOT / "web" / "docs" / node_type / f"{language}.png"
    content = io.BytesIO(page.page.screenshot(clip=box))
    with Image.open(content) as image:
        image.convert("RGB").quantize(COLORS, dither=Image.Dither.NONE).save(file, optimize=True)
    print(file)  # noqa: T201 - a command


def arrange(page: Page, stack: Sequence[int]) -> Any:
    """Put nodes one below the other, and return the rectangle that they fill in the window."""
    page.js(
        """([ids, width, scale]) => {
            const { ds } = app.canvas;
            for (const node of app.graph._nodes) node.pos = [4000, 0];
            [ds.scale, ds.offset[0], ds.offset[1]] = [scale, 90, 80];
            for (const id of ids) {
                const node = app.graph.getNodeById(id);
                node.setSize([width, node.size[1]]);
                node.pos = [0, 0];
            }
            app.canvas.setDirty(true, true);
        }""",
        [[*stack], WIDTH, SCALE],
    )
    page.settle(4)
    top = 0.0
    for node in stack:
        page.js("([id, y]) => { app.graph.getNodeById(id).pos = [0, y]; }", [node, top])
        page.settle(2)
        box = page.element(node).bounding_box()
        assert box
        top += box["height"] / SCALE + GAP - 30
    boxes = [box for box in (page.element(node).bounding_box() for node in stack) if box]
    left, upper = min(box["x"] for box in boxes), min(box["y"] for box in boxes)
    lower = max(box["y"] + box["height"] for box in boxes)
    return {
        "x": left - MARGIN,
        "y": upper - MARGIN,
        "width": boxes[0]["width"] + 2 * MARGIN,
        "height": lower - upper + 2 * MARGIN,
    }


def main(wanted: Sequence[str]) -> None:
    """Take the images of the named nodes, or of all."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - not everybody has it

    with (
        Simulator(site="cn", balance="100") as service,
        tempfile.TemporaryDirectory() as work,
        Comfy(Path(work) / "comfyui") as comfy,
        sync_playwright() as playwright,
        launch(playwright) as browser,
    ):
        comfy.start(variables_for(service))
        # Without the mark, and so without the note on it that a new account gets once.
        comfy.request("POST", "/siliconflow/settings", json={"visible_watermark": False})
        for language in LANGUAGES:
            page = Page(browser, comfy, "nodes2", language)
            page.page.set_viewport_size(VIEWPORT)
            page.setting("Comfy.Node.AlwaysShowAdvancedWidgets", False)
            page.setting("Comfy.LinkRenderMode", NO_LINKS)
            for node_type, scene in SCENES.items():
                if node_type in wanted or not wanted:
                    take(page, node_type, scene, language)
            page.close()


if __name__ == "__main__":
    main(sys.argv[1:])
