"""Whatever is done with a node, its values stay: saved, copied, undone, folded, linked, sent."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from comfyui_siliconflow.tests.host.browser.page import Page
from comfyui_siliconflow.tests.host.graphs import Json

DRAW = "SiliconFlowTextToImage"
KOLORS, QWEN = "Kwai-Kolors/Kolors", "Qwen/Qwen-Image"
FLUX = "black-forest-labs/FLUX.1-schnell"

TYPED: Json = {
    "prompt": "A red paper kite",
    "model": QWEN,
    "image_size": "1664x928",
    "num_inference_steps": 60,
    "cfg": 4.5,
    "guidance_scale": 3.5,
    "seed": 4711,
    "batch_size": 3,
    "negative_prompt": "rain",
    "extra_body": '{"x": 1}',
}
"""Values of one node; its model takes some of them, and some are hidden."""


CLONE = """id => {
  const c = app.canvas, menu = c.constructor;
  menu.active_canvas = c;
  menu.onMenuNodeClone(null, null, null, null, c.graph.getNodeById(id));
}"""
"""What "Clone" in a node's menu does."""


@pytest.fixture
def page(page: Page) -> Page:
    return page


@pytest.fixture
def node(page: Page) -> int:
    """Return a node on which a person has worked: typed, and chosen a model that takes less."""
    added = page.add(DRAW)
    type_into(page, added)
    return added


def type_into(page: Page, node: int) -> None:
    for name, value in TYPED.items():
        page.change(node, name, value)
    page.change(node, "model", FLUX)
    page.change(node, "control_after_generate", "fixed")


def restored(page: Page, node: int) -> Json:
    """Choose the first model again and give what was typed, as it stands now."""
    page.change(node, "model", QWEN)
    values = page.values(node)
    return {name: values[name] for name in TYPED}


def test_a_saved_workflow_brings_every_value_back(page: Page, node: int) -> None:
    values, seen, sent = page.values(node), page.visible(node), page.exported()
    page.load(page.saved())
    assert page.values(node) == values
    assert page.visible(node) == seen
    assert page.exported() == sent
    assert restored(page, node) == TYPED


def test_to_load_a_workflow_does_not_change_it(page: Page, node: int) -> None:
    saved = page.saved()
    page.load(saved)
    loaded = page.saved()
    assert loaded["nodes"][0]["widgets_values"] == saved["nodes"][0]["widgets_values"]
    if page.look == "classic":  # some pages stretch what was made in the other look
        assert loaded["nodes"][0]["size"] == pytest.approx(saved["nodes"][0]["size"], abs=2)
    assert page.ids() == [node]


def test_a_page_opened_again_has_every_value(open_page: Callable[..., Page], look: str) -> None:
    first = open_page(look)
    node = first.add(DRAW)
    type_into(first, node)
    saved = first.saved()
    second = open_page(look)
    second.load(saved)
    assert second.values(node) == first.values(node)
    assert second.visible(node) == first.visible(node)
    assert restored(second, node) == TYPED


def test_the_places_of_saved_values_are_those_without_scripts(
    page: Page, open_page: Callable[..., Page], look: str, node: int
) -> None:
    saved = page.saved()
    plain = open_page(look, scripts=False)
    plain.load(saved)
    assert plain.values(node) == page.values(node)
    assert plain.saved()["nodes"][0]["widgets_values"] == saved["nodes"][0]["widgets_values"]


def test_a_copy_has_every_value(page: Page, node: int) -> None:
    page.select(node)
    page.press("Control+c")
    page.press("Control+v")
    (copy,) = set(page.ids()) - {node}
    assert page.values(copy) == page.values(node)
    assert page.visible(copy) == page.visible(node)
    assert restored(page, copy) == TYPED
    assert page.values(node)["model"] == FLUX


def test_a_clone_has_every_value(page: Page, node: int) -> None:
    page.select(node)
    page.js(CLONE, node)
    page.settle(2)
    (clone,) = set(page.ids()) - {node}
    assert page.values(clone) == page.values(node)
    assert page.visible(clone) == page.visible(node)
    assert restored(page, clone) == TYPED


def test_undo_takes_back_a_choice_with_all_that_it_changed(page: Page, node: int) -> None:
    if page.look == "nodes2":  # or 0.8.0 stretches the graph at each undo, which spoils the redo
        page.js("() => { app.graph.extra.workflowRendererVersion = 'Vue' }")
    page.fit()
    page.choose(node, "model", QWEN)
    page.note_state()
    before, seen = page.values(node), page.visible(node)
    page.choose(node, "model", KOLORS)
    page.note_state()
    after, seen_after = page.values(node), page.visible(node)
    assert after["image_size"] == "1024x1024"
    page.press("Control+z")
    assert page.values(node) == before
    assert page.visible(node) == seen
    page.press("Control+y")
    assert page.values(node) == after
    assert page.visible(node) == seen_after
    page.press("Control+z")
    assert restored(page, node) == TYPED


