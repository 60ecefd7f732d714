"""The examples in the page: found among the templates, laid out well, run, dragged back."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.storage.spend_book import READ_SECONDS
from comfyui_siliconflow.tests.host.browser.page import Page
from comfyui_siliconflow.tests.host.browser.words import words
from comfyui_siliconflow.tests.host.comfy import ROOT, Comfy, Ended
from comfyui_siliconflow.tests.host.graphs import Json

NAMES = sorted(file.stem for file in (ROOT / "example_workflows").glob("*.json"))
ONE_NODE = "Text to image"
DRAW = "SiliconFlowTextToImage"
TOUCHING = 2.0
EDGE = 24.0
"""How far a curve may swing over the side of a node before it seems to be behind it."""

Point = tuple[float, float]
Box = tuple[float, float, float, float]
Load = Callable[[str], Json]


@pytest.fixture
def page(page: Page) -> Iterator[Page]:
    """Return a page that folds advanced widgets away, as it does for everybody."""
    setting = "Comfy.Node.AlwaysShowAdvancedWidgets"
    page.setting(setting, False)
    yield page
    page.setting(setting, True)


@pytest.mark.parametrize("name", NAMES)
def test_no_node_lies_on_another(page: Page, load: Load, shots: Path, name: str) -> None:
    page.load(load(name), name)
    page.fit()
    page.shot(shots / f"example-{page.look}-{name.replace(' ', '-').lower()}.png")
    assert lying_on_another(page) == []


@pytest.mark.parametrize("name", NAMES)
def test_no_two_links_cross_and_none_runs_behind_a_node(page: Page, load: Load, name: str) -> None:
    page.load(load(name), name)
    page.fit()
    assert crossing(page) == []
    assert hidden(page) == []


DRAWN = """() => [...document.querySelectorAll('[role=dialog] img')]
    .filter(i => i.naturalWidth && i.clientWidth > 100).map(i => i.alt)"""

LINES = """() => {
    const { ds, canvas } = app.canvas, top = canvas.getBoundingClientRect().top;
    const end = (node, isInput, slot) => {
        const [x, y] = node.getConnectionPos(isInput, slot);
        const key = `${node.id}-${isInput ? 'in' : 'out'}-${slot}`;
        const drawn = document.querySelector(`[data-slot-key="${key}"]`)?.getBoundingClientRect();
        if (!drawn?.height) return [x, y];
        return [x, (drawn.top + drawn.height / 2 - top) / ds.scale - ds.offset[1]];
    };
    return [...app.graph.links.values()].filter(l => !l.parentId).map(l => [
        end(app.graph.getNodeById(l.origin_id), false, l.origin_slot),
        end(app.graph.getNodeById(l.target_id), true, l.target_slot)]);
}"""
"""Both ends of each link, in the graph's own measure; those led around by hand are left out.

The first Nodes 2.0 tell a wrong height of a widget's socket: what is drawn counts.
"""

BOXES = """() => app.graph._nodes.map(n =>
    [n.type, n.pos[0], n.pos[1] - LiteGraph.NODE_TITLE_HEIGHT,
     n.pos[0] + n.size[0], n.pos[1] + n.size[1]])"""


IMAGES_SEEN = """ids => ids.every(id => {
    const element = document.querySelector(`[data-node-id="${id}"]`);
    const drawn = element ? [...element.querySelectorAll('img')]
        : app.graph.getNodeById(id).imgs ?? [];
    return drawn.length && drawn.every(i => i.complete && i.naturalWidth);
})"""


def lying_on_another(page: Page) -> list[Any]:
    """Return the pairs of nodes that overlap as drawn, with their boxes."""
    boxes = {node: page.box(node) for node in page.ids()}
    return [
        (one, other, boxes[one], boxes[other])
        for one, other in combinations(boxes, 2)
        if not are_apart(boxes[one], boxes[other])
    ]


def are_apart(one: Box, other: Box) -> bool:
    """Return whether two boxes at most touch."""
    (left, top, right, bottom), (left2, top2, right2, bottom2) = one, other
    beside = right <= left2 + TOUCHING or right2 <= left + TOUCHING
    return beside or bottom <= top2 + TOUCHING or bottom2 <= top + TOUCHING


def crossing(page: Page) -> list[Any]:
    """Return the pairs of links that cross."""
    return [pair for pair in combinations(page.js(LINES), 2) if crosses(*pair[0], *pair[1])]


def hidden(page: Page) -> list[Any]:
    """Return the links that run behind a node, each with the box of that node."""
    lines: list[tuple[Point, Point]] = page.js(LINES)
    boxes = page.js(BOXES)
    return [(line, box) for line in lines for box in boxes if runs_behind(*line, box)]


def runs_behind(start: Point, end: Point, box: tuple[str, float, float, float, float]) -> bool:
    """Return whether the curve that ComfyUI draws between two points goes through a node's box."""
    _, left, top, right, bottom = box
    (x1, y1), (x2, y2) = start, end
    reach = math.hypot(x2 - x1, y2 - y1) / 4
    for step in range(1, 64):
        t = step / 64
        a, b, c, d = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3
        x, y = a * x1 + b * (x1 + reach) + c * (x2 - reach) + d * x2, (a + b) * y1 + (c + d) * y2
        if left + EDGE < x < right - EDGE and top < y < bottom:
            return True
    return False


def crosses(a: Point, b: Point, c: Point, d: Point) -> bool:
    """Return whether two lines cross; lines that share an end do not."""

    def side(p: Point, q: Point, r: Point) -> float:
        return (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])

    return side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0


