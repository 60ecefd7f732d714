"""The panel as a collection: searched, filtered, looked at whole, used again, and 20,000 long."""

from __future__ import annotations

import math
import secrets
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.tests.host.browser.conftest import LANGUAGES
from comfyui_siliconflow.tests.host.browser.page import Page
from comfyui_siliconflow.tests.host.browser.panels import draw, forgive_refusals
from comfyui_siliconflow.tests.host.browser.test_panels_jobs import card, show_jobs
from comfyui_siliconflow.tests.host.browser.words import words
from comfyui_siliconflow.tests.host.comfy import Comfy

if TYPE_CHECKING:
    from playwright.sync_api import Request

MANY = 20_000
A_PART = 100
MOST_ROWS = 60
RARE = "1717"
NODES = "() => JSON.stringify(app.graph.serialize().nodes.map(n => [n.id, n.widgets_values]))"
TO_THE_END = """async () => {
    const body = document.querySelector('.sf-jobs-body');
    const until = Date.now() + 120_000;
    let most = 0;
    while (document.querySelector('.sf-jobs-rest > *')
        || body.scrollTop + body.clientHeight < body.scrollHeight - 1) {
        if (Date.now() > until) throw new Error('the list has no end');
        body.scrollTop = body.scrollHeight;
        await new Promise(requestAnimationFrame);
        most = Math.max(most, document.querySelectorAll('.sf-job').length);
    }
    await new Promise(requestAnimationFrame);
    return most;
}"""

ONLY_LOADED = """word => {
    const cards = [...document.querySelectorAll('.sf-job')];
    return cards.length > 3 && cards.every(card => card.textContent.includes(word)
        && [...card.querySelectorAll('img')].every(image => image.naturalWidth > 0));
}"""
"""Whether all cards have the word, and their thumbnails: to delete those on the way is a 404."""


@pytest.fixture
def prompt() -> str:
    """Return a prompt that nobody has paid for."""
    return f"A kite {secrets.token_hex(4)}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_results_are_searched_looked_at_whole_and_used_again(
    page: Page, service: Simulator, prompt: str, language: str, shots: Path
) -> None:
    comfy = page.comfy
    service.fail(400)
    draw(page, f"{prompt} fails", seed=1, control_after_generate="fixed")
    page.run()
    page.clear()
    node = draw(page, prompt, batch_size=2, seed=1, control_after_generate="fixed")
    assert page.run().status == "success"
    before = page.js(NODES)
    show_jobs(page)
    done = card(page, prompt, "done")
    page.wait_for("() => document.querySelector('.sf-thumb img')?.naturalWidth > 0")
    page.shot(shots / f"panel-{page.look}-{language}.png")

    field = page.page.get_by_role("searchbox", name=words("page.jobs.search", language))
    field.fill(f"{prompt.upper()} fails")
    page.wait_for("() => document.querySelectorAll('.sf-job').length === 1")
    assert page.page.locator(".sf-job-failed").count() == 1
    field.fill(prompt)
    page.wait_for("() => document.querySelectorAll('.sf-job').length === 2")
    page.page.locator(".sf-jobs-search select").first.select_option("failed")
    page.wait_for("() => document.querySelectorAll('.sf-job').length === 1")
    page.page.locator(".sf-jobs-search select").first.select_option("")
    field.fill("zzz nowhere")
    nothing = page.page.locator(".sf-empty")
    nothing.wait_for()
    assert words("page.jobs.no_match", language) in nothing.inner_text()
    field.fill("")
    done.wait_for()

    # A thumbnail opens the image, and nothing else.
    done.locator(".sf-thumb").first.click()
    whole = page.page.locator(".sf-lightbox-image")
    page.wait_for("() => document.querySelector('.sf-lightbox-image')?.naturalWidth >= 512")
    page.shot(shots / f"lightbox-{page.look}-{language}.png")
    first = whole.get_attribute("src")
    page.page.keyboard.press("ArrowRight")
    assert whole.get_attribute("src") != first
    page.page.keyboard.press("Escape")
    whole.wait_for(state="detached")
    assert page.js(NODES) == before

    # The same once more with another seed, as it was queued then.
    page.change(node, "prompt", "something else")
    generated = len(service.generations)
    done.get_by_role("button", name=words("page.jobs.again", language)).click()

    def has_generated() -> bool:
        page.settle()  # the page's requests pass through this thread: it may not stand still
        return len(service.generations) > generated

    comfy.wait_for(has_generated)
    again = service.generations[-1].body
    assert again["prompt"] == prompt
    assert again["seed"] != 1
    card(page, prompt, "done")


