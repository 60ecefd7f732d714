"""The panel, live: running, waiting, done, reused, failed, and onto the canvas."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from decimal import ROUND_DOWN, Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.tests.host.browser.conftest import LANGUAGES
from comfyui_siliconflow.tests.host.browser.page import Page
from comfyui_siliconflow.tests.host.browser.panels import draw
from comfyui_siliconflow.tests.host.browser.words import words
from comfyui_siliconflow.tests.host.comfy import Comfy

if TYPE_CHECKING:
    from playwright.sync_api import Locator


@pytest.fixture
def prompt() -> str:
    """Return a prompt that nobody has paid for."""
    return f"A kite {secrets.token_hex(4)}"


def show_jobs(page: Page) -> None:
    """Open the panel, if it is not open."""
    if not page.page.locator(".sf-jobs").count():
        page.command("SiliconFlow.ShowJobs")
    page.page.locator(".sf-jobs").wait_for()


def card(page: Page, prompt: str, state: str) -> Locator:
    """Wait for the newest job with this prompt to be in a state."""
    card = page.page.locator(f".sf-job-{state}", has_text=prompt).first
    card.wait_for(timeout=30_000)
    return card


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_tab_has_a_name_of_one_line(page: Page) -> None:
    """As ComfyUI's own tabs have."""
    heights = page.js(
        """() => [...document.querySelectorAll('.side-tool-bar-container .side-bar-button-label')]
            .map(label => [label.innerText.trim(), label.getBoundingClientRect().height])"""
    )
    named = dict(heights)
    assert len({height for height in named.values() if height}) == 1, named
    assert named["SiliconFlow"]


def test_an_empty_list_says_what_it_is_for(open_page: Callable[..., Page], keyless: Comfy) -> None:
    page = open_page(language="zh", on=keyless)
    show_jobs(page)
    page.page.get_by_role("heading", name="还没有结果").wait_for()
    page.page.locator(".sf-empty").get_by_role("button", name="设置 API 密钥").click()
    page.page.locator("dialog.sf-dialog").wait_for()


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_job_is_followed_from_its_beginning_to_its_end(
    page: Page, service: Simulator, prompt: str, language: str
) -> None:
    service.latency = 6.0
    node = draw(page, prompt, control_after_generate="fixed")
    show_jobs(page)
    page.queue()
    running = card(page, prompt, "running")
    first = running.locator(".sf-job-state").inner_text()
    page.settle(5)
    assert running.locator(".sf-job-state").inner_text() != first, "the seconds stand still"
    done = card(page, prompt, "done")
    assert words("page.state.done", language) in done.inner_text()
    image = done.locator("img")
    image.wait_for()
    assert image.evaluate("async image => { await image.decode(); return image.naturalWidth }")

    # What this model does not take changes ComfyUI's own cache key, but not the request.
    page.change(node, "cfg", 3.0)
    assert page.run().status == "success"
    assert words("page.state.reused", language) in card(page, prompt, "reused").inner_text()


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_number_on_the_tab_survives_a_reload(
    page: Page, service: Simulator, prompt: str
) -> None:
    service.latency = 20.0
    draw(page, prompt)
    page.queue()
    badge = page.page.locator(BADGE)
    badge.get_by_text("1", exact=True).wait_for()
    page.open()
    badge.get_by_text("1", exact=True).wait_for()
    page.command("Comfy.Interrupt")


HAS_FOCUS = "job => job.contains(document.activeElement)"
BADGE = ".siliconflow-jobs-tab-button, [data-testid='siliconflow-jobs-tab-button']"
"""The button of the tab, in older and newer pages."""


def test_a_second_page_follows_what_the_first_one_queued(
    open_page: Callable[..., Page], service: Simulator, prompt: str
) -> None:
    service.latency = 4.0
    first, second = open_page(), open_page()
    draw(first, prompt)
    first.queue()
    show_jobs(second)
    card(second, prompt, "running")
    card(second, prompt, "done").locator("img").wait_for()


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_failed_job_is_one_line_and_opened_says_why_and_gives_its_trace_id(
    page: Page, service: Simulator, prompt: str, language: str
) -> None:
    show_jobs(page)
    node = draw(page, prompt)
    assert page.run().status == "success"
    card(page, prompt, "done")  # failures of other tests are below it, and lines of their own
    page.change(node, "prompt", f"{prompt} fails")
    service.fail(400)
    page.run()
    reason = words("error.RequestError.what", language)
    failed = page.page.locator(".sf-job-failed", has_text=reason).first
    failed.wait_for(timeout=30_000)
    box: Any = failed.bounding_box()
    assert box["height"] < 40
    assert prompt not in failed.inner_text()
    summary = failed.locator(".sf-job-summary")
    summary.click()
    assert prompt in failed.locator(".sf-prompt").inner_text()
    assert words("page.state.failed", language) in failed.inner_text()
    failed.get_by_role("button", name=words("page.action.copy_trace", language)).click()
    page.settle()
    assert page.js("() => navigator.clipboard.readText()") == service.generations[-1].trace_id
    summary.click()
    failed.locator(".sf-prompt").wait_for(state="detached")


