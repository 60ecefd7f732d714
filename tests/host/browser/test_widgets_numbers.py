"""Widgets show what will be sent: the chosen model's own numbers, unless the user set others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.tests.host.browser.page import Page
from comfyui_siliconflow.tests.host.graphs import Json

DRAW, EDIT = "SiliconFlowTextToImage", "SiliconFlowImageEdit"
KOLORS, QWEN = "Kwai-Kolors/Kolors", "Qwen/Qwen-Image"
NUMBERS = ("image_size", "num_inference_steps", "guidance_scale", "cfg")
OF_KOLORS, OF_QWEN = ("1024x1024", 20, 7.5, 0), ("1328x1328", 20, -1, 4)


@pytest.fixture
def page(page: Page) -> Page:
    return page


def numbers(page: Page, node: int) -> tuple[object, ...]:
    values = page.values(node)
    return tuple(values[name] for name in NUMBERS)


def test_a_new_node_shows_the_numbers_of_its_model_and_another_model_brings_its_own(
    page: Page, shots: Path
) -> None:
    node = page.add(DRAW)
    page.fit()
    assert numbers(page, node) == OF_KOLORS
    page.shot(shots / f"numbers-kolors-{page.look}.png", node)
    page.choose(node, "model", QWEN)
    assert numbers(page, node) == OF_QWEN
    page.shot(shots / f"numbers-qwen-{page.look}.png", node)
    assert [page.exported()[str(node)]["inputs"][name] for name in NUMBERS] == [*OF_QWEN]
    page.choose(node, "model", KOLORS)
    assert numbers(page, node) == OF_KOLORS


def test_a_number_that_the_user_set_stays_with_any_model(page: Page) -> None:
    node = page.add(DRAW)
    page.fit()
    page.change(node, "num_inference_steps", 30)
    page.choose(node, "model", QWEN)
    assert numbers(page, node) == ("1328x1328", 30, -1, 4)
    page.load(page.saved())
    [loaded] = page.ids()
    page.choose(loaded, "model", KOLORS)
    assert numbers(page, loaded) == ("1024x1024", 30, 7.5, 0)


def test_an_older_workflow_keeps_what_it_left_to_the_model_until_another_is_chosen(
    page: Page,
) -> None:
    node = page.add(DRAW)
    old = dict(zip(NUMBERS, ("auto", 0, -1, 0), strict=True))
    saved = page.saved()
    named: Json = page.values(node)
    saved["nodes"][0]["widgets_values"] = list({**named, **old}.values())
    page.load(saved)
    [loaded] = page.ids()
    assert numbers(page, loaded) == tuple(old.values())
    sent = page.exported()[str(loaded)]["inputs"]
    assert [sent[name] for name in NUMBERS] == list(old.values())
    page.fit()
    page.choose(loaded, "model", QWEN)
    assert numbers(page, loaded) == OF_QWEN


def test_a_model_that_is_written_by_its_id_is_sent_no_number_of_another(page: Page) -> None:
    node = page.add(DRAW)
    page.change(node, "custom_model", "vendor/new")
    assert numbers(page, node) == ("auto", 0, -1, 0)
    page.change(node, "custom_model", "")
    assert numbers(page, node) == OF_KOLORS


def test_a_number_that_stands_for_a_default_nobody_knows_says_so(page: Page, shots: Path) -> None:
    node = page.add(EDIT)
    page.fit()
    page.shot(shots / f"default-{page.look}.png", node)
    assert labels(page, node) >= {
        "num_inference_steps",
        "guidance_scale (default)",
        "cfg (default)",
    }
    page.change(node, "cfg", 4)
    assert "cfg" in labels(page, node)
    page.change(node, "cfg", 0)
    assert "cfg (default)" in labels(page, node)


def labels(page: Page, node: int) -> set[str]:
    """Return what stands at the widgets of a node."""
    shown: list[str] = page.js(
        "id => app.graph.getNodeById(id).widgets.map(w => w.label ?? w.name)", node
    )
    return set(shown)


def test_a_prompt_is_made_of_one_choice_and_without_comments(page: Page) -> None:
    node = page.add(DRAW)
    page.change(node, "prompt", "a {red|blue} kite // no birds\n/* nor clouds */by the sea")
    page.change(node, "negative_prompt", "rain // or snow")
    sent = page.exported()[str(node)]["inputs"]
    words = [" ".join(sent[name].split()) for name in ("prompt", "negative_prompt")]
    assert words[0] in {"a red kite by the sea", "a blue kite by the sea"}
    assert words[1] == "rain"
    assert "{red|blue}" in page.values(node)["prompt"], "the node keeps what was written"


def test_what_a_batch_means_is_a_choice_in_words(
    open_page: Callable[..., Page], look: str, shots: Path
) -> None:
    page = open_page(look, "zh")
    node = page.add(EDIT)
    page.fit()
    assert page.values(node)["batch_means"] == "one edit each"
    assert "参考图" in page.slots(node)
    page.shot(shots / f"edit-{look}.png", node)


def test_a_seed_of_minus_one_runs_again_each_time(page: Page, service: Simulator) -> None:
    node = page.add(DRAW)
    for name, value in {"prompt": "A kite", "seed": -1, "control_after_generate": "fixed"}.items():
        page.change(node, name, value)
    preview = page.add("PreviewImage", at=(700, 200))
    page.link(node, 0, preview, "images")
    before = len(service.generations)
    for _ in range(2):
        assert page.run().status == "success"
    seeds = [record.body["seed"] for record in service.generations[before:]]
    assert len(set(seeds)) == 2