def test_keys_reach_an_image_that_is_shown_whole_after_clicks_and_never_the_graph(
    page: Page, prompt: str
) -> None:
    node = draw(page, prompt, batch_size=2, seed=1, control_after_generate="fixed")
    assert page.run().status == "success"
    show_jobs(page)
    page.select(node)
    before = page.js(NODES)
    card(page, prompt, "done").locator(".sf-thumb").first.click()
    page.wait_for("() => document.querySelector('.sf-lightbox-image')?.naturalWidth >= 512")
    whole = page.page.locator(".sf-lightbox-image")
    first = whole.get_attribute("src")
    dialog = page.page.locator(".sf-lightbox")
    step = dialog.get_by_role("button", name=words("page.jobs.next", page.language), exact=True)
    step.click()
    second = whole.get_attribute("src")
    assert second != first
    page.page.keyboard.press("ArrowLeft")
    assert whole.get_attribute("src") == first
    for keys in ("Delete", "Control+z"):
        page.page.keyboard.press(keys)
    whole.click()
    for keys in ("Delete", "Control+z", "ArrowRight"):
        page.page.keyboard.press(keys)
    assert whole.get_attribute("src") == second
    page.settle()
    assert page.js(NODES) == before
    page.page.keyboard.press("Escape")
    whole.wait_for(state="detached")


FREE_IMAGE_INPUTS = """id => app.graph.getNodeById(id).inputs
    .filter(input => input.type === "IMAGE" && input.link == null).map(input => input.name)"""


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_image_is_used_in_the_selected_node(page: Page, prompt: str, language: str) -> None:
    draw(page, prompt)
    assert page.run().status == "success"
    page.clear()
    edit = page.add("SiliconFlowImageEdit", (700, 200))
    loader = page.add("LoadImage", (100, 900))
    show_jobs(page)
    named = words("page.jobs.use", language)
    use = card(page, prompt, "done").get_by_role("button", name=named)
    page.js("() => app.canvas.deselectAll()")
    use.click()
    page.page.get_by_text(words("page.jobs.nothing_selected", language)).first.wait_for()
    assert len(page.ids()) == 2

    page.select(loader)
    use.click()
    page.wait_for(f"() => app.graph.getNodeById({loader}).widgets[0].value.includes('siliconflow')")
    for name in ("image", "image2"):
        page.select(edit)
        use.click()
        page.wait_for(
            """([id, name]) => app.graph.getNodeById(id).inputs
                .find(input => input.name === name).link != null""",
            [edit, name],
        )
    assert len(page.ids("LoadImage")) == 3

    # Of a full node nothing is replaced.
    for name in page.js(FREE_IMAGE_INPUTS, edit):
        page.link(loader, 0, edit, name)
    page.select(edit)
    use.click()
    page.page.get_by_text(words("page.jobs.no_free_input", language)).first.wait_for()
    assert len(page.ids("LoadImage")) == 3


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_image_of_the_panel_is_edited_from_where_it_is_shown_whole(
    page: Page, prompt: str, language: str
) -> None:
    draw(page, prompt)
    assert page.run().status == "success"
    page.clear()
    show_jobs(page)
    page.page.get_by_role("searchbox").fill(prompt)
    page.wait_for("() => document.querySelectorAll('.sf-job').length === 1")
    card(page, prompt, "done").locator(".sf-thumb").first.click()
    shown = page.page.locator(".sf-lightbox")
    shown.locator("img").wait_for()
    for name in ("previous", "next"):  # of one image, there is none
        step = shown.get_by_role("button", name=words(f"page.jobs.{name}", language), exact=True)
        assert step.count() == 0
    shown.get_by_role("button", name=words("page.edit.menu", language)).click()
    page.wait_for(
        """() => app.graph.nodes.find(node => node.type === 'SiliconFlowImageEdit')
            ?.inputs.find(input => input.name === 'image').link != null"""
    )
    assert len(page.ids("LoadImage")) == 1
    page.page.get_by_role("searchbox").fill("")
    page.wait_for("() => document.querySelectorAll('.sf-job').length > 0")