@pytest.mark.parametrize("look", ["nodes2"])
def test_a_wait_for_the_limit_is_counted_down_and_can_be_cancelled(
    page: Page, service: Simulator, prompt: str, comfy: Comfy
) -> None:
    service.fail(429, headers={"Retry-After": "45"}, limit="IPM")
    show_jobs(page)
    draw(page, prompt)
    page.queue()
    waiting = card(page, prompt, "waiting")
    state = waiting.locator(".sf-state", has_text="Rate limit: 0:")
    first = state.inner_text()
    comfy.wait_for(lambda: state.inner_text() < first)
    comfy.post("/interrupt", {})
    cancelled = page.page.locator(".sf-job-cancelled").first
    cancelled.wait_for()
    cancelled.locator(".sf-job-summary").click()
    assert "Cancelled" in cancelled.inner_text()
    assert prompt in cancelled.inner_text()


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_run_that_only_asked_is_no_failure(
    page: Page, prompt: str, language: str, shots: Path
) -> None:
    node = draw(page, prompt, model="Qwen/Qwen-Image", image_size="custom", width=64, height=64)
    assert page.run().status == "success"
    page.change(node, "batch_size", 17)
    show_jobs(page)
    done = card(page, prompt, "done")
    page.run()
    page.page.locator("dialog.sf-dialog").wait_for()
    page.page.keyboard.press("Escape")
    asked = page.page.locator(".sf-job-asked").first
    assert "×" not in asked.inner_text(), "it is one question, however many requests it is about"
    asked.locator(".sf-job-summary").click()
    page.page.locator(".sf-job-asked .sf-job-state").first.wait_for()
    assert words("page.state.asked", language) in asked.inner_text()
    assert "17" in asked.locator(".sf-reason").inner_text()
    page.shot(shots / f"asked-{page.look}-{language}.png")
    page.page.locator(".sf-jobs-search select").first.select_option("failed")
    asked.wait_for(state="detached")
    page.page.locator(".sf-jobs-search select").first.select_option("")
    asked.wait_for()
    asked.locator(".sf-job-summary").click()
    page.page.keyboard.press("ArrowDown")
    assert done.evaluate(HAS_FOCUS), "one line is one step"

    page.run()
    page.page.locator("dialog.sf-dialog").wait_for()
    page.page.keyboard.press("Escape")
    page.settle(2)
    assert asked.count() == 1, "a question that was asked again stands once"
    count = page.page.locator(".sf-jobs-count")
    page.page.get_by_role("searchbox").fill(prompt)
    count.get_by_text(words("page.jobs.count", language, n=1), exact=True).wait_for()
    page.page.get_by_role("searchbox").fill("")


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_list_says_how_many_it_has(page: Page, prompt: str, language: str) -> None:
    count = page.page.locator(".sf-jobs-count")
    show_jobs(page)
    page.page.get_by_role("searchbox").fill(prompt)
    page.page.locator(".sf-empty").wait_for()
    assert count.inner_text() == ""
    for n, color in enumerate(("red", "blue"), start=1):
        draw(page, f"{prompt} {color}")
        assert page.run().status == "success"
        page.clear()
        count.get_by_text(words("page.jobs.count", language, n=n), exact=True).wait_for()
    page.page.get_by_role("searchbox").fill(f"{prompt} blue")
    count.get_by_text(words("page.jobs.count", language, n=1), exact=True).wait_for()
    page.page.get_by_role("searchbox").fill("")
    page.wait_for("() => document.querySelectorAll('.sf-job').length > 1")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_failure_that_was_never_sent_took_no_time(
    page: Page, prompt: str, comfy: Comfy, language: str
) -> None:
    show_jobs(page)
    draw(page, prompt, batch_size=2, model="Qwen/Qwen-Image")
    comfy.request("POST", "/siliconflow/settings", json={"most_pictures": 1})
    try:
        assert page.run().status == "error"
    finally:
        comfy.request("POST", "/siliconflow/settings", json={"most_pictures": 0})
    failed = page.page.locator(".sf-job-failed").first
    failed.locator(".sf-job-summary").click()
    failed.locator(".sf-prompt", has_text=prompt).wait_for()
    state = page.page.locator(".sf-job-failed .sf-job-state").first
    assert state.inner_text().strip() == words("page.state.failed", language)


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_image_is_put_on_the_canvas_and_loads(page: Page, prompt: str, language: str) -> None:
    put = words("page.jobs.put", language)
    draw(page, prompt)
    assert page.run().status == "success"
    page.clear()
    show_jobs(page)
    card(page, prompt, "done").get_by_role("button", name=put).last.click()
    page.wait_for("() => app.graph.nodes.some(n => n.type === 'LoadImage')")
    (loader,) = page.ids("LoadImage")
    assert page.values(loader)["image"] in page.comfy.listed("LoadImage", "image")
    preview = page.add("PreviewImage", (900, 200))
    page.link(loader, 0, preview, "images")
    assert page.run().status == "success"


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_workflow_that_made_an_image_opens_again(
    page: Page, service: Simulator, prompt: str, language: str
) -> None:
    node = draw(page, prompt, seed=7, control_after_generate="fixed")
    assert page.run().status == "success"
    before, values = len(service.generations), page.values(node)
    page.change(node, "prompt", f"{prompt} of tomorrow")
    page.clear()
    show_jobs(page)
    workflow = words("page.jobs.workflow", language)
    card(page, prompt, "done").get_by_role("button", name=workflow).click()
    page.wait_for("() => app.graph.nodes.some(n => n.type === 'SiliconFlowTextToImage')")
    (node,) = page.ids("SiliconFlowTextToImage")
    assert page.values(node) == values
    page.run()
    assert len(service.generations) == before, "what it made is there, and free"


