"""A video in the panel: its first frame on the list, and played where it is shown whole."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest
from comfyui_siliconflow.tests.host.browser.page import Page
from comfyui_siliconflow.tests.host.browser.test_panels_jobs import card, show_jobs

BOTH = pytest.mark.parametrize(("look", "language"), [("classic", "zh"), ("nodes2", "en")])
MENU = """id => app.extensions.find(each => each.name === 'SiliconFlow.Edit')
    .getNodeMenuItems(app.graph.getNodeById(id))"""
PLAYER = "document.querySelector('video.sf-lightbox-image')"


@BOTH
def test_a_video_shows_its_first_frame_and_plays(page: Page, language: str, shots: Path) -> None:
    prompt = f"A kite {secrets.token_hex(4)}"
    node, save = page.add("SiliconFlowTextToVideo"), page.add("SaveVideo", (700, 200))
    page.link(node, 0, save, "video")
    page.change(node, "prompt", prompt)
    assert page.run().status == "success"
    assert page.js(MENU, save) == []  # a video is no image to edit
    show_jobs(page)
    done = card(page, prompt, "done")
    page.wait_for("() => document.querySelector('.sf-thumb img')?.naturalWidth > 0")
    page.shot(shots / f"video-{page.look}-{language}.png")
    done.locator(".sf-thumb").click()
    page.wait_for(f"() => {PLAYER}?.videoWidth === 1280 && {PLAYER}.played.length > 0")
    page.shot(shots / f"video-played-{page.look}-{language}.png")
    page.page.keyboard.press("Escape")
    page.page.locator(".sf-lightbox").wait_for(state="detached")


PUT = {
    "en": ("Add to canvas", "Load Video node added"),
    "zh": ("放到画布上", "已添加“加载视频”节点"),
}


@BOTH
def test_a_video_is_put_on_the_canvas_and_loads(page: Page, language: str, shots: Path) -> None:
    label, said = PUT[language]
    node, save = page.add("SiliconFlowTextToVideo"), page.add("SaveVideo", (700, 200))
    page.link(node, 0, save, "video")
    prompt = f"A kite {secrets.token_hex(4)}"
    page.change(node, "prompt", prompt)
    assert page.run().status == "success"
    page.clear()
    show_jobs(page)
    card(page, prompt, "done").get_by_role("button", name=label).click()
    page.page.get_by_text(said).wait_for()
    (loader,) = page.ids("LoadVideo")
    assert page.values(loader)["file"] in page.comfy.listed("LoadVideo", "file")
    page.shot(shots / f"video-put-{page.look}-{language}.png")
    save = page.add("SaveVideo", (1100, 200))
    page.link(loader, 0, save, "video")
    assert page.run().status == "success"
    card(page, prompt, "done").locator(".sf-thumb").click()
    page.page.locator(".sf-lightbox").get_by_role("button", name=label).click()
    page.wait_for("() => app.graph.nodes.filter(node => node.type === 'LoadVideo').length === 2")