@pytest.mark.parametrize("name", NAMES)
def test_an_example_runs_from_the_page(
    page: Page, load: Load, service: Simulator, shots: Path, name: str
) -> None:
    """And there is room for what it shows then: a node grows for its image."""
    service.latency = 0.0
    workflow = load(name)
    workflow["extra"]["linearMode"] = False  # one opens as an app, which hides the graph
    page.load(workflow, name)
    page.fit()
    ended = page.run()
    if "Please confirm" in str(ended.entry["status"]):  # dear ones are asked about once
        page.page.wait_for_timeout(READ_SECONDS * 1000)
        ended = page.run()
    assert ended.status == "success", ended.entry["status"]
    assert ended.entry["outputs"]
    page.wait_for(IMAGES_SEEN, with_images(ended))
    page.fit()
    page.shot(shots / f"example-ran-{page.look}-{name.replace(' ', '-').lower()}.png")
    assert lying_on_another(page) == []
    assert crossing(page) == []
    assert hidden(page) == []


def with_images(ended: Ended) -> list[str]:
    """Name the nodes that a run gave an image to show."""
    outputs: dict[str, Json] = ended.entry["outputs"]
    return [
        node
        for node, shown in outputs.items()
        if any(not image["filename"].endswith(".mp4") for image in shown.get("images", []))
    ]


@pytest.mark.parametrize("look", ["classic"])
def test_a_prompt_can_be_read_while_its_image_is_shown_on_the_node(page: Page, load: Load) -> None:
    page.load(load(ONE_NODE), ONE_NODE)
    (node,) = page.ids(DRAW)
    page.fit()
    page.change(node, "seed", int(time.time()))
    assert page.run().status == "success"
    page.wait_for("() => document.querySelector('.sf-status-images img')?.naturalWidth")
    page.settle(3)
    needed, given = page.js(
        """id => { const { element } = app.graph.getNodeById(id).widgets.find(
            w => w.name === 'prompt'); return [element.scrollHeight, element.clientHeight]; }""",
        node,
    )
    assert given >= needed > 0, "all lines of it"


def test_the_examples_are_among_the_templates_with_their_images(page: Page, shots: Path) -> None:
    page.command("Comfy.BrowseTemplates")
    dialog = page.page.locator("[role=dialog]").first
    dialog.get_by_text("comfyui_siliconflow").first.click()
    keys = [re.sub(r"\W+", "_", name).lower() for name in NAMES]
    titles = {words(f"page.template.{key}", "en") for key in keys}
    dialog.get_by_text(NAMES[-1], exact=True).first.wait_for()
    said, drawn = dialog.inner_text(), set()
    assert [title for title in titles if title not in said] == []
    for title in titles:  # an image is drawn as long as it is in sight
        dialog.get_by_text(title, exact=True).first.scroll_into_view_if_needed()
        page.settle(2)
        drawn |= set(page.js(DRAWN))
    page.shot(shots / f"templates-{page.look}.png")
    assert drawn >= titles
    dialog.get_by_text(ONE_NODE, exact=True).first.click()
    page.wait_for("type => app.graph._nodes.some(n => n.type === type)", DRAW)
    page.settle(3)
    assert page.dialogs() == []


@pytest.mark.parametrize("language", ["zh"])
def test_templates_have_titles_in_the_page_s_language(page: Page, shots: Path) -> None:
    page.command("Comfy.BrowseTemplates")
    dialog = page.page.locator("[role=dialog]").first
    dialog.get_by_text("comfyui_siliconflow").first.click()
    title = dialog.get_by_text("文生图", exact=True).first
    title.wait_for()
    assert [name for name in NAMES if name in dialog.inner_text()] == []
    title.scroll_into_view_if_needed()
    page.wait_for(f"title => ({DRAWN})().includes(title)", "文生图")
    page.shot(shots / f"templates-{page.look}-zh.png")
    title.click()
    page.wait_for("type => app.graph._nodes.some(n => n.type === type)", DRAW)
    page.settle(3)
    assert page.dialogs() == []


def test_an_image_dragged_onto_the_page_brings_back_the_workflow_that_made_it(
    page: Page, load: Load
) -> None:
    page.load(load(ONE_NODE), ONE_NODE)
    (node,) = page.ids(DRAW)
    page.change(node, "model", "Kwai-Kolors/Kolors")
    page.change(node, "cfg", 7.5)
    page.change(node, "prompt", f"A kite at {time.time()}")
    values, seen, sent = page.values(node), page.visible(node), page.exported()
    (image,) = page.run().files
    page.clear()
    page.drop(image)
    (again,) = page.ids(DRAW)
    assert page.values(again) == values
    assert page.visible(again) == seen
    assert page.exported() == sent
    page.change(again, "model", "Qwen/Qwen-Image")
    assert page.values(again)["image_size"] == "1584x1056"


def test_a_run_is_cancelled_from_the_page(
    page: Page, load: Load, service: Simulator, comfy: Comfy
) -> None:
    service.latency = 20.0
    page.load(load(ONE_NODE), ONE_NODE)
    (node,) = page.ids(DRAW)
    page.change(node, "seed", int(time.time()))
    before = len(service.generations)
    prompt_id = page.queue()
    comfy.wait_for(lambda: len(service.generations) > before)
    page.command("Comfy.Interrupt")
    ended = comfy.end_of(prompt_id)
    assert ended.message("execution_interrupted")
    assert service.generations[before].status is None
