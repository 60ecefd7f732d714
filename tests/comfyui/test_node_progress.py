"""Where a node's progress goes, with a ComfyUI and without."""

from __future__ import annotations

import contextvars
from typing import TYPE_CHECKING, Any

from comfyui_siliconflow.comfyui import host
from comfyui_siliconflow.strings.text import Text

if TYPE_CHECKING:
    from PIL import Image


def test_progress_goes_to_the_running_node(comfy: Any) -> None:
    progress = host.current_progress()
    progress.text(Text("three"))
    progress.value(1, 3)
    assert comfy.texts == [("three", "7")]
    [bar] = comfy.bars
    assert (bar.node_id, bar.values) == ("7", [(1, 3)])


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

        def image(self, image: Image.Image) -> None: ...

    def run() -> None:
        host.report_to(receiver)
        host.current_progress().text(Text("a"))

    receiver = Receiver()
    contextvars.copy_context().run(run)
    assert receiver.texts == ["a"]