@pytest.mark.parametrize("look", ["classic", "nodes2"])
def test_twenty_thousand_results_are_scrolled_with_few_rows_and_requests(
    page: Page, comfy: Comfy, prompt: str
) -> None:
    comfy.request("DELETE", "/siliconflow/stored", json={})  # what other tests made
    draw(page, prompt)
    assert page.run().status == "success"
    page.clear()
    fill(comfy, prompt)
    requests: list[str] = []

    def note(request: Request) -> None:
        requests.append(request.url)

    page.page.on("request", note)
    show_jobs(page)
    page.page.get_by_text(f"{prompt} {MANY - 1}", exact=True).wait_for()
    most_rows = page.js(TO_THE_END)
    assert page.page.get_by_text(f"{prompt} 0", exact=True).count() == 1
    assert 3 < most_rows < MOST_ROWS
    lists = [url for url in requests if "/siliconflow/jobs?" in url]
    assert MANY / A_PART <= len(lists) <= MANY / A_PART + 3
    thumbnails = [url for url in requests if url.endswith("/thumbnail")]
    assert len(thumbnails) < MANY / 10

    # Back to the top: nothing is asked for again.
    page.js("() => { document.querySelector('.sf-jobs-body').scrollTop = 0 }")
    page.page.get_by_text(f"{prompt} {MANY - 1}", exact=True).wait_for()
    assert len([url for url in requests if "/siliconflow/jobs?" in url]) == len(lists)

    # A search reads the list in few steps, however rare what it looks for.
    page.page.get_by_role("searchbox").fill(f"{prompt} {RARE}")
    page.wait_for(ONLY_LOADED, RARE)
    comfy.request("DELETE", "/siliconflow/stored", json={})
    page.page.locator(".sf-empty").wait_for()


DAYS = 40
IN_YESTERDAY = 34 + 2 * 132 + 34 + 60
"""Pixels: the line of today, its two jobs, the line of yesterday, half a job."""
SEEN = """() => {
    const { top, bottom } = document.activeElement.closest('li').getBoundingClientRect();
    const body = document.querySelector('.sf-jobs-body').getBoundingClientRect();
    return top >= body.top + 34 - 1 && bottom <= body.bottom + 1;
}"""


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_long_list_says_its_day_and_goes_on_where_images_were_left(
    page: Page, comfy: Comfy, prompt: str, language: str, shots: Path
) -> None:
    comfy.request("DELETE", "/siliconflow/stored", json={})  # what other tests made
    draw(page, prompt)
    assert page.run().status == "success"
    page.clear()
    fill(comfy, prompt, DAYS, seconds_between=-86_400)
    show_jobs(page)
    page.page.get_by_text(f"{prompt} 1", exact=True).wait_for()
    day = page.page.locator(".sf-jobs-day")
    assert day.inner_text() == ""
    page.js(
        "top => { document.querySelector('.sf-jobs-body').scrollTop = top }",
        IN_YESTERDAY,
    )
    day.get_by_text(words("page.jobs.yesterday", language)).wait_for()
    page.shot(shots / f"panel-day-{page.look}-{language}.png")
    page.js("() => { document.querySelector('.sf-jobs-body').scrollTop = 0 }")
    page.page.locator(".sf-thumb").first.click()
    page.page.locator(".sf-lightbox-image").wait_for()
    for _ in range(DAYS // 2):
        page.page.keyboard.press("ArrowRight")
    page.page.keyboard.press("Escape")
    page.wait_for(
        "text => document.activeElement.closest('li')?.querySelector('p')?.textContent === text",
        f"{prompt} {DAYS // 2 - 1}",
    )
    assert page.js(SEEN)
    comfy.request("DELETE", "/siliconflow/stored", json={})
    page.page.locator(".sf-empty").wait_for()
    page.settle(2)
    forgive_refusals(page)  # of thumbnails that were under way


def fill(comfy: Comfy, prompt: str, count: int = MANY, seconds_between: float = 1 / MANY) -> None:
    """Write as many jobs as a heavy user has, with the files of the one that is there."""
    [file] = comfy.folder.rglob("history.sqlite3")
    history = sqlite3.connect(file, timeout=30)
    row = history.execute("SELECT * FROM jobs WHERE prompt = ?", (prompt,))
    names = [name for name, *_ in row.description]
    values = dict(zip(names, row.fetchone(), strict=True))
    now = math.floor(time.time())
    rows = [
        {
            **values,
            "id": f"{at:032x}",
            "prompt": f"{prompt} {at}",
            "began_at": now + at * seconds_between,
        }
        for at in range(count)
    ]
    marks = ", ".join(f":{name}" for name in names)
    with history:
        history.executemany(f"INSERT INTO jobs VALUES ({marks})", rows)  # noqa: S608 - our own
    history.close()
