"""Voices on the page: lists with the user's own, and a question before one is deleted."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.dev.simulator.state import Record
from comfyui_siliconflow.tests.host.browser.conftest import LANGUAGES
from comfyui_siliconflow.tests.host.browser.page import Page
from comfyui_siliconflow.tests.host.browser.words import words

SPEAK, DELETE = "SiliconFlowTextToSpeech", "SiliconFlowDeleteVoice"
UPLOAD, VOICES = "SiliconFlowUploadVoice", "SiliconFlowVoices"
BOTH = pytest.mark.parametrize("language", LANGUAGES, scope="module")


@pytest.fixture
def page(page: Page) -> Page:
    return page


@pytest.fixture
def name(page: Page) -> str:
    """Upload a voice as a user does, and return its name."""
    name = f"narrator {secrets.token_hex(3)}"
    sound, upload, shown = page.add("EmptyAudio"), page.add(UPLOAD), page.add("PreviewAny")
    page.link(sound, 0, upload, "audio")
    page.link(upload, 0, shown, "source")
    page.change(upload, "customName", name)
    page.change(upload, "text", name)
    page.js("id => { app.graph.getNodeById(id).widgets[0].value = 1 }", sound)
    assert page.run().status == "success"
    page.clear()
    return name


@BOTH
def test_a_voice_of_ones_own_is_chosen_by_name_speaks_and_is_deleted_after_a_question(
    page: Page, name: str, service: Simulator, shots: Path
) -> None:
    own = words("page.voices.own", page.language, name=name)
    node, sound = page.add(SPEAK), page.add("PreviewAudio", (700, 200))
    page.link(node, 0, sound, "audio")
    page.change(node, "input", f"Hello {secrets.token_hex(4)}")
    uri = next(uri for uri in page.options(node, "voice")["values"] if name in uri)
    assert page.label(node, "voice", uri) == own
    page.change(node, "voice", uri)
    page.fit()
    page.shot(shots / f"voice-{page.look}-{page.language}.png")
    assert page.run().status == "success"
    spoken = [record.body for record in service.requests if record.path.endswith("/speech")]
    assert spoken[-1]["voice"] == uri
    page.clear()

    node = page.add(DELETE)
    page.fit()
    assert page.options(node, "voice")["values"][0] == "none"
    page.choose(node, "voice", uri)
    title = words("page.voices.delete_title", page.language)
    cancel, delete = (words(f"page.action.{each}", page.language) for each in ("cancel", "delete"))
    for answer in (cancel, delete):
        page.js("() => { app.queuePrompt(0, 1) }")
        dialog = page.page.get_by_role("dialog").filter(has_text=title)
        dialog.wait_for()
        assert name in dialog.inner_text()
        page.shot(shots / f"delete-{page.look}-{page.language}.png")
        dialog.get_by_text(answer, exact=True).last.click()
        dialog.wait_for(state="hidden")
        if answer == cancel:
            assert uri in {voice["uri"] for voice in service.voices}
    page.wait_for(f"uri => !{CHOICES}.includes(uri)", uri)
    assert uri not in {voice["uri"] for voice in service.voices}


@BOTH
def test_an_empty_list_of_voices_is_said_and_no_error_and_asked_for_anew_in_each_run(
    page: Page, service: Simulator, shots: Path
) -> None:
    service.uploaded.clear()
    node, names = page.add(VOICES), page.add("PreviewAny", (900, 200))
    page.link(node, 1, names, "source")
    assert page.visible(node) == [], "nothing to turn for a list that is new"
    page.fit()
    for _ in range(2):
        before = len(lists(service))
        assert page.run().status == "success"
        assert len(lists(service)) == before + 1
    status = page.page.locator(".sf-status p")
    assert status.inner_text() == words("task.no_voices", page.language)
    page.shot(shots / f"no-voices-{page.look}-{page.language}.png")
    assert page.page.locator(".sf-failure").count() == 0
    assert page.dialogs() == []
    service.uploaded["speech:kite"] = {
        "model": "m",
        "customName": "kite",
        "text": "Hello",
        "uri": "speech:kite",
    }
    try:
        assert page.run().status == "success"
        assert "kite · speech:kite" in status.inner_text()
    finally:
        service.uploaded.clear()


def lists(service: Simulator) -> list[Record]:
    """Return the requests for the list of voices so far."""
    return [each for each in service.requests if each.path.endswith("/audio/voice/list")]


CHOICES = """app.graph._nodes.at(-1).widgets.find(w => w.name === 'voice').options.values"""
