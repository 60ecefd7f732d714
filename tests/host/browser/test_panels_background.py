"""What waits in the background: said on its node, and listed with what can be done about it."""

from __future__ import annotations

import re
import secrets
from contextlib import closing

import pytest
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.storage.ledger import Ledger
from comfyui_siliconflow.storage.waiting_runs import WaitingRuns
from comfyui_siliconflow.tests.host.browser.conftest import LANGUAGES
from comfyui_siliconflow.tests.host.browser.page import Page
from comfyui_siliconflow.tests.host.browser.panels import draw
from comfyui_siliconflow.tests.host.browser.words import words
from comfyui_siliconflow.tests.host.comfy import Comfy

LIST = ".sf-background"
PAID = "Qwen/Qwen-Image"
STATUS = ".sf-status p"


@pytest.fixture
def prompt(comfy: Comfy) -> str:
    """Return a prompt that nobody has paid for, with nothing else in the background."""
    comfy.wait_for(lambda: not comfy.get("/siliconflow/background").json()["runs"])
    return f"A kite {secrets.token_hex(4)}"


def test_a_node_says_how_long_it_waits_and_the_list_has_it_until_it_went_on(
    page: Page, service: Simulator, prompt: str
) -> None:
    service.latency = 12.0
    draw(page, prompt, background=True, control_after_generate="fixed", model=PAID)
    page.command("SiliconFlow.ShowJobs")
    spend = page.page.locator(".sf-spend summary")
    before = spend.text_content() or "none yet"
    page.queue()
    row = page.page.locator(f"{LIST} li", has_text=prompt)
    row.wait_for(timeout=30_000)
    spend.filter(has_text="Today").filter(has_not_text=before).wait_for(timeout=10_000)
    status = page.page.locator(STATUS)
    waits = status.filter(has_text=re.compile(r"^in the background · \d+ s$"))
    waits.wait_for(timeout=30_000)
    first = waits.inner_text()
    status.filter(has_text="in the background").filter(has_not_text=first).wait_for(timeout=30_000)
    assert " · continues when all results are in" in row.inner_text()
    status.filter(has_text="made in the background for ¥0.30").wait_for(timeout=60_000)
    row.wait_for(state="detached", timeout=30_000)
    assert page.page.locator(".sf-job", has_text=prompt).count() == 1
    assert not page.page.locator(LIST).is_visible()


@pytest.mark.parametrize("language", ["zh"])
def test_one_that_failed_says_why_and_is_sent_again_only_after_a_question(
    page: Page, service: Simulator, prompt: str
) -> None:
    service.fail(400)
    since = len(service.generations)
    draw(page, prompt, background=True, control_after_generate="fixed")
    page.command("SiliconFlow.ShowJobs")
    page.queue()
    row = page.page.locator(f"{LIST} li", has_text=prompt)
    row.get_by_text("已停止：").wait_for(timeout=30_000)
    page.page.locator(STATUS).filter(has_text="后台生成已停止").wait_for()
    page.page.locator(".sf-failure").wait_for()
    row.get_by_role("button", name="重新发送缺失的请求").click()
    dialog = page.page.get_by_role("dialog").filter(has_text="失败的请求会重新发送并扣费")
    dialog.wait_for()
    assert len(service.generations) - since == 1
    dialog.get_by_role("button").filter(has_text="确认").click()
    page.page.locator(STATUS).filter(has_text="1 张图片").wait_for(timeout=60_000)
    assert len(service.generations) - since == 2


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_large_one_is_asked_about_and_goes_ahead_in_the_background(
    page: Page, service: Simulator, comfy: Comfy, prompt: str, language: str
) -> None:
    since = len(service.generations)
    draw(page, prompt, background=True, control_after_generate="fixed", batch_size=17, model=PAID)
    page.command("SiliconFlow.ShowJobs")
    page.queue()
    dialog = page.page.locator("dialog.sf-dialog")
    go_ahead = dialog.get_by_role("button", name=words("page.action.go_ahead", language))
    go_ahead.wait_for()
    assert "17" in dialog.inner_text()
    assert not comfy.get("/siliconflow/background").json()["runs"]
    assert len(service.generations) == since
    service.latency = 2.0
    go_ahead.click()
    row = page.page.locator(f"{LIST} li", has_text=prompt)
    row.wait_for(timeout=30_000)
    row.wait_for(state="detached", timeout=60_000)
    page.page.locator(STATUS, has_text="17").wait_for(timeout=30_000)
    assert len(service.generations) == since + 17
    assert not dialog.is_visible()


@pytest.mark.parametrize("look", ["classic"])
def test_one_goes_on_now_and_another_is_given_up(
    page: Page, service: Simulator, prompt: str
) -> None:
    service.latency = 30.0
    node = draw(page, prompt, background=True, control_after_generate="fixed")
    page.command("SiliconFlow.ShowJobs")
    page.queue()
    row = page.page.locator(f"{LIST} li", has_text=prompt)
    row.get_by_role("button", name="Stop waiting").click()
    row.wait_for(state="detached")
    page.page.locator(STATUS).filter(has_text="no longer waiting").wait_for()
    page.page.get_by_text("What was sent already is charged").last.wait_for()
    page.page.locator(".sf-off-screen", has_text="no longer waiting").wait_for(state="attached")
    page.change(node, "seed", 5)
    page.queue()
    row.get_by_role("button", name="Continue now").wait_for()
    inputs = {"model": PAID, "prompt": f"{prompt}, in front", "seed": 1}  # for it keeps the queue
    image = {"class_type": "SiliconFlowTextToImage", "inputs": inputs}
    preview = {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}
    in_front = page.comfy.queue({"1": image, "2": preview})
    page.comfy.wait_for(lambda: page.comfy.get("/queue").json()["queue_running"])
    row.get_by_role("button", name="Continue now").click()
    page.page.get_by_text("the workflow continues by itself when it arrives").last.wait_for()
    row.get_by_text("queued again").wait_for()
    row.get_by_role("button", name="Continue now").wait_for(state="detached")
    row.get_by_role("button", name="Stop waiting").wait_for()
    page.comfy.post("/queue", {"clear": True})
    row.get_by_text("stopped: The workflow was removed").wait_for(timeout=30_000)
    row.get_by_role("button", name="Stop waiting").click()
    row.wait_for(state="detached")
    page.comfy.post("/interrupt", {})
    page.comfy.end_of(in_front)


@pytest.mark.parametrize("look", ["classic"])
def test_what_a_restart_left_waiting_is_asked_about_until_there_is_an_answer(
    page: Page, prompt: str
) -> None:
    graph = {"1": {"inputs": {"prompt": prompt}}}
    stored = {"graph": graph, "extra_data": {}, "outputs": []}
    folder = page.comfy.folder / "user" / "__siliconflow"
    with closing(Ledger(folder)) as ledger:  # as a process that ends
        WaitingRuns(ledger.database).add(prompt, "content", {"1"}, stored)
    dialog = page.page.get_by_role("dialog").filter(has_text="while 1 workflow waited")
    for _ in range(2):
        page.page.reload()  # not by `open`, which closes what greets a visitor
        dialog.wait_for(timeout=60_000)
    dialog.get_by_role("button").filter(has_text="Cancel").click()
    page.open()
    page.command("SiliconFlow.ShowJobs")
    row = page.page.locator(f"{LIST} li", has_text=prompt)
    row.get_by_text("you chose not to continue").wait_for(timeout=30_000)
    assert not dialog.is_visible()
    row.get_by_role("button", name="Stop waiting").click()
    row.wait_for(state="detached", timeout=30_000)
