"""The pack's subgraph blueprints, found in the page's search and run."""

from __future__ import annotations

import itertools
import secrets
from pathlib import Path

import pytest
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.tests.host.browser.conftest import LANGUAGES, LOOKS
from comfyui_siliconflow.tests.host.browser.page import Page
from comfyui_siliconflow.tests.host.browser.words import words
from comfyui_siliconflow.tests.host.comfy import ROOT, Comfy

NAMES = sorted(file.stem for file in (ROOT / "subgraphs").glob("*.json"))
OF_ALL = (LOOKS, LANGUAGES, NAMES)
SHARED_OUT = [
    (look, language, name)
    for (a, look), (b, language), (c, name) in itertools.product(*map(enumerate, OF_ALL))
    if (a + b + c) % 2
]
"""Each in both looks and both languages, and some in each look and language."""
IMAGES = {"SiliconFlow Storyboard of Four": 4}
"""How many images a blueprint makes, if more than one."""


@pytest.fixture
def offered(comfy: Comfy) -> list[str]:
    """Return the names of our blueprints in this ComfyUI."""
    answer = comfy.get("/global_subgraphs")
    if answer.status_code != 200:
        pytest.skip("this ComfyUI has no blueprints")
    packs = {"custom_nodes.comfyui_siliconflow"}
    return [each["name"] for each in answer.json().values() if each["info"]["node_pack"] in packs]


def test_the_library_offers_every_one(offered: list[str]) -> None:
    assert NAMES
    assert sorted(offered) == NAMES


@pytest.mark.parametrize(("look", "language", "name"), SHARED_OUT)
@pytest.mark.usefixtures("offered")
def test_it_is_found_and_runs(
    page: Page, service: Simulator, language: str, name: str, shots: Path
) -> None:
    node = page.add_by_search(name)
    page.change(node, "seed", secrets.randbelow(10**9))
    inputs = page.js("id => app.graph.getNodeById(id).inputs.map(i => i.name)", node)
    if "image" in inputs:
        page.link(page.add("LoadImage", (-200, 200)), 0, node, "image")
    if "mask" in inputs:
        page.link(page.add("SolidMask", (-200, 700)), 0, node, "mask")
    outputs = page.js("id => app.graph.getNodeById(id).outputs.map(o => o.type)", node)
    page.link(node, outputs.index("IMAGE"), page.add("PreviewImage", (1200, 200)), "images")
    before = len(service.generations)
    ended = page.run()
    page.fit()
    page.shot(shots / f"blueprint-{page.look}-{language}-{name}.png")
    assert ended.status == "success", ended.entry["status"]
    assert len(ended.files) == IMAGES.get(name, 1)
    assert len(service.generations) == before + IMAGES.get(name, 1)


INNER_CONTROL = """([id, value]) => {
    const [inner] = app.graph.getNodeById(id).subgraph._nodes;
    const control = inner.widgets.find(widget => widget.name === 'control_after_generate');
    if (value) control.value = value;
    return control.value;
}"""
SELECTED = "() => Object.values(app.canvas.selected_nodes).map(node => Number(node.id))"


@pytest.mark.usefixtures("offered")
def test_what_may_have_been_paid_in_it_is_shown_and_run_again_with_its_seed(
    page: Page, service: Simulator
) -> None:
    node = page.add_by_search("SiliconFlow Edit at the Same Size")
    page.link(page.add("LoadImage", (-200, 200)), 0, node, "image")
    page.link(node, 0, page.add("PreviewImage", (1200, 200)), "images")
    page.js(INNER_CONTROL, [node, "randomize"])
    seed = secrets.randbelow(10**9)
    page.change(node, "seed", seed)
    service.fail(500, made=True)
    assert page.run().status == "error"
    card = page.page.locator(".sf-failure")
    card.get_by_role("button", name=words("page.failure.show_node", page.language)).click()
    assert page.js(SELECTED) == [node]
    before = len(service.generations)
    again = words("page.failure.again_seed", page.language, seed=seed)
    card.get_by_role("button", name=again).click()
    page.comfy.wait_for(
        lambda: len(service.generations) > before and service.generations[-1].status == 200
    )
    assert service.generations[-1].body["seed"] == seed
    assert page.values(node)["seed"] == seed
    assert page.js(INNER_CONTROL, [node, ""]) == "fixed"
