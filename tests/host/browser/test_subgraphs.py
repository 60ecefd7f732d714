"""A node within subgraphs: what is promoted follows the model, wherever the subgraph goes."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest
from comfyui_siliconflow.tests.host.browser.conftest import LANGUAGES
from comfyui_siliconflow.tests.host.browser.page import Page
from comfyui_siliconflow.tests.host.graphs import Json

DRAW = "SiliconFlowTextToImage"
KOLORS, QWEN = "Kwai-Kolors/Kolors", "Qwen/Qwen-Image"
SIZE = "960x1280"  # Kolors takes it, Qwen-Image does not
QWEN_SIZE, QWEN_CFG = "1328x1328", 4
"""What a node shows when Qwen-Image is chosen."""
PROMOTED = ["model", "image_size", "cfg"]

pytestmark = pytest.mark.parametrize("language", LANGUAGES, scope="module")

PROMOTE = """([id, names]) => {
    const { subgraph } = (app.canvas.graph ?? app.graph).getNodeById(id);
    const [inner] = subgraph._nodes;
    for (const name of names) {
        const slot = inner.inputs.find(input => input.name === name);
        if (slot.link == null) subgraph.addInput(name, slot.type).connect(slot, inner);
    }
}"""
INNERMOST = """id => {
    let node = app.graph.getNodeById(id);
    while (node.isSubgraphNode()) [node] = node.subgraph._nodes;
    return Object.fromEntries(node.widgets.map(widget => [widget.name, widget.value]));
}"""


def wrap(page: Page, node: int) -> int:
    """Make a subgraph of a node that promotes what it can, and give its id."""
    page.select(node)
    before = set(page.ids())
    page.command("Comfy.Graph.ConvertToSubgraph")
    (outer,) = set(page.ids()) - before
    page.js(PROMOTE, [outer, [*PROMOTED, "seed"]])
    page.settle(2)
    return outer


def sent(page: Page) -> Json:
    """Return what would be sent of the one node of ours."""
    (inputs,) = [node["inputs"] for node in page.exported().values() if node["class_type"] == DRAW]
    return {name: inputs[name] for name in PROMOTED}


@pytest.fixture
def drawing(page: Page) -> int:
    """Put a node with a preview on the canvas."""
    node, preview = page.add(DRAW), page.add("PreviewImage", (900, 200))
    page.link(node, 0, preview, "images")
    page.change(node, "prompt", "A kite")
    page.change(node, "model", KOLORS)
    page.change(node, "image_size", SIZE)
    return node


@pytest.mark.parametrize("depth", [1, 2])
def test_what_is_promoted_follows_the_outer_model(
    page: Page, drawing: int, depth: int, shots: Path
) -> None:
    outer = drawing
    if page.look == "nodes2" and page.version.startswith("0.8."):
        pytest.skip("this page's promoted lists take no choice, of ComfyUI's own nodes neither")
    for _ in range(depth):
        outer = wrap(page, outer)
    assert "cfg" not in page.visible(outer)
    height = page.size(outer)[1]
    page.fit()
    page.choose(outer, "model", QWEN)
    assert sent(page) == {"model": QWEN, "image_size": QWEN_SIZE, "cfg": QWEN_CFG}
    assert "cfg" in page.visible(outer)
    assert SIZE not in page.options(outer, "image_size")["values"]
    assert page.size(outer)[1] > height
    inner = page.js(INNERMOST, outer)
    assert (inner["model"], inner["image_size"]) == (QWEN, QWEN_SIZE)
    page.shot(shots / f"subgraph-{page.look}-{page.language}-{depth}.png")

    # What was chosen comes back with the model that takes it, as it does without a subgraph.
    page.choose(outer, "model", KOLORS)
    assert sent(page) == {"model": KOLORS, "image_size": SIZE, "cfg": 0}
    assert "cfg" not in page.visible(outer)
    assert page.size(outer)[1] == pytest.approx(height, abs=1)


@pytest.mark.parametrize("depth", [1, 2])
def test_a_promoted_seed_is_rolled_by_its_control(page: Page, drawing: int, depth: int) -> None:
    outer = drawing
    if page.version.startswith("0.8."):
        pytest.skip("this page rolls nothing that is promoted, of ComfyUI's own nodes neither")
    page.change(drawing, "control_after_generate", "increment")
    page.change(drawing, "seed", 41)
    for _ in range(depth):
        outer = wrap(page, outer)
    assert page.values(outer)["seed"] == 41
    assert page.run().status == "success"
    assert page.values(outer)["seed"] == 42


def test_app_mode_has_no_heading_without_a_field(page: Page, drawing: int) -> None:
    if not page.page.get_by_test_id("view-mode-toggle").count():
        pytest.skip("this ComfyUI has no apps")
    outer = wrap(page, drawing)
    workflow = page.saved()
    (preview,) = page.ids("PreviewImage")
    inputs = [[str(outer), name] for name in ("model", "cfg", "seed")]
    workflow["extra"]["linearData"] = {"inputs": inputs, "outputs": [str(preview)]}
    workflow["extra"]["linearMode"] = True
    page.load(workflow, "an app")
    items = page.page.locator("[data-testid=app-mode-widget-item]:visible")
    page.wait_for(f"() => [...document.querySelectorAll('{ITEM}')].length === 3")
    headings = [item.inner_text().split("\n")[0] for item in items.all()]
    assert headings == ["model", "seed"], "as the subgraph's inputs are named, in any language"
    page.load({**workflow, "extra": {}}, "no app")


ITEM = "[data-testid=app-mode-widget-item]"


def test_a_copy_follows_its_own_model(page: Page, drawing: int) -> None:
    outer = wrap(page, drawing)
    page.select(outer)
    page.press("Control+c")
    page.press("Control+v")
    (preview,) = page.ids("PreviewImage")
    (copy,) = set(page.ids()) - {outer, preview}
    page.change(copy, "model", QWEN)
    assert ("cfg" in page.visible(copy), "cfg" in page.visible(outer)) == (True, False)
    assert page.values(copy)["image_size"] == QWEN_SIZE
    assert (page.values(outer)["model"], page.values(outer)["image_size"]) == (KOLORS, SIZE)


def test_a_subgraph_that_is_saved_or_unpacked_sends_what_it_sent(page: Page, drawing: int) -> None:
    outer = wrap(page, drawing)
    page.change(outer, "model", QWEN)
    expected, size = sent(page), page.size(outer)
    page.load(page.saved())
    assert sent(page) == expected
    assert "cfg" in page.visible(outer)
    page.load(page.saved())
    if page.look != "nodes2" or not page.version.startswith("0.8."):  # which enlarges what it loads
        assert page.size(outer)[1] == pytest.approx(size[1], abs=10)
    page.select(outer)
    page.command("Comfy.Graph.UnpackSubgraph")
    assert sent(page) == expected
    (node,) = page.ids(DRAW)
    assert "cfg" in page.visible(node)


def test_a_subgraph_from_the_library_follows_its_model(page: Page, drawing: int) -> None:
    outer = wrap(page, drawing)
    name = f"Kite {secrets.token_hex(4)}"
    page.select(outer)
    page.js("() => { app.extensionManager.command.execute('Comfy.PublishSubgraph') }")
    page.page.get_by_role("dialog").get_by_role("textbox").fill(name)
    page.page.keyboard.press("Enter")
    page.page.get_by_role("dialog").wait_for(state="detached")
    page.clear()
    added = page.add_by_search(name)
    page.settle(2)
    assert "cfg" not in page.visible(added)
    page.change(added, "model", QWEN)
    assert "cfg" in page.visible(added)
    assert sent(page)["image_size"] == QWEN_SIZE


def test_inputs_that_two_subgraphs_set_differently_are_left_alone(page: Page, drawing: int) -> None:
    """One node stands in both: nobody can say which model its fields are for."""
    outer = wrap(page, drawing)
    other = page.js(
        """id => {
            const node = app.graph.getNodeById(id), twin = LiteGraph.createNode(node.type);
            twin.pos = [200, 700];
            app.graph.add(twin);
            return Number(twin.id);
        }""",
        outer,
    )
    page.settle(2)
    page.change(other, "model", QWEN)
    values = page.values(outer)
    assert (values["model"], values["image_size"]) == (KOLORS, SIZE)
    assert page.js(INNERMOST, outer)["image_size"] == SIZE
