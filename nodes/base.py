"""What several nodes have in common: their outputs, and what is refused at once."""

from __future__ import annotations

from typing import Any

from .node import Node, refusal, single


class ImageNode(Node):
    """An image task as a ComfyUI node."""

    outputs = ("images", "seed", "info")
    CATEGORY = "SiliconFlow/Image"
    RETURN_TYPES = ("IMAGE", "INT", "STRING")

    @classmethod
    def VALIDATE_INPUTS(  # noqa: N802 - ComfyUI's name
        cls, prompt: str | None = None, model: str | None = None, custom_model: str | None = ""
    ) -> bool | str:
        """Refuse an empty prompt and an unknown model when the graph is queued: nothing is paid."""
        return refusal(cls.task, {"prompt": prompt}, model, custom_model)


class ModelNode(Node):
    """A task that has nothing but its model to check before it runs."""

    @classmethod
    def VALIDATE_INPUTS(  # noqa: N802 - ComfyUI's name
        cls, model: Any = None, custom_model: Any = ""
    ) -> bool | str:
        """Refuse an unknown model when the graph is queued; nodes of lists are given lists."""
        return refusal(cls.task, {}, single(model), single(custom_model))
