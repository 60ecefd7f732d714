"""After the list of models was asked for: what is new, and what the account lacks."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.tests.host.browser.page import Page
from comfyui_siliconflow.tests.host.comfy import Comfy, variables_for
from comfyui_siliconflow.tests.waiting import until

DRAW = "SiliconFlowTextToImage"
NEW, KNOWN = "Someone/New-Model", "Kwai-Kolors/Kolors"
GUESSED = "Qwen/Qwen-Image-2"
OTHER_SITE_S = "black-forest-labs/FLUX-1.1-pro"
WORDS = {
    "en": {
        "new": "new model",
        "guessed": "new model, settings guessed from Qwen-Image",
        "missing": "not on your account",
        "unlisted": "not in the list",
        "toast": "Model list refreshed",
    },
    "zh": {
        "new": "新模型",
        "guessed": "新模型，参数按 Qwen-Image 推测",
        "missing": "账户中没有",
        "unlisted": "不在列表中",
        "toast": "模型列表已刷新",
    },
}


@pytest.fixture(scope="module")
def account() -> Iterator[Simulator]:
    """Serve two models more than the catalogue has, one of a family, and none of the other site."""
    with Simulator(site="cn") as started:
        started.add_model(NEW, {"type": "object"})
        started.add_model(GUESSED, {"type": "object"}, ("text-to-image",))
        yield started


@pytest.fixture(scope="module")
def beginning(tmp_path_factory: pytest.TempPathFactory, account: Simulator) -> Iterator[Comfy]:
    """Start a ComfyUI of its own: what it remembers of the account concerns no other test."""
    with Comfy(tmp_path_factory.mktemp("refreshed")) as comfy:
        comfy.start(variables_for(account))
        yield comfy


@pytest.fixture
def page(
    open_page: Callable[..., Page], beginning: Comfy, account: Simulator, look: str, language: str
) -> Page:
    """Return a page of a ComfyUI that has never asked for the list."""
    (beginning.folder / "user" / "__siliconflow" / "models.json").unlink(missing_ok=True)
    before = len(account.requests)
    opened = open_page(look, language, on=beginning)
    assert len(account.requests) == before, "nobody asks for the list when a page opens"
    return opened


def refresh(page: Page) -> None:
    page.command("SiliconFlow.RefreshModels")
    page.page.get_by_text(WORDS[page.language]["toast"]).first.wait_for()
    page.settle(2)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_new_models_and_those_that_the_account_lacks_are_marked(page: Page) -> None:
    words = WORDS[page.language]
    node = page.add(DRAW)
    assert NEW not in page.options(node, "model")["values"]
    refresh(page)
    offered = page.options(node, "model")["values"]
    assert {NEW, KNOWN, OTHER_SITE_S} <= set(offered), "what the account lacks can still be chosen"
    assert offered.index(OTHER_SITE_S) > max(map(offered.index, (NEW, GUESSED, KNOWN)))
    marked = ((NEW, "new"), (GUESSED, "guessed"), (OTHER_SITE_S, "missing"))
    for model, said in (*((model, words[mark]) for model, mark in marked), (KNOWN, None)):
        page.change(node, "model", model)
        page.settle(2)
        shown = {*page.badges(node)} & set(words.values())
        assert shown == ({said} if said else set()), model


def test_a_guessed_model_shows_the_fields_of_its_family_and_by_its_id_all(page: Page) -> None:
    refresh(page)
    node = page.add(DRAW)
    page.change(node, "model", "Qwen/Qwen-Image")
    of_family = page.visible(node)
    page.change(node, "model", GUESSED)
    assert page.visible(node) == of_family
    page.change(node, "custom_model", GUESSED)
    assert set(page.visible(node)) > set(of_family)
    assert WORDS[page.language]["new"] in page.badges(node)


def test_after_a_run_new_models_are_in_the_lists_without_a_reload(
    page: Page, account: Simulator
) -> None:
    node, preview = page.add(DRAW), page.add("PreviewImage", (700, 200))
    page.link(node, 0, preview, "images")
    page.change(node, "prompt", f"A boat, {page.look}")
    assert NEW not in page.options(node, "model")["values"]
    before = len(account.requests)
    assert page.run().status == "success"
    until(lambda: NEW in page.options(node, "model")["values"])
    assert "/v1/models" in {record.path for record in account.requests[before:]}


def test_a_new_model_is_chosen_with_the_mouse_and_draws(page: Page, account: Simulator) -> None:
    refresh(page)
    node, preview = page.add(DRAW), page.add("PreviewImage", (700, 200))
    page.link(node, 0, preview, "images")
    page.change(node, "prompt", f"A kite, {page.look}")
    page.fit()
    page.choose(node, "model", NEW)
    assert page.run().status == "success"
    assert account.generations[-1].body["model"] == NEW


def test_a_saved_model_is_in_no_list_until_the_list_is_refreshed(page: Page) -> None:
    words = WORDS[page.language]
    node = page.add(DRAW)
    workflow = page.saved()
    workflow["nodes"][0]["widgets_values"][0] = NEW
    workflow["nodes"][0].get("widgets_values_named", {}).pop("model", None)
    page.load(workflow)
    assert page.values(node)["model"] == NEW
    assert words["unlisted"] in page.badges(node)
    refresh(page)
    assert page.values(node)["model"] == NEW
    assert words["new"] in page.badges(node)
    assert words["unlisted"] not in page.badges(node)
