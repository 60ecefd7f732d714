"""ComfyUI with --disable-metadata: nothing of ours keeps a workflow or a prompt either."""

from __future__ import annotations

import json
import secrets
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.tests.host.browser.conftest import LANGUAGES
from comfyui_siliconflow.tests.host.browser.page import Page
from comfyui_siliconflow.tests.host.browser.panels import draw
from comfyui_siliconflow.tests.host.browser.test_panels_jobs import show_jobs
from comfyui_siliconflow.tests.host.browser.words import words
from comfyui_siliconflow.tests.host.comfy import Comfy, variables_for

WIDGETS = {"widgets_values", "widgets_values_named"}
"""Where ComfyUI saves what is in a node's widgets."""
OFFERS = ("page.jobs.workflow", "page.jobs.again", "page.jobs.copy_prompt")
"""What the panel offers of a job whose workflow and prompt are kept."""


@pytest.fixture(scope="module")
def discreet(
    tmp_path_factory: pytest.TempPathFactory, running_service: Simulator
) -> Iterator[Comfy]:
    """Start a ComfyUI that writes no workflow into files."""
    with Comfy(tmp_path_factory.mktemp("discreet"), "--disable-metadata") as comfy:
        comfy.start(variables_for(running_service))
        yield comfy


def files_with(comfy: Comfy, word: str) -> list[Path]:
    """Return the files that have a word in them, in plain text or packed."""
    return [file for file in comfy.files() if word.encode() in file.read_bytes()]


def kept_workflows(comfy: Comfy) -> list[str]:
    """Return the workflows of jobs, which no search of files finds: they are compressed."""
    [file] = comfy.folder.rglob("history.sqlite3")
    with closing(sqlite3.connect(file, timeout=30)) as history:
        rows = history.execute("SELECT content FROM workflows").fetchall()
    return [zlib.decompress(content).decode() for (content,) in rows]


def test_without_the_option_the_same_search_finds_both(page: Page) -> None:
    secret = f"secret{secrets.token_hex(6)}"
    draw(page, f"A {secret} garden")
    assert page.run().status == "success"
    assert files_with(page.comfy, secret)
    assert any(secret in workflow for workflow in kept_workflows(page.comfy))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("background", [False, True])
def test_a_run_leaves_neither_workflow_nor_prompt(  # noqa: PLR0917
    open_page: Callable[..., Page],
    discreet: Comfy,
    service: Simulator,
    look: str,
    language: str,
    background: bool,
    shots: Path,
) -> None:
    secret = f"secret{secrets.token_hex(6)}"
    page = open_page(look, language, on=discreet)
    node, save = page.add("SiliconFlowTextToImage"), page.add("SaveImage", (700, 200))
    page.link(node, 0, save, "images")
    page.change(node, "prompt", f"A {secret} garden")
    page.change(node, "background", background)
    show_jobs(page)
    saved = {*(discreet.folder / "output").rglob("*.png")}

    def has_saved() -> bool:
        page.settle()  # the page's requests pass through this thread
        return {*(discreet.folder / "output").rglob("*.png")} > saved

    page.queue()
    discreet.wait_for(has_saved)
    done = page.page.locator(".sf-job-done").first
    page.wait_for("() => document.querySelector('.sf-job-done img')?.naturalWidth > 0")
    assert secret in str(service.generations[-1].body), "the search below would find nothing"
    assert files_with(discreet, secret) == []
    assert kept_workflows(discreet) == []

    assert secret not in done.inner_text()
    for key in OFFERS:
        assert done.get_by_role("button", name=words(key, language)).count() == 0
    assert done.get_by_role("button", name=words("page.jobs.put", language)).count() == 1
    page.shot(shots / f"disable-metadata-{look}-{language}.png")


def test_a_workflow_holds_a_prompt_in_its_widget_alone(
    open_page: Callable[..., Page], discreet: Comfy
) -> None:
    """What the user saves is the user's; nothing of ours has another copy of it."""
    page = open_page("nodes2", on=discreet)
    node, preview = page.add("SiliconFlowTextToImage"), page.add("PreviewImage", (700, 200))
    page.link(node, 0, preview, "images")
    chat = page.add("SiliconFlowChat", (200, 800))
    page.link(chat, 0, page.add("PreviewAny", (900, 800)), "source")
    secret = f"secret{secrets.token_hex(6)}"
    page.change(node, "prompt", secret)
    page.change(chat, "prompt", f"Say {secret}")
    assert page.run().status == "success"
    assert secret in page.page.locator(".sf-status p").last.inner_text(), "a status shows it"
    page.change(node, "model", "Qwen/Qwen-Image")
    for saved in page.saved()["nodes"]:
        places = {name for name, value in saved.items() if secret in json.dumps(value)}
        if saved["id"] in {node, chat}:
            assert "widgets_values" in places
            assert places <= WIDGETS
