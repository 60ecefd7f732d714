"""Jobs that bring words and speech, and no images: on the list, and when they fail."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.dev.simulator.responses import Place
from comfyui_siliconflow.tests.host.browser.page import Page

if TYPE_CHECKING:
    from playwright.sync_api import Locator

NODES = {
    "SiliconFlowChat": ("prompt", "PreviewAny", "source"),
    "SiliconFlowTextToSpeech": ("input", "PreviewAudio", "audio"),
}
"""By node: which widget says the request, which node shows the result, and at which input."""
ENDPOINTS: dict[str, Place] = {"SiliconFlowChat": "chat", "SiliconFlowTextToSpeech": "speech"}


def add_node(page: Page, node_type: str, words: str) -> None:
    """Put a node on the canvas that says these words."""
    widget, shows, name = NODES[node_type]
    node, preview = page.add(node_type), page.add(shows, (900, 200))
    page.link(node, 0, preview, name)
    page.change(node, widget, words)


def card(page: Page, words: str, state: str) -> Locator:
    """Show the list and wait for the job with these words to be in a state."""
    page.command("SiliconFlow.ShowJobs")
    card = page.page.locator(f".sf-job-{state}", has_text=words).first
    card.wait_for(timeout=30_000)
    return card


@pytest.mark.parametrize("node_type", NODES)
@pytest.mark.parametrize("look", ["classic"])
def test_what_is_no_image_is_not_offered_to_the_canvas(page: Page, node_type: str) -> None:
    words = f"Say it {secrets.token_hex(4)}"
    add_node(page, node_type, words)
    assert page.run().status == "success"
    done = card(page, words, "done")
    assert done.locator("img").count() == 0
    assert done.get_by_role("button", name="Add to canvas").count() == 0
    assert done.get_by_role("button", name="Open workflow").count() == 1
    assert done.locator(".sf-thumb .pi-image").count() == 0, "the sign of an image that is gone"


@pytest.mark.parametrize("node_type", NODES)
@pytest.mark.parametrize("look", ["classic"])
def test_a_failure_is_reported_as_one_of_an_image_is(
    page: Page, node_type: str, service: Simulator
) -> None:
    add_node(page, node_type, f"Say it {secrets.token_hex(4)}")
    service.fail(400, on=ENDPOINTS[node_type])
    assert page.run().status == "error"
    failure = page.page.locator(".sf-failure")
    failure.wait_for()
    assert "Not charged" in failure.inner_text()
    assert "image" not in failure.inner_text()


@pytest.mark.parametrize("look", ["classic"])
def test_an_answer_of_several_lines_has_room_on_the_node(page: Page) -> None:
    """The classic canvas gives what a node says two lines; the facts are the first of them."""
    add_node(
        page,
        "SiliconFlowChat",
        f"A long story {'of a fox in the snow ' * 20}{secrets.token_hex(4)}",
    )
    assert page.run().status == "success"
    (node,) = page.ids("SiliconFlowChat")
    page.fit()  # what is out of sight is not laid out
    page.wait_for(HAS_ROOM, node)


HAS_ROOM = """id => {
    const status = app.graph.getNodeById(id).widgets.find(w => w.name.startsWith('$$siliconflow'));
    return status?.element.innerText.includes(' tokens:\\n') && status.computedHeight > 100;
}"""
