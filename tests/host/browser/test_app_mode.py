"""The template that opens as an app: its fields at the side, what becomes of it in the middle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.tests.host.browser.conftest import LANGUAGES
from comfyui_siliconflow.tests.host.browser.page import Page
from comfyui_siliconflow.tests.host.browser.words import words
from comfyui_siliconflow.tests.host.graphs import Json

NAME = "Describe an image and redraw it"
DRAW = "SiliconFlowTextToImage"
IMAGE = {"en": "image", "zh": "图像"}
"""What ComfyUI calls the list of its own Load Image."""
FIELDS = ("prompt", "image_size", "seed")
WARNING = '[data-testid="linear-validation-warning"]'
"""ComfyUI's own message above the Run button, which says less."""
RUN_MS = 60_000


@pytest.fixture
def app(
    open_page: Callable[..., Page], look: str, language: str, load: Callable[[str], Json]
) -> Page:
    """Return a page with the template, never run before, and the welcome to apps closed."""
    page = open_page(look, language)
    if not page.page.get_by_test_id("view-mode-toggle").count():
        pytest.skip("this ComfyUI has no apps")
    page.load(load(NAME), NAME)
    page.page.get_by_test_id("linear-widgets").wait_for()
    welcome = page.page.get_by_test_id("coach-landing")
    if welcome.count():
        page.page.keyboard.press("Escape")
        welcome.wait_for(state="detached")
    return page


def run(app: Page) -> None:
    """Give the image another seed and press Run."""
    (node,) = app.ids(DRAW)
    app.change(node, "seed", app.js("() => Math.floor(Math.random() * 1e9)"))
    app.page.get_by_test_id("linear-run-button-icon").click()


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.usefixtures("service")
def test_it_opens_with_its_fields_and_shows_its_image(
    app: Page, language: str, shots: Path
) -> None:
    fields = app.page.get_by_test_id("builder-widget-label").all_inner_texts()
    own = [words(f"input.{name}.name", language) for name in FIELDS]
    assert [field.strip() for field in fields] == [IMAGE[language], *own]
    run(app)
    image = app.page.get_by_test_id("linear-center-panel").locator("img[src*=described]")
    image.first.wait_for(timeout=RUN_MS)
    app.shot(shots / f"app-{app.look}-{language}.png")


@pytest.mark.parametrize(("look", "language"), [("classic", "en"), ("nodes2", "zh")])
def test_a_failure_leaves_the_fields_and_the_button_free(
    app: Page, language: str, service: Simulator, shots: Path
) -> None:
    service.fail(403, body="balance-403")
    run(app)
    card, show = app.page.locator(".sf-failure"), words("page.failure.show_node", language)
    card.wait_for(timeout=RUN_MS)
    app.shot(shots / f"app-failed-{app.look}-{language}.png")
    assert words("error.InsufficientBalance.what", language) in card.inner_text()
    app.wait_for(f"() => !document.querySelector(`{WARNING}`)?.checkVisibility()")
    assert card.get_by_role("button", name=show).count() == 0, "there are no nodes"
    box, panel = card.bounding_box(), app.page.get_by_test_id("linear-widgets").bounding_box()
    assert box
    assert panel
    assert box["x"] + box["width"] <= panel["x"]
