"""What it costs is seen on the node, before a large run, under auto-run, and in the panel."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.tests.host.browser.conftest import LANGUAGES
from comfyui_siliconflow.tests.host.browser.page import Page
from comfyui_siliconflow.tests.host.browser.panels import draw
from comfyui_siliconflow.tests.host.browser.words import words
from comfyui_siliconflow.tests.host.comfy import Comfy

QWEN, EDIT = "Qwen/Qwen-Image", "Qwen/Qwen-Image-Edit"
FREE_MODEL = "Kwai-Kolors/Kolors"
SIZES = {"image_size": "custom", "width": 64, "height": 64}
DIALOG = "dialog.sf-dialog"
FREE = {"en": "free", "zh": "免费"}
NEW_WORKFLOW = "() => app.extensionManager.command.execute('Comfy.NewBlankWorkflow')"
MODE = "mode => { app.extensionManager.queueSettings.mode = mode }"

pytestmark = pytest.mark.parametrize("language", LANGUAGES)


@pytest.fixture
def unlimited(comfy: Comfy) -> Iterator[None]:
    """Let auto-runs of other tests of this session count for nothing."""
    comfy.request("POST", "/siliconflow/settings", json={"auto_run_images": 0})
    yield
    comfy.request("POST", "/siliconflow/settings", json={"auto_run_images": 20})


Shot = Callable[[str], object]


@pytest.fixture
def shot(page: Page, shots: Path, look: str, language: str) -> Shot:
    """Take an image of the page in this look and language, to be looked at."""
    return lambda name: page.shot(shots / f"{name}-{look}-{language}.png")


@pytest.fixture
def node(page: Page) -> int:
    """Put a node on the canvas that pays ¥0.30 for what nobody has paid before."""
    prompt = f"A kite {secrets.token_hex(4)}"
    values = {"control_after_generate": "fixed", "seed": 5}
    return draw(page, prompt, **SIZES, **{**values, "model": QWEN})


def test_a_badge_says_what_the_node_costs_as_it_stands(
    page: Page, node: int, comfy: Comfy, shot: Shot, language: str
) -> None:
    def shows(text: str, at: int = node) -> bool:
        return text in page.badges(at)

    assert any("¥0.30" in badge for badge in page.badges(node))
    page.change(node, "batch_size", 4)
    assert shows("4 × ¥0.30 = ¥1.20")
    page.fit()
    shot("badge")
    page.change(node, "model", "Kwai-Kolors/Kolors")
    assert shows(FREE[language])
    page.change(node, "custom_model", "vendor/unheard-of")
    assert not any("¥" in badge for badge in page.badges(node))
    page.change(node, "custom_model", "")
    page.change(node, "model", QWEN)
    comfy.request("POST", "/siliconflow/settings", json={"show_price": False})
    try:
        page.settle(2)
        assert not any("¥" in badge for badge in page.badges(node))
    finally:
        comfy.request("POST", "/siliconflow/settings", json={"show_price": True})
    page.settle(2)
    assert shows("4 × ¥0.30 = ¥1.20")
    comfy.request("POST", "/siliconflow/settings", json={"prices": {QWEN: 0.25}})
    try:
        page.settle(2)
        assert shows("4 × ¥0.25 = ¥1.00")
    finally:
        comfy.request("POST", "/siliconflow/settings", json={"prices": {}})
    page.settle(2)
    assert shows("4 × ¥0.30 = ¥1.20")


def test_a_badge_counts_the_frames_that_other_nodes_bring(page: Page, shot: Shot) -> None:
    source, repeat = page.add("EmptyImage", (100, 200)), page.add("RepeatImageBatch", (400, 200))
    edit = page.add("SiliconFlowImageEdit", (750, 200))
    page.change(edit, "model", EDIT)
    page.link(source, 0, repeat, "image")
    page.link(repeat, 0, edit, "image")
    page.change(repeat, "amount", 81)
    assert "81 × ¥0.30 = ¥24.30" in page.badges(edit)
    page.change(source, "batch_size", 2)
    assert "162 × ¥0.30 = ¥48.60" in page.badges(edit)
    page.fit()
    shot("badge-frames")
    page.unlink(repeat, "image")
    page.note_state()
    assert any("¥0.30" in badge and "=" not in badge for badge in page.badges(edit))


def test_a_large_run_is_asked_about_and_goes_ahead(
    page: Page, node: int, service: Simulator, shot: Shot, language: str
) -> None:
    page.change(node, "batch_size", 17)
    page.change(node, "control_after_generate", "randomize")
    page.change(node, "prompt", "A {red|green|blue|black|white|grey} kite " + secrets.token_hex(4))
    before = len(service.generations)
    assert page.run().status == "error"
    dialog = page.page.locator(DIALOG)
    dialog.wait_for()
    assert "¥5.10" in dialog.inner_text()
    assert "17" in dialog.inner_text()
    for unneeded in ("queue the same again", "再次运行"):  # there is a button for it
        assert unneeded not in dialog.inner_text()
    shot("confirm")
    assert len(service.generations) == before
    assert page.page.locator(".sf-failure").count() == 0
    names = {"en": ("Cancel", "Go ahead"), "zh": ("取消", "继续")}[language]
    assert dialog.get_by_role("button", name=names[0]).is_visible()
    with page.page.expect_response(lambda r: r.url.split("?")[0].endswith("/prompt")):
        dialog.get_by_role("button", name=names[1]).click()
    page.comfy.wait_for(lambda: len(service.generations) == before + 17)
    assert dialog.count() == 0


@pytest.fixture
def careful(comfy: Comfy) -> Iterator[None]:
    """Let the user be asked above two images."""
    comfy.request("POST", "/siliconflow/settings", json={"confirm_images": 2})
    yield
    comfy.request("POST", "/siliconflow/settings", json={"confirm_images": 16})


@pytest.mark.usefixtures("careful")
@pytest.mark.parametrize(
    ("control", "paid"),
    [
        ("increment", 5),  # from 5, from 6 and from 7: none is paid twice
        ("randomize", 9),
    ],
)
def test_a_batch_of_prompts_is_asked_about_once_and_goes_ahead_together(  # noqa: PLR0917
    page: Page, node: int, service: Simulator, shot: Shot, language: str, control: str, paid: int
) -> None:
    page.change(node, "batch_size", 3)
    page.change(node, "control_after_generate", control)
    before = len(service.generations)
    page.js("() => { app.queuePrompt(0, 3) }")
    dialog = page.page.locator(DIALOG)
    go_ahead = words("page.action.go_ahead_all", language, n=3)
    dialog.get_by_role("button", name=go_ahead).wait_for(timeout=30_000)
    shot("confirm-batch")
    assert words("page.failure.each_run_total", language, n=3, total="¥2.70") in dialog.inner_text()
    assert dialog.count() == 1
    assert len(service.generations) == before
    with page.page.expect_response(lambda r: r.url.split("?")[0].endswith("/prompt")):
        dialog.get_by_role("button", name=go_ahead).click()
    page.comfy.wait_for(lambda: len(service.generations) == before + paid, 60)
    page.settle(3)
    assert dialog.count() == 0
    seeds = {record.body["seed"] for record in service.generations[before:]}
    assert len(seeds) == paid


def test_cancel_sends_nothing_and_the_next_run_is_asked_about(
    page: Page, node: int, service: Simulator, language: str
) -> None:
    page.change(node, "batch_size", 17)
    before = len(service.generations)
    page.run()
    dialog = page.page.locator(DIALOG)
    dialog.get_by_role("button", name={"en": "Cancel", "zh": "取消"}[language]).click()
    assert dialog.count() == 0
    page.settle(2)
    page.run()
    dialog.wait_for()  # it is asked about again
    assert len(service.generations) == before


CHANGE = "control_after_generate"
FIX = {"en": "Fix seed and prompt", "zh": "固定种子和提示词"}
PROMOTE = """id => {
    const { subgraph } = (app.canvas.graph ?? app.graph).getNodeById(id);
    const [inner] = subgraph._nodes;
    const slot = inner.inputs.find(input => input.name === "seed");
    if (slot.link == null) subgraph.addInput("seed", slot.type).connect(slot, inner);
}"""


def seed_here(page: Page, node: int, seed: int, control: str) -> None:
    page.change(node, "seed", seed)
    page.change(node, CHANGE, control)


def seed_of_another_node(page: Page, node: int, seed: int, control: str) -> None:
    source = page.add("PrimitiveInt", (0, 500))
    page.change(source, "value", seed)
    page.change(source, list(page.values(source))[1], control)
    page.link(source, 0, node, "seed")


def choice_in_prompt(page: Page, node: int, seed: int, control: str) -> None:
    seed_here(page, node, seed, control)
    cat = f"a {{red|blue|green}} cat {secrets.token_hex(4)}"  # that no other test has paid for
    page.change(node, "prompt", cat)


def promoted_seed(page: Page, node: int, seed: int, control: str) -> None:
    seed_here(page, node, seed, control)
    page.select(node)
    before = set(page.ids())
    page.command("Comfy.Graph.ConvertToSubgraph")
    (outer,) = set(page.ids()) - before
    page.js(PROMOTE, outer)
    page.settle(2)


@pytest.mark.usefixtures("unlimited")
@pytest.mark.parametrize(
    ("hold", "seed", "control", "choice"),
    [
        (seed_here, 5, "randomize", {"en": "Run once", "zh": "只运行一次"}),
        (seed_here, 5, "randomize", FIX),
        (seed_here, -1, "fixed", FIX),
        (seed_of_another_node, 5, "randomize", FIX),
        (promoted_seed, 5, "randomize", FIX),
        (promoted_seed, -1, "fixed", FIX),
        (choice_in_prompt, 5, "fixed", FIX),
    ],
)
def test_another_seed_in_each_run_under_run_on_change_costs_one_image(  # noqa: PLR0917
    page: Page,
    node: int,
    service: Simulator,
    shot: Shot,
    language: str,
    hold: Callable[[Page, int, int, str], None],
    seed: int,
    control: str,
    choice: dict[str, str],
) -> None:
    other = page.add("PrimitiveInt", (0, 800))
    hold(page, node, seed, control)
    before = len(service.generations)
    page.js(MODE, "change")
    try:
        page.change(other, "value", 7)
        dialog = page.page.locator(DIALOG)
        dialog.wait_for()
        shot(f"auto-run-{hold.__name__}")
        assert len(service.generations) == before
        dialog.get_by_role("button", name=choice[language]).click()
        page.comfy.wait_for(lambda: len(service.generations) > before)
        page.settle(8)
        assert len(service.generations) == before + 1
        assert dialog.count() == 0
    finally:
        page.js(MODE, "disabled")


@pytest.mark.usefixtures("unlimited")
def test_to_keep_going_is_said_of_one_workflow(
    page: Page, node: int, service: Simulator, language: str
) -> None:
    dialog = page.page.locator(DIALOG)
    keep_going = {"en": "Keep going", "zh": "继续自动运行"}[language]
    before = len(service.generations)

    def change(node: int) -> None:
        page.change(node, CHANGE, "randomize")
        page.change(page.add("PrimitiveInt", (0, 800)), "value", 7)

    try:
        page.js(MODE, "change")
        change(node)
        dialog.wait_for()
        dialog.get_by_role("button", name=keep_going).click()
        page.comfy.wait_for(lambda: len(service.generations) > before)
        page.js(NEW_WORKFLOW)
        page.wait_for("() => !(app.canvas.graph ?? app.graph)._nodes.length")
        change(draw(page, f"A kite {secrets.token_hex(4)}", **SIZES, model=QWEN))
        dialog.wait_for()
    finally:
        page.js(MODE, "disabled")


@pytest.mark.usefixtures("unlimited")
def test_the_panel_says_what_was_spent_by_model(page: Page, node: int, shot: Shot) -> None:
    page.run()
    page.change(node, "seed", 6)
    page.run()
    page.change(node, "seed", 5)
    page.js("() => app.extensionManager.sidebarTab.toggleSidebarTab('siliconflow-jobs')")
    line = page.page.locator(".sf-spend")
    line.wait_for()
    assert "¥" in line.locator("summary").inner_text()
    line.locator("summary").click()
    table = line.locator(".sf-spend-table")
    assert table.get_by_text("Qwen-Image").first.is_visible()
    page.settle()
    shot("spend")
    page.js("() => app.extensionManager.sidebarTab.toggleSidebarTab('siliconflow-jobs')")
    assert node in page.ids()
