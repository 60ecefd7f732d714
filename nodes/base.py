"""What the three image nodes have in common: outputs, category, and how inputs are described."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, TypeAlias

import torch

from ..siliconflow import texts as texts_in_use
from ..siliconflow.errors import InvalidInput
from . import host
from .asker import asker_of
from .inputs import PICTURES, WORKFLOW, input_types, texts
from .offered import check_model, model_ids
from .prompt import check_prompt
from .threads import in_thread

Generate: TypeAlias = Callable[..., Awaitable[tuple[torch.Tensor, int, str]]]

OUTPUTS = ("images", "seed", "info")


class ImageNode:
    """An image task as a ComfyUI node: `required` and `optional` name its inputs, in order.

    Widgets are restored by their position in saved workflows: new ones go to the end.
    """

    task: ClassVar[str]
    required: ClassVar[tuple[str, ...]]
    optional: ClassVar[tuple[str, ...]]

    CATEGORY = "SiliconFlow/Image"
    FUNCTION = "execute"
    RETURN_TYPES = ("IMAGE", "INT", "STRING")
    RETURN_NAMES = OUTPUTS
    OUTPUT_TOOLTIPS = tuple(texts()["outputs"][name]["tooltip"]["en"] for name in OUTPUTS)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        """Describe the inputs to ComfyUI."""
        return input_types(cls.task, cls.required, cls.optional, tuple(model_ids(cls.task)))

    @classmethod
    def VALIDATE_INPUTS(  # noqa: N802 - ComfyUI's name
        cls, prompt: str | None = None, model: str | None = None, custom_model: str | None = ""
    ) -> bool | str:
        """Refuse an empty prompt and an unknown model when the graph is queued: nothing is paid.

        ComfyUI itself checks no input that is named here. One that another node gives is `None`.
        """
        texts_in_use.use(host.language(""))
        try:
            check_prompt("linked" if prompt is None else str(prompt))
            if model is not None and custom_model is not None:
                check_model(cls.task, str(model), str(custom_model))
        except InvalidInput as error:
            return str(error)
        return True

    async def execute(self, **inputs: Any) -> tuple[torch.Tensor, int, str]:
        """Run the task; see `run.generate` for what it raises."""
        names = [name for name in (*self.required, *self.optional) if name in PICTURES]
        images = {name: inputs.pop(name, None) for name in names}
        asker = asker_of(type(self).__name__, inputs.pop(WORKFLOW, None))
        generate = await in_thread(_road)
        return await generate(self.task, inputs, images, asker)


def _road() -> Generate:
    """Load what runs a node: the network's libraries take longer than ComfyUI's start should."""
    from .run import generate

    return generate
