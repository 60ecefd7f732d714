"""Progress of a running node: on ComfyUI's page, or wherever a program wants it."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

from ..strings.text import Text
from .host import module, node_id, prompt_server

if TYPE_CHECKING:
    from PIL import Image

PREVIEW_SIDE = 512
"""Pixels of the longer side of an image that is shown on a node."""


class Progress(Protocol):
    """Receives the progress of one node."""

    def text(self, text: Text) -> None:
        """Show a line on the node."""

    def value(self, done: int, total: int) -> None:
        """Move the progress bar. In ComfyUI it raises once the user has cancelled."""

    def image(self, image: Image.Image) -> None:
        """Show a small RGB image on the node. In ComfyUI it raises as `value` does."""


_receiver: ContextVar[Progress | None] = ContextVar("siliconflow_progress", default=None)


def report_to(progress: Progress) -> None:
    """Send the progress of nodes that run outside ComfyUI, in this context, to `progress`."""
    _receiver.set(progress)


def current_progress() -> Progress:
    """Return the progress display of the running node."""
    return _PageProgress(node_id()) if shows_images() else _receiver.get() or _NoProgress()


def shows_images() -> bool:
    """Return whether anybody sees the images that progress is given."""
    return module("comfy.utils") is not None


class _NoProgress:
    """Outside ComfyUI, where no program asked for progress."""

    def text(self, text: Text) -> None:
        """Show nothing."""

    def value(self, done: int, total: int) -> None:
        """Show nothing."""

    def image(self, image: Image.Image) -> None:
        """Show nothing."""


class _PageProgress:
    """On a node of ComfyUI's page."""

    def __init__(self, node_id: str | None) -> None:
        self._node_id = node_id
        self._bar = module("comfy.utils").ProgressBar(1, node_id=node_id)
        self._value = (0, 1)

    def text(self, text: Text) -> None:
        server = prompt_server()
        if server and self._node_id and hasattr(server, "send_progress_text"):
            server.send_progress_text(str(text), self._node_id)

    def value(self, done: int, total: int) -> None:
        self._value = (done, total)
        self._bar.update_absolute(done, total)

    def image(self, image: Image.Image) -> None:
        # As a JPEG: a PNG with transparency crashes ComfyUI.
        preview = ("JPEG", image.convert("RGB"), PREVIEW_SIDE)
        self._bar.update_absolute(*self._value, preview)
