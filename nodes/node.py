"""What all nodes have in common: how they are described to ComfyUI, and how they are run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, ClassVar

from ..comfyui import host
from ..comfyui.caller import Caller, current_caller
from ..engine.threads import in_thread
from ..siliconflow.errors import InvalidInput
from ..siliconflow.fields import require_text
from ..strings.text import use_language
from .model_choices import check_model, model_ids
from .widgets import WORKFLOW, description, explanation, input_types


class Node:
    """A task as a ComfyUI node: `required` and `optional` name its inputs, `outputs` its outputs.

    Widgets are restored by their position in saved workflows: new ones go to the end.
    """

    task: ClassVar[str]
    required: ClassVar[tuple[str, ...]] = ()
    optional: ClassVar[tuple[str, ...]] = ()
    outputs: ClassVar[tuple[str, ...]]

    CATEGORY: ClassVar[str]
    FUNCTION = "execute"
    DESCRIPTION: ClassVar[str]
    RETURN_TYPES: ClassVar[tuple[str, ...]]
    RETURN_NAMES: ClassVar[tuple[str, ...]]
    OUTPUT_TOOLTIPS: ClassVar[tuple[str, ...]]
    SEARCH_ALIASES: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        """Take names and explanations from the texts."""
        if hasattr(cls, "task"):
            cls.DESCRIPTION = description(cls.task).en
            cls.RETURN_NAMES = cls.outputs
            tooltips = (explanation("output", cls.task, name) for name in cls.outputs)
            cls.OUTPUT_TOOLTIPS = tuple(tooltip.en for tooltip in tooltips)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        """Describe the inputs to ComfyUI."""
        models = model_ids(cls.task) if "model" in cls.required else []
        return input_types(cls.task, cls.required, cls.optional, tuple(models))

    async def execute(self, **inputs: Any) -> Any:
        """Run the task; see `tasks` for what it gives and raises."""
        caller = current_caller(type(self).__name__, single(inputs.pop(WORKFLOW, None)))
        work = await in_thread(partial(_work, self.task))
        return await work(inputs, caller)


def refusal(
    task: str,
    needed: Mapping[str, object],
    model: str | None = None,
    custom_model: str | None = None,
) -> bool | str:
    """Answer ComfyUI's `VALIDATE_INPUTS`: empty texts and unknown models are refused at once.

    ComfyUI itself checks no input that is named there. One that another node gives is `None`.
    """
    use_language(host.language(""))
    try:
        for name, text in needed.items():
            require_text("linked" if text is None else str(text), name)
        if model is not None and custom_model is not None:
            check_model(task, str(model), str(custom_model))
    except InvalidInput as error:
        return str(error)
    return True


def single(value: Any) -> Any:
    """Take an input out of the list, or the tuple, in which a node of lists gets it."""
    return value[0] if isinstance(value, list | tuple) and value else value


def _work(task: str) -> Callable[[Mapping[str, Any], Caller], Awaitable[Any]]:
    """Load what runs nodes: the network's libraries take longer than ComfyUI's start should."""
    from ..tasks.registry import TASKS

    return TASKS[task]
