"""What each task does, from its inputs to its outputs; loaded when the first node runs.

Each raises what `run.generate` raises.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import torch

from ..comfyui.caller import Caller
from ..engine.run import ask, generate
from ..nodes.widgets import IMAGE_INPUTS
from ..storage.settings import Settings
from ..strings.text import Text
from . import (
    chat_tasks as chat_plan,
)
from . import (
    lookup_tasks as lookups,
)
from . import (
    retrieval_tasks as texts_plan,
)
from . import (
    speech_tasks as speech_plan,
)
from .plan import Plan
from .results import Results

Inputs = Mapping[str, Any]
Task = Callable[[Inputs, Caller], Awaitable[Any]]
Images = dict[str, torch.Tensor | None]


async def _paint(task: str, pictures: tuple[str, ...], inputs: Inputs, caller: Caller) -> Any:
    values, images = _parted(inputs, pictures)
    return await generate(task, values, images, caller)


async def _chat(inputs: Inputs, caller: Caller) -> Any:
    values, images = _parted(inputs, IMAGE_INPUTS)
    prepare = partial(chat_plan.prepare, values, images)
    return await ask("chat", values, caller, prepare, chat_plan.shape)


async def _call(
    task: str,
    plan: Callable[[Inputs, Settings], Plan],
    outputs: Callable[[Results], tuple[Text, Any]],
    inputs: Inputs,
    caller: Caller,
) -> Any:
    values = texts_plan.single(inputs)
    return await ask(task, values, caller, partial(plan, values), outputs)


def _parted(inputs: Inputs, pictures: tuple[str, ...]) -> tuple[dict[str, Any], Images]:
    """Tell a node's pictures from its other inputs; a picture that is not connected is `None`."""
    values = {name: value for name, value in inputs.items() if name not in pictures}
    return values, {name: inputs.get(name) for name in pictures}


def _calling(
    task: str,
    plan: Callable[[Inputs, Settings], Plan],
    outputs: Callable[[Results], tuple[Text, Any]],
) -> tuple[str, Task]:
    return task, partial(_call, task, plan, outputs)


TASKS: dict[str, Task] = {
    "text-to-image": partial(_paint, "text-to-image", ()),
    "image-to-image": partial(_paint, "image-to-image", IMAGE_INPUTS[:1]),
    "image-edit": partial(_paint, "image-edit", IMAGE_INPUTS[:3]),
    "chat": _chat,
    **dict(
        [
            _calling("text-to-speech", speech_plan.speech_plan, speech_plan.speech_outputs),
            _calling(
                "speech-to-text",
                speech_plan.transcription_plan,
                speech_plan.transcription_outputs,
            ),
            _calling("voice", speech_plan.voice_plan, speech_plan.voice_outputs),
            _calling("embedding", texts_plan.embedding_plan, texts_plan.embedding_outputs),
            _calling("rerank", texts_plan.rerank_plan, texts_plan.rerank_outputs),
        ]
    ),
    "account": lookups.account,
    "models": lookups.models,
    "voices": lookups.voices,
    "delete-voice": lookups.delete_voice,
}
