"""Programs beside an open page: each is answered in its own language, once, and so is the page."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

import pytest
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.tests.host.browser.conftest import LANGUAGES
from comfyui_siliconflow.tests.host.browser.page import Page
from comfyui_siliconflow.tests.host.browser.panels import draw
from comfyui_siliconflow.tests.host.browser.test_panels_jobs import show_jobs
from comfyui_siliconflow.tests.host.browser.words import LONG_NAMES, words
from comfyui_siliconflow.tests.host.graphs import Json

Drawing = Callable[..., Json]

OTHER = {"en": "zh", "zh": "en"}
REFUSED = {language: words("error.RequestError.what", language) for language in LANGUAGES}
EMPTY = {language: words("task.no_text", language) for language in LANGUAGES}
CARD = ".sf-failure"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_program_is_told_in_its_language_and_the_page_in_its_own(
    page: Page, drawing: Drawing, service: Simulator, language: str, shots: Path
) -> None:
    other = OTHER[language]
    headers = {"Accept-Language": f"fr, {LONG_NAMES[other]};q=0.8, {language};q=0.5"}
    comfy = page.comfy

    # Refused when it is queued.
    body = {"prompt": drawing(prompt="")}
    answer = comfy.request("POST", "/prompt", json=body, headers=headers)
    (error,) = answer.json()["node_errors"]["1"]["errors"]
    assert error["details"].count(EMPTY[other]) == 1
    assert EMPTY[language] not in error["details"]

    # Refused by the service: the panel of the page says it in the page's language.
    service.fail(400)
    show_jobs(page)
    answer = comfy.request("POST", "/prompt", json={"prompt": drawing()}, headers=headers)
    ended = comfy.end_of(answer.json()["prompt_id"])
    failed = ended.message("execution_error")
    assert failed
    assert failed["exception_message"].count(REFUSED[other]) == 1
    assert REFUSED[language] not in failed["exception_message"]
    line = page.page.locator(".sf-job-failed .sf-job-why").first
    line.get_by_text(REFUSED[language]).wait_for()
    assert page.page.locator(CARD).count() == 0, "the page did not queue it"

    # What the page queues after that is answered in its own language.
    draw(page, "")
    with page.page.expect_response(lambda r: r.url.split("?")[0].endswith("/prompt")):
        page.js("() => { app.queuePrompt(0, 1) }")
    card = page.page.locator(CARD)
    card.wait_for()
    assert card.inner_text().count(EMPTY[language]) == 1
    assert EMPTY[other] not in card.inner_text()
    page.clear()
    draw(page, f"A kite {secrets.token_hex(4)}")
    service.fail(400)
    page.run()
    card.wait_for()
    page.shot(shots / f"programs-{page.look}-{language}.png")
    assert card.inner_text().count(REFUSED[language]) == 1
    assert REFUSED[other] not in card.inner_text()
