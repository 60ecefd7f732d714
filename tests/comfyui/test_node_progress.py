"""Where a node's progress goes, with a ComfyUI and without."""

from __future__ import annotations

import contextvars
from typing import Any

from comfyui_siliconflow.comfyui import host
from comfyui_siliconflow.strings.text import Text
from PIL import Image


def test_progress_goes_to_the_running_node(comfy: Any) -> None:
    progress = host.current_progress()
    progress.text(Text("three"))
    progress.value(1, 3)
    progress.image(Image.new("RGBA", (8, 8)), 2)
    assert comfy.texts == [("three", "7", "page-1")]
    [bar] = comfy.bars
    assert (bar.node_id, bar.values) == ("7", [(1, 3), (1, 3)])
    [(kind, image, _)] = bar.previews
    assert (kind, image.mode) == ("JPEG", "RGB")
    where = {"node": "7", "call": 0, "place": 2}
    assert comfy.sent == [("siliconflow.preview", where, "page-1")]


def test_what_a_run_shows_stays_with_its_page_when_another_page_s_run_follows(comfy: Any) -> None:
    progress = host.current_progress()
    comfy.server.client_id = "page-2"
    progress.text(Text("three"))
    assert comfy.texts == [("three", "7", "page-1")]


def test_a_run_that_a_program_queued_shows_nothing_on_any_page(comfy: Any) -> None:
    """ComfyUI would send it to all, and each has a node of that id."""
    comfy.server.client_id = None
    progress = host.current_progress()
    progress.text(Text("three"))
    progress.value(1, 3)
    progress.image(Image.new("RGB", (8, 8)), 0)
    assert comfy.texts == comfy.sent == []
    [bar] = comfy.bars
    assert (bar.values, bar.previews) == ([(1, 3)], [])


def test_outside_comfyui_progress_goes_nowhere() -> None:
    host.current_progress().text(Text("a"))
    host.current_progress().value(1, 2)


def test_outside_comfyui_a_program_receives_the_progress() -> None:
    class Receiver:
        def __init__(self) -> None:
            self.texts: list[str] = []

        def text(self, text: Text) -> None:
            self.texts.append(str(text))

        def value(self, done: int, total: int) -> None: ...

        def image(self, image: Image.Image, place: int) -> None: ...

    def run() -> None:
        host.report_to(receiver)
        host.current_progress().text(Text("a"))

    receiver = Receiver()
    contextvars.copy_context().run(run)
    assert receiver.texts == ["a"]
