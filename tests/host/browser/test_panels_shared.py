"""A ComfyUI of several users: the panels say what they do not show, and go on saying it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.tests.host.browser.page import Page
from comfyui_siliconflow.tests.host.browser.panels import draw
from comfyui_siliconflow.tests.host.comfy import Comfy, variables_for

CHANGED = """async () => {
  const { api } = await import('/scripts/api.js');
  api.dispatchEvent(new CustomEvent('siliconflow.settings', { detail: {} }));
}"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, running_service: Simulator) -> Iterator[Comfy]:
    """Start a ComfyUI with --multi-user."""
    with Comfy(tmp_path_factory.mktemp("shared"), "--multi-user") as comfy:
        comfy.start(variables_for(running_service))
        yield comfy


def test_the_list_of_jobs_says_why_it_is_empty_whatever_happens(
    open_page: Callable[..., Page], shared: Comfy
) -> None:
    page = open_page(on=shared, user=shared.post("/users", {"username": "ann"}).json())
    page.command("SiliconFlow.ShowJobs")
    explained = page.page.get_by_text("they are not shown to anyone")
    explained.wait_for()
    page.js(CHANGED)
    page.settle()
    assert explained.count() == 1
    draw(page, "An image on a shared server")
    assert page.run().status == "success"
    page.settle()
    assert explained.count() == 1
    assert page.page.locator(".sf-job").count() == 0