@pytest.mark.parametrize("look", ["classic"])
def test_the_list_is_walked_with_the_keyboard(page: Page, prompt: str) -> None:
    for at in (1, 2):
        draw(page, f"{prompt} {at}")
        assert page.run().status == "success"
        page.clear()
    show_jobs(page)
    card(page, prompt, "done")
    jobs = page.page.locator(".sf-job")
    assert page.page.locator(".sf-job:has([tabindex='0'])").count() == 1
    jobs.nth(0).locator("button").first.focus()
    page.page.keyboard.press("ArrowDown")
    assert jobs.nth(1).evaluate(HAS_FOCUS)
    page.page.keyboard.press("Tab")
    assert jobs.nth(1).evaluate(HAS_FOCUS)
    page.page.keyboard.press("Home")
    assert jobs.nth(0).evaluate(HAS_FOCUS)
    whole = page.page.locator(".sf-lightbox-image")
    for key in ("Enter", "Space"):
        page.page.keyboard.press(key)
        whole.wait_for()
        page.page.keyboard.press("Escape")
        whole.wait_for(state="detached")
        assert jobs.nth(0).evaluate(HAS_FOCUS)


@pytest.mark.parametrize("look", ["classic"])
def test_the_balance_is_shown_after_a_run_and_can_be_turned_off(
    page: Page, prompt: str, service: Simulator
) -> None:
    show_jobs(page)
    draw(page, prompt)
    assert page.run().status == "success"
    line, button = page.page.locator(".sf-balance"), page.page.locator(".sf-balance-button")
    left = f"¥{service.balance.quantize(Decimal('0.01'), ROUND_DOWN):,}"
    line.get_by_text(left).wait_for()
    if has_room_in_the_top_bar(page):
        button.wait_for()
        assert button.inner_text().strip() == left
    try:
        page.comfy.post("/siliconflow/settings", {"show_balance": False})
        line.wait_for(state="hidden")
        button.wait_for(state="hidden")
    finally:
        page.comfy.post("/siliconflow/settings", {"show_balance": True})
    line.wait_for(state="visible")


def has_room_in_the_top_bar(page: Page) -> bool:
    """Return whether this frontend has buttons of extensions there: 0.8.0's (1.35) has not."""
    version = str(page.js("() => window.__COMFYUI_FRONTEND_VERSION__"))
    return tuple(map(int, version.split(".")[:2])) >= (1, 49)


@pytest.mark.parametrize("look", ["classic"])
def test_what_is_stored_is_counted_and_cleared_when_the_user_agrees(
    page: Page, prompt: str
) -> None:
    draw(page, prompt)
    assert page.run().status == "success"
    page.command("SiliconFlow.OpenSettings")
    clear = page.page.get_by_role("button", name="Clear…")
    clear.scroll_into_view_if_needed()
    row = page.page.locator(".sf-control").filter(has=clear)
    row.get_by_text("result").wait_for()
    clear.click()
    page.page.locator(".p-dialog, [role=dialog]").get_by_text("Delete", exact=True).last.click()
    row.get_by_text("Cleared.").wait_for()
    assert row.get_by_text("None").count() == 1
    assert page.comfy.get("/siliconflow/stored").json()["pictures"] == 0