def test_in_a_subgraph_every_value_stays(page: Page, node: int) -> None:
    (sent,) = [entry["inputs"] for entry in page.exported().values()]
    page.select(node)
    page.command("Comfy.Graph.ConvertToSubgraph")
    page.settle(2)
    (inside,) = [entry["inputs"] for entry in page.exported().values()]
    assert inside == sent
    (outer,) = page.ids()
    page.js("id => app.canvas.setGraph(app.graph.getNodeById(id).subgraph)", outer)
    page.settle(3)
    (inner,) = page.ids(DRAW)
    assert "cfg" not in page.visible(inner)
    assert restored(page, inner) == TYPED
    page.js("() => app.canvas.setGraph(app.rootGraph ?? app.graph)")
    page.load(page.saved())
    (again,) = [entry["inputs"] for entry in page.exported().values()]
    assert again["image_size"] == "1664x928"


def test_a_model_that_a_subgraph_takes_changes_no_value(page: Page, node: int) -> None:
    page.change(node, "model", FLUX)
    assert page.values(node)["image_size"] == "1024x1024"
    page.select(node)
    page.command("Comfy.Graph.ConvertToSubgraph")
    page.settle(2)
    (outer,) = page.ids()
    page.js(PROMOTE, outer)
    page.settle(2)
    for _ in range(2):
        (sent,) = [entry["inputs"] for entry in page.exported().values()]
        assert (sent["model"], sent["image_size"]) == (FLUX, "1024x1024")
        page.load(page.saved())


PROMOTE = """id => {
    const { subgraph } = app.graph.getNodeById(id), [inner] = subgraph._nodes;
    const slot = inner.inputs.find(input => input.name === "model");
    subgraph.addInput("model", "COMBO").connect(slot, inner);
}"""


def test_a_linked_widget_is_shown_whatever_the_model(page: Page, node: int) -> None:
    source = page.add("PrimitiveFloat", (-300, 200))
    assert "cfg" not in page.visible(node)
    page.link(source, 0, node, "cfg")
    assert "cfg" in page.visible(node)
    assert page.exported()[str(node)]["inputs"]["cfg"] == [str(source), 0]
    page.load(page.saved())
    assert "cfg" in page.visible(node)
    page.unlink(node, "cfg")
    assert "cfg" not in page.visible(node)
    assert restored(page, node) == TYPED


def test_a_linked_model_shows_everything_until_it_is_unlinked(page: Page, node: int) -> None:
    seen = page.visible(node)
    source = page.add("PrimitiveNode", (-300, 200))
    values = page.values(node)
    page.link(source, 0, node, "model")
    assert page.values(node) == values
    assert {"cfg", "guidance_scale", "raw", "width", "aspect_ratio"} <= set(page.visible(node))
    page.unlink(node, "model")
    page.settle(2)
    assert page.visible(node) == seen
    assert restored(page, node) == TYPED


def test_a_collapsed_node_keeps_its_values(page: Page, node: int) -> None:
    values, seen, sent = page.values(node), page.visible(node), page.exported()
    fold = "id => { app.graph.getNodeById(id).collapse(); }"
    page.js(fold, node)
    page.settle(2)
    assert page.visible(node) == []
    assert page.exported() == sent
    page.load(page.saved())
    assert page.values(node) == values
    page.js(fold, node)
    page.settle(3)
    assert page.visible(node) == seen
    assert restored(page, node) == TYPED


def test_a_node_that_was_folded_has_the_room_that_it_had(page: Page, node: int) -> None:
    size = page.size(node)
    for _ in range(2):
        page.js("id => { app.graph.getNodeById(id).collapse(); }", node)
        page.settle(3)
    assert page.size(node) == pytest.approx(size, abs=2)


def test_the_export_holds_hidden_values_too(page: Page, node: int) -> None:
    sent = page.exported()[str(node)]["inputs"]
    values = page.values(node)
    assert sent["cfg"] == 4.5
    assert {name: values[name] for name in sent} == sent
    assert "siliconflow" not in str(sent)


def test_the_seed_goes_on_as_its_companion_says(page: Page, node: int) -> None:
    page.change(node, "control_after_generate", "increment")
    page.change(node, "extra_body", "")
    source = page.add("PreviewImage", (700, 200))
    page.link(node, 0, source, "images")
    page.change(node, "model", KOLORS)
    page.queue()
    page.wait_for(
        "id => (app.canvas.graph ?? app.graph).getNodeById(id)"
        ".widgets.find(w => w.name === 'seed').value === 4712",
        node,
    )


def test_both_looks_show_the_same_on_the_fly(page: Page, node: int) -> None:
    page.fit()
    seen = set(page.visible(node)) - {"control_after_generate"}
    other = "classic" if page.look == "nodes2" else "nodes2"
    was = page.look
    try:
        page.setting("Comfy.VueNodes.Enabled", other == "nodes2")
        page.look = other
        for _ in range(10):  # a row that is being drawn has no name yet
            page.settle(2)
            if set(page.visible(node)) - {"control_after_generate"} == seen:
                break
        assert set(page.visible(node)) - {"control_after_generate"} == seen
        page.change(node, "model", QWEN)
        assert "cfg" in page.visible(node)
    finally:
        page.look = was
        page.setting("Comfy.VueNodes.Enabled", was == "nodes2")
