"""The tasks by name, as the nodes call them; loaded when the first node runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from ..comfyui.host import Caller
from ..engine.endpoint import Endpoint
from ..engine.prompt_costs import PLANNERS
from ..engine.run import Inputs
from . import chat_tasks, image_tasks, lookup_tasks, retrieval_tasks, speech_tasks, video_tasks

Task = Callable[[Inputs, Caller], Awaitable[Any]]
IMAGES = ("image", "image2", "image3")

TASKS: dict[str, Task] = {
    "text-to-image": partial(image_tasks.make_images, "text-to-image", ()),
    "image-to-image": partial(image_tasks.make_images, "image-to-image", IMAGES[:1]),
    "image-edit": partial(image_tasks.make_images, "image-edit", (*IMAGES, "references")),
    "text-to-video": partial(video_tasks.make_videos, "text-to-video"),
    "image-to-video": partial(video_tasks.make_videos, "image-to-video"),
    "chat": chat_tasks.chat,
    "text-to-speech": speech_tasks.text_to_speech,
    "speech-to-text": speech_tasks.speech_to_text,
    "voice": speech_tasks.upload_voice,
    "embedding": retrieval_tasks.embed,
    "rerank": retrieval_tasks.rerank_texts,
    "account": lookup_tasks.account,
    "models": lookup_tasks.models,
    "voices": lookup_tasks.voices,
    "delete-voice": lookup_tasks.delete_voice,
}
"""What each task does. Each raises what `engine.run.run` raises."""

PLANNERS.update(
    {
        "text-to-image": partial(image_tasks.plan_images, "text-to-image", ()),
        "image-to-image": partial(image_tasks.plan_images, "image-to-image", IMAGES[:1]),
        "image-edit": partial(image_tasks.plan_images, "image-edit", (*IMAGES, "references")),
        "text-to-video": partial(video_tasks.plan_videos, "text-to-video"),
        "image-to-video": partial(video_tasks.plan_videos, "image-to-video"),
        "chat": chat_tasks.plan_chat,
        "text-to-speech": speech_tasks.plan_speech,
        "embedding": retrieval_tasks.plan_embeddings,
        "rerank": retrieval_tasks.plan_rerank,
    }
)

TICKETS: dict[str, Endpoint] = {
    "text-to-video": video_tasks.VIDEOS,
    "image-to-video": video_tasks.VIDEOS,
}
"""The endpoints of the tasks whose requests outlive a process: they are gone on with."""
