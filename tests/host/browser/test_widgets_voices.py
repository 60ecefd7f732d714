"""Voices and paid nodes on the page: lists with the user's own voices, a question, a colour."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.tests.host.browser.page import Page

SPEAK, DELETE, UPLOAD = (
    "SiliconFlowTextToSpeech",
    "SiliconFlowDeleteVoice",
    "SiliconFlowUploadVoice",
)
PAID = "FluxProUltraImageNode"
OWN = {"en": "{name} (your voice)", "zh": "{name}（自己的音色）"}
ASKS = {
    "en": ("Delete this voice?", "Cancel", "Delete"),
    "zh": ("删除这个音色？", "取消", "删除"),
}


@pytest.fixture
def page(reused_page: Page) -> Page:
    return reused_page


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


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_voice_of_ones_own_is_chosen_by_name_speaks_and_is_deleted_after_a_question(
    page: Page, name: str, service: Simulator, shots: Path
) -> None:
    own = OWN[page.language].format(name=name)
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
    title, cancel, delete = ASKS[page.language]
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


CHOICES = """app.graph._nodes.at(-1).widgets.find(w => w.name === 'voice').options.values"""


@pytest.fixture
def folded(page: Page) -> Iterator[Page]:
    """Return a page that folds advanced widgets away, as it does for everybody."""
    setting = "Comfy.Node.AlwaysShowAdvancedWidgets"
    page.setting(setting, False)
    yield page
    page.setting(setting, True)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_paid_node_has_the_colour_of_comfyuis_own_and_one_of_the_users_stays(
    folded: Page, shots: Path
) -> None:
    page = folded
    drawing, chat, lookup = (
        page.add("SiliconFlowTextToImage", (0, 0)),
        page.add("SiliconFlowChat", (450, 0)),
        page.add("SiliconFlowVoices", (900, 0)),
    )
    comfys = page.add(PAID, (900, 200))
    color = "id => app.graph.getNodeById(id).color ?? null"
    page.fit()
    page.shot(shots / f"paid-{page.look}-{page.language}.png")
    assert page.js(color, drawing) == page.js(color, chat) == page.js(color, comfys) is not None
    assert page.js(color, lookup) is None
    if page.look == "nodes2":
        assert "num_inference_steps" not in page.visible(drawing)
        assert "seed" in page.visible(drawing)
    page.js("id => { app.graph.getNodeById(id).color = '#223' }", chat)
    page.load(page.saved())
    assert page.js(color, chat) == "#223"
