"""A node that is queued without a key: from the dialog to the finished image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.tests.host.browser.page import Page
from comfyui_siliconflow.tests.host.browser.panels import (
    draw,
    forgive_refusals,
    stored,
)
from comfyui_siliconflow.tests.host.comfy import Comfy

if TYPE_CHECKING:
    from playwright.sync_api import Request

FIELD = "#sf-dialog-key"
WORDS = {
    "en": {
        "title": "SiliconFlow needs an API key",
        "again": "Run again",
        "save": "Test and save",
    },
    "zh": {"title": "SiliconFlow 需要 API 密钥", "again": "重新运行", "save": "测试并保存"},
}


@pytest.fixture(autouse=True)
def without_a_key(keyless: Comfy) -> None:
    """Begin each test as a new user."""
    keyless.forget_settings()


@pytest.mark.parametrize(("look", "language"), [("classic", "zh"), ("nodes2", "en")])
def test_the_dialog_leads_to_a_finished_image(
    open_page: Callable[..., Page],
    keyless: Comfy,
    running_service: Simulator,
    look: str,
    language: str,
) -> None:
    words, before = WORDS[language], len(running_service.generations)
    page = open_page(look, language, on=keyless)
    draw(page, f"A first image, {look}")
    assert page.run().status == "error"
    dialog = page.page.locator("dialog.sf-dialog")
    dialog.get_by_role("heading", name=words["title"]).wait_for()
    assert dialog.get_by_role("link").get_attribute("href") == (
        "https://cloud.siliconflow.cn/account/ak"
    )
    assert len(page.dialogs()) == 0, "ComfyUI's own dialog says the same once more"
    assert len(running_service.generations) == before

    page.page.locator(FIELD).fill(running_service.key)
    dialog.get_by_role("button", name=words["save"]).click()
    again = dialog.get_by_role("button", name=words["again"])
    again.wait_for()
    assert stored(keyless) == {"api_key": running_service.key}
    with page.page.expect_response(lambda r: r.url.split("?")[0].endswith("/prompt")) as info:
        again.click()
    assert keyless.end_of(info.value.json()["prompt_id"]).status == "success"
    assert dialog.count() == 0


FIRST_START = {"Comfy.TutorialCompleted": False, "Comfy.Workflow.Persist": True}
FORGET = "() => { localStorage.clear(); sessionStorage.clear(); }"
TEMPLATES = """() => [...document.querySelectorAll('[role=dialog]')]
  .some(dialog => dialog.checkVisibility() && dialog.querySelector('input'))"""


@pytest.mark.parametrize(("look", "language"), [("classic", "zh"), ("nodes2", "en")])
def test_the_dialog_works_above_the_templates_of_a_first_start(  # noqa: PLR0917
    open_page: Callable[..., Page],
    keyless: Comfy,
    running_service: Simulator,
    look: str,
    language: str,
    shots: Path,
) -> None:
    """ComfyUI opens them by itself, and takes clicks, keys and the focus from all else."""
    page = open_page(look, language, on=keyless)
    keyless.request("POST", "/settings", json=FIRST_START)
    page.page.goto(f"{page.address}/system_stats")  # of the same origin, and without scripts
    page.js(FORGET)
    page.page.goto(page.address)
    page.wait_for(TEMPLATES, seconds=90)
    draw(page, f"A first image above templates, {look}")
    page.run()
    dialog, field = page.page.locator("dialog.sf-dialog"), page.page.locator(FIELD)
    dialog.get_by_role("heading", name=WORDS[language]["title"]).wait_for()
    page.shot(shots / f"first-run-templates-{look}-{language}.png")
    field.click()
    page.page.keyboard.type(running_service.key)
    assert field.input_value() == running_service.key
    dialog.get_by_role("button", name=WORDS[language]["save"]).click()
    dialog.get_by_role("button", name=WORDS[language]["again"]).wait_for()
    page.page.keyboard.press("Escape")
    dialog.wait_for(state="detached")
    assert page.js(TEMPLATES), "what happened in our dialog closed the one below"


def test_a_wrong_key_is_reported_and_not_stored(
    open_page: Callable[..., Page], keyless: Comfy, running_service: Simulator
) -> None:
    page = open_page(on=keyless)
    page.command("SiliconFlow.SetKey")
    page.page.locator(FIELD).fill("sk-of-somebody-else")
    page.page.locator(FIELD).press("Enter")
    dialog = page.page.locator("dialog.sf-dialog")
    dialog.get_by_text("does not accept this key").wait_for()
    assert stored(keyless) == {}
    assert page.page.locator(FIELD).input_value() == "sk-of-somebody-else"
    forgive_refusals(page)
    page.page.locator(FIELD).fill(running_service.key)
    page.page.locator(FIELD).press("Enter")
    dialog.get_by_text("The key works and was saved").wait_for()
    assert dialog.get_by_role("button", name="Run again").count() == 0


def test_a_key_can_be_stored_while_the_service_is_out_of_reach(
    open_page: Callable[..., Page], keyless: Comfy, running_service: Simulator
) -> None:
    page = open_page(on=keyless)
    page.command("SiliconFlow.SetKey")
    page.page.locator(FIELD).fill(running_service.key)
    running_service.fail(503, times=50, on="models")
    try:
        page.page.locator(FIELD).press("Enter")
        anyway = page.page.get_by_role("button", name="Save anyway")
        anyway.wait_for(timeout=60_000)
    finally:
        running_service.clear_failures()
    assert stored(keyless) == {}
    anyway.click()
    page.page.get_by_text("could not be tested").wait_for()
    assert stored(keyless) == {"api_key": running_service.key}
    forgive_refusals(page)


def test_the_other_site_has_its_own_page_for_keys(
    open_page: Callable[..., Page], keyless: Comfy, running_service: Simulator
) -> None:
    page = open_page(on=keyless)
    page.command("SiliconFlow.SetKey")
    dialog = page.page.locator("dialog.sf-dialog")
    dialog.get_by_role("radio", name="International").check()
    assert dialog.get_by_role("link").inner_text() == "cloud.siliconflow.com/account/ak"
    page.page.locator(FIELD).fill(running_service.key)
    changes: list[str] = []
    page.page.on("request", lambda sent: note_change(sent, changes))
    page.page.locator(FIELD).press("Enter")
    dialog.get_by_text("The key works").wait_for()
    assert stored(keyless) == {"api_key": running_service.key, "site": "com"}
    assert changes == ["/key/test", "/key"], "key and site are one step"


def note_change(sent: Request, changes: list[str]) -> None:
    """Note which route of the pack was asked to change something."""
    if sent.method != "GET" and "/siliconflow/" in sent.url:
        changes.append(sent.url.split("/siliconflow")[1])


def test_keys_pressed_in_the_dialog_do_not_reach_the_canvas(
    open_page: Callable[..., Page], keyless: Comfy
) -> None:
    page = open_page(on=keyless)
    node = draw(page, "A kite")
    page.select(node)
    page.command("SiliconFlow.SetKey")
    page.page.locator(FIELD).fill("abc")
    page.page.locator(FIELD).press("Backspace")
    page.page.locator("dialog.sf-dialog").get_by_role("button", name="Cancel").focus()
    page.page.keyboard.press("Delete")
    for shortcut in "wnq":  # those open ComfyUI's own sidebars
        page.page.keyboard.press(shortcut)
    page.settle(2)
    assert not page.js("() => app.extensionManager.sidebarTab?.activeSidebarTabId")
    page.page.keyboard.press("Escape")
    page.page.locator("dialog.sf-dialog").wait_for(state="detached")
    assert node in page.ids()
