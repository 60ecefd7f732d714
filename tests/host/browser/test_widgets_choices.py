"""Lists of choices: models in groups and by name, sizes by shape, faults marked where they are."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from comfyui_siliconflow.tests.host.browser.conftest import LANGUAGES
from comfyui_siliconflow.tests.host.browser.page import MIDDLE_OF_WIDGET, Page
from comfyui_siliconflow.tests.host.browser.words import words
from comfyui_siliconflow.tests.host.comfy import Comfy

CLICKS = 3
DRAW, CHAT, EDIT = "SiliconFlowTextToImage", "SiliconFlowChat", "SiliconFlowImageEdit"
KOLORS, QWEN, PRO = "Kwai-Kolors/Kolors", "Qwen/Qwen-Image", "black-forest-labs/FLUX-1.1-pro"
BLIND, FREE = "deepseek-ai/DeepSeek-V3", "Qwen/Qwen3.5-4B"
GROUPS = ("page.models.group_elsewhere_com", "page.models.group_retired")

pytestmark = pytest.mark.parametrize("language", LANGUAGES, scope="module")


@pytest.fixture(scope="module", autouse=True)
def never_asked(comfy: Comfy) -> None:
    """Forget what the account has, which runs of other tests asked for: the catalogue counts."""
    (comfy.folder / "user" / "__siliconflow" / "models.json").unlink(missing_ok=True)


@pytest.fixture
def page(page: Page) -> Page:
    return page


def entries(page: Page, node: int, widget: str) -> list[str]:
    """Open a widget's list, read it, and leave it open. A page under load may miss a click."""
    options = page.page.locator("[role=option]:visible, .litecontextmenu .litemenu-entry:visible")
    for _ in range(CLICKS):
        if page.look == "nodes2":
            row = page.element(node).locator(".lg-node-widget")
            at = page.visible(node).index(widget)
            row.nth(at).locator("[role=combobox]").first.click()
        else:
            page.page.mouse.click(*page.js(MIDDLE_OF_WIDGET, [node, widget]))
        with suppress(_missed()):
            options.first.wait_for(timeout=4000)
            break
    return [text.strip() for text in options.all_inner_texts()]


def _missed() -> type[Exception]:
    from playwright.sync_api import TimeoutError as Missed  # noqa: PLC0415 - not everybody has it

    missed: type[Exception] = Missed
    return missed


def label_of(page: Page, node: int, widget: str) -> str:
    """Return what stands at a widget."""
    label: str = page.js(
        "([id, name]) => { const w = app.graph.getNodeById(id).widgets"
        ".find(w => w.name === name); return w.label ?? w.name; }",
        [node, widget],
    )
    if page.look == "nodes2":
        assert label in page.element(node).inner_text()
    return label


def test_models_are_in_groups_and_by_name_and_saved_by_id(page: Page, shots: Path) -> None:
    node = page.add(DRAW)
    page.fit()
    shown = entries(page, node, "model")
    page.page.screenshot(path=shots / f"models-{page.look}-{page.language}.png")
    assert shown[:3] == ["Kolors", "Z-Image-Turbo", "Qwen-Image"]
    lines = [f"── {words(key, page.language)} ──" for key in GROUPS]
    assert [text for text in shown if "──" in text] == lines
    assert shown.index("FLUX-1.1-pro") > shown.index(lines[0])
    page.page.keyboard.press("Escape")
    page.page.mouse.click(800, 980)
    page.choose(node, "model", PRO)
    assert page.values(node)["model"] == PRO
    assert page.exported()[str(node)]["inputs"]["model"] == PRO
    assert page.saved()["nodes"][0]["widgets_values"][0] == PRO


def test_what_the_key_cannot_use_has_a_badge_at_once(page: Page) -> None:
    node = page.add(DRAW)
    badge = words("page.models.elsewhere_com", page.language)
    assert badge not in page.badges(node)
    page.change(node, "model", PRO)
    assert badge in page.badges(node)
    page.change(node, "model", KOLORS)
    assert badge not in page.badges(node)


