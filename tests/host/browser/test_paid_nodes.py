"""Paid nodes look like ComfyUI's own: colour, mark and price in the title, little that is open."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from comfyui_siliconflow.tests.host.browser.conftest import LANGUAGES
from comfyui_siliconflow.tests.host.browser.page import Page
from comfyui_siliconflow.tests.host.browser.words import words

DRAW, CHAT, LOOKUP = "SiliconFlowTextToImage", "SiliconFlowChat", "SiliconFlowVoices"
PAID = "FluxProUltraImageNode"
PRICE_OF_FOUR = "4 × ¥0.30 = ¥1.20"
PRICE = ".sf-price"
HEADER = ".lg-node-header"
MARK = """id => {
  const badges = app.graph.getNodeById(id).badges.map(b => (typeof b === 'function' ? b() : b));
  const image = badges.find(b => b.text.includes('¥1.20')).icon.image;
  return image.complete && image.naturalWidth > 0;
}"""
MOST_HEIGHT = 90
SMALL = ("seed", "info")
BOXES = """id => [...document.querySelectorAll(`[data-node-id="${id}"] textarea`)]
    .map(box => box.offsetHeight)"""
SIZES = "all => all.map(e => [e.innerText, getComputedStyle(e).fontSize])"
TITLE_PRICE = """id => {
  const header = document.querySelector(`[data-node-id="${id}"] .lg-node-header`);
  const price = header.querySelector('.sf-price');
  return price?.innerText
    ?? getComputedStyle(header.querySelector(':scope > div'), '::after').content;
}"""
COLLAPSE = "() => { for (const node of app.graph.nodes) node.collapse(); }"
FONTS = """id => app.graph.getNodeById(id).outputs.map(output => {
  const fonts = [], context = document.createElement('canvas').getContext('2d');
  context.font = '12px sans-serif';
  const { fillText } = context;
  context.fillText = function (...rest) { fonts.push(context.font); fillText.apply(this, rest); };
  const color = () => '#fff';
  const colorContext = { defaultInputColor: '', defaultOutputColor: '', getConnectedColor: color,
    getDisconnectedColor: color };
  output.draw(context, { colorContext, labelPosition: 'left' });
  return [output.localized_name, fonts[0]];
})"""


@pytest.fixture
def folded(page: Page) -> Iterator[Page]:
    """Return a page that folds advanced widgets away, as it does for everybody."""
    setting = "Comfy.Node.AlwaysShowAdvancedWidgets"
    page.setting(setting, False)
    yield page
    page.setting(setting, True)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_paid_node_has_the_colour_of_comfyuis_own_and_one_of_the_users_stays(
    folded: Page, shots: Path
) -> None:
    page = folded
    drawing, chat, lookup = (
        page.add(DRAW, (0, 0)),
        page.add(CHAT, (450, 0)),
        page.add(LOOKUP, (900, 0)),
    )
    comfys = page.add(PAID, (900, 200))
    color = "id => app.graph.getNodeById(id).color ?? null"
    page.fit()
    page.shot(shots / f"paid-{page.look}-{page.language}.png")
    assert page.js(color, drawing) == page.js(color, chat) == page.js(color, comfys) is not None
    assert page.js(color, lookup) is None
    if page.look == "nodes2" and not page.version.startswith("0.8."):  # which folds nothing
        assert "num_inference_steps" not in page.visible(drawing)
        assert "seed" in page.visible(drawing)
    page.js("id => { app.graph.getNodeById(id).color = '#223' }", chat)
    page.load(page.saved())
    assert page.js(color, chat) == "#223"


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_price_is_in_the_title_with_a_mark_where_comfyuis_own_is(
    folded: Page, shots: Path
) -> None:
    page = folded
    node = page.add(DRAW, (0, 0))
    page.change(node, "model", "Qwen/Qwen-Image")
    page.change(node, "batch_size", 4)
    page.add(PAID, (450, 0))
    page.fit()
    page.shot(shots / f"price-{page.look}-{page.language}.png")
    assert PRICE_OF_FOUR in page.badges(node)
    assert page.js(MARK, node)
    if page.look == "nodes2":
        title = page.element(node).get_by_test_id("node-title").bounding_box()
        price = page.element(node).locator(PRICE).bounding_box()
        header = page.element(node).locator(HEADER).bounding_box()
        assert title
        assert price
        assert header
        assert price["y"] + price["height"] <= header["y"] + header["height"] + 1
        assert title["x"] + title["width"] <= price["x"], "neither lies on the other"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_collapsed_node_keeps_its_price_in_the_title(page: Page, shots: Path) -> None:
    node, free = page.add(DRAW, (0, 0)), page.add("LoadImage", (900, 0))
    page.change(node, "model", "Qwen/Qwen-Image")
    page.add(PAID, (450, 0))
    page.fit()
    page.js(COLLAPSE)
    page.change(node, "batch_size", 4)
    page.shot(shots / f"collapsed-{page.look}-{page.language}.png")
    if page.look == "classic":
        assert PRICE_OF_FOUR in page.badges(node)
        return
    assert page.turns(f"id => ({TITLE_PRICE})(id).includes({PRICE_OF_FOUR!r})", node)
    assert page.js(TITLE_PRICE, free) == "none"


RULES = '1"]{} body{--from-a-workflow:1} [a="'
"""An id that holds rules of a style sheet."""
PRICED = """id => {
  const element = document.createElement('div');
  element.dataset.nodeId = id;
  return document.adoptedStyleSheets.flatMap(sheet => [...sheet.cssRules])
    .filter(rule => rule.style?.getPropertyValue('--sf-collapsed-price'))
    .map(rule => element.matches(rule.selectorText));
}"""


@pytest.mark.parametrize("look", ["classic"])
def test_an_id_in_a_workflow_is_no_rule_of_a_style_sheet(page: Page) -> None:
    node = page.add(DRAW)
    page.change(node, "model", "Qwen/Qwen-Image")
    workflow = page.saved()
    workflow["nodes"][0]["id"] = RULES
    page.load(workflow)
    page.wait_for(f"id => ({PRICED})(id).length === 1", RULES)
    on_body = "() => getComputedStyle(document.body).getPropertyValue('--from-a-workflow')"
    assert page.js(on_body) == ""
    assert page.js(PRICED, RULES) == [True]


@pytest.mark.parametrize("language", LANGUAGES)
def test_outputs_that_few_connect_are_small_in_a_saved_workflow_too(folded: Page) -> None:
    page = folded
    node = page.add(DRAW)
    for _ in range(2):
        if page.look == "nodes2":
            slots = page.element(node).locator(".lg-slot--output")
            sizes = slots.evaluate_all(SIZES)
        else:
            sizes = page.js(FONTS, node)
        small = {name.strip() for name, font in sizes if font.startswith("10px")}
        assert small == {words(f"output.{name}.name", page.language) for name in SMALL}
        assert len(sizes) > len(small)
        page.load(page.saved())


@pytest.mark.parametrize("look", ["nodes2"])
@pytest.mark.parametrize("node_type", [DRAW, CHAT, "SiliconFlowImageEdit"])
def test_a_new_node_has_no_room_for_what_is_folded_away(folded: Page, node_type: str) -> None:
    """Its text boxes would fill it."""
    page = folded
    node = page.add(node_type)
    page.settle()
    heights = page.js(BOXES, node)
    assert heights
    assert max(heights) < MOST_HEIGHT
    page.change(node, "model", page.options(node, "model")["values"][1])
    assert max(page.js(BOXES, node)) < MOST_HEIGHT