def test_a_line_between_models_cannot_be_chosen(page: Page) -> None:
    node = page.add(DRAW)
    page.fit()
    page.change(node, "model", QWEN)
    entries(page, node, "model")
    line = f"── {words(GROUPS[0], page.language)} ──"
    if page.look == "nodes2":
        page.page.locator("[role=option]:visible", has_text=line).click()
    else:
        page.page.locator(".litemenu-entry", has_text=line).click(force=True)
    page.settle(2)
    assert page.values(node)["model"] == QWEN


@pytest.mark.parametrize("look", ["classic"])
def test_the_arrows_of_a_widget_step_over_a_line(page: Page) -> None:
    node = page.add(DRAW)
    offered = page.options(node, "model")["values"]
    at = next(place for place, value in enumerate(offered) if value.startswith("──"))
    step = "([id, by]) => { const node = app.graph.getNodeById(id); const w = node.widgets[0];"
    step += " w[by]({e: {}, node, canvas: app.canvas}); }"
    page.change(node, "model", offered[at - 1])
    page.js(step, [node, "incrementValue"])
    assert page.values(node)["model"] == offered[at + 1]
    page.js(step, [node, "decrementValue"])
    assert page.values(node)["model"] == offered[at - 1]


def test_sizes_are_shown_by_shape_and_saved_as_they_are(page: Page, shots: Path) -> None:
    auto = words("page.choice.auto", page.language)
    node = page.add(DRAW)
    page.fit()
    shown = entries(page, node, "image_size")
    page.page.screenshot(path=shots / f"sizes-{page.look}-{page.language}.png")
    assert shown[:3] == [auto, "1:1 · 1024×1024", "4:3 · 1280×960"]
    assert "9:16 · 720×1280" in shown, "Kolors takes any size, so each is offered turned"
    page.page.keyboard.press("Escape")
    page.page.mouse.click(800, 980)
    page.choose(node, "image_size", "1280x960")
    assert page.exported()[str(node)]["inputs"]["image_size"] == "1280x960"
    page.change(node, "model", QWEN)
    assert page.label(node, "image_size", "1472x1140") == "4:3 · 1472×1140"


def test_an_image_for_a_model_that_sees_none_is_marked_at_once(page: Page) -> None:
    node, source = page.add(CHAT), page.add("EmptyImage", (-300, 200))
    page.fit()
    name = words("input.image.name", page.language)
    marked = words("page.models.unused_linked", page.language, name=name)
    assert page.slots(node)[0] == name
    page.change(node, "model", BLIND)
    assert page.slots(node)[0] == words("page.models.unused", page.language, name=name)
    page.link(source, 0, node, "image")
    assert page.slots(node)[0] == marked
    page.change(node, "model", FREE)
    assert page.slots(node)[0] == name


def test_a_size_off_the_models_list_is_marked_on_its_field(page: Page, shots: Path) -> None:
    """As in a workflow that was written elsewhere: the page never changes what is saved."""
    node = page.add(DRAW)
    name = words("input.image_size.name", page.language)
    assert label_of(page, node, "image_size") == name
    workflow = page.saved()
    values = workflow["nodes"][0]["widgets_values"]
    at = values.index(page.values(node)["image_size"])
    values[at] = "1472x1140"
    workflow["nodes"][0].get("widgets_values_named", {}).pop("image_size", None)
    page.load(workflow)
    page.fit()
    page.shot(shots / f"off-list-{page.look}-{page.language}.png")
    assert page.values(node)["image_size"] == "1472x1140"
    marked = words("page.models.not_taken", page.language, name=name)
    assert label_of(page, node, "image_size") == marked
    page.change(node, "model", QWEN)
    assert label_of(page, node, "image_size") == name


def test_chat_starts_with_a_free_model_that_sees(page: Page) -> None:
    node = page.add(CHAT)
    assert page.values(node)["model"] == FREE
    model = next(
        each
        for each in page.comfy.get("/siliconflow/catalogue").json()["nodes"][CHAT]["models"]
        if each["id"] == FREE
    )
    assert (model["price"]["input"], model["price"]["output"]) == (0, 0)
    assert model["images"]
