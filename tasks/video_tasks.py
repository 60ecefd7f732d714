"""Text to Video, Image to Video: inputs to requests, results to a list of VIDEO."""

from __future__ import annotations

from functools import partial
from typing import Any

from ..comfyui import host
from ..comfyui.host import Caller
from ..engine.endpoint import (
    ApiRequest,
    ApiResult,
    Endpoint,
    OnText,
    RemoteFile,
    ResultKind,
    Ticket,
)
from ..engine.job import Plan, PlannedRequest, Results, with_usable_seed
from ..engine.run import Inputs, run
from ..media.video_files import SUFFIX, Clip, read_clip
from ..siliconflow import catalogue
from ..siliconflow.catalogue import chosen_model, extra_body, merged, require_text, set_values
from ..siliconflow.client import Client
from ..siliconflow.errors import InvalidInput
from ..siliconflow.resources import video as video_api
from ..siliconflow.resources.video import VideoPending
from ..storage.ledger import ResponseMetadata
from ..storage.settings import Settings
from ..strings.text import Text, text
from .image_inputs import require_image

RESERVED = frozenset({"model", "prompt", "seed", "image"})


async def make_videos(task: str, inputs: Inputs, caller: Caller) -> tuple[list[Any], int, str]:
    """Return the outputs of a video node: a list of VIDEO, the first seed, info (JSON).

    Raises what `engine.run.run` raises.
    """
    return await run(task, inputs, caller, partial(plan_videos, task, inputs), video_outputs)


def plan_videos(task: str, inputs: Inputs, settings: Settings) -> Plan:
    """Check all inputs of a node: one request for each frame, or for the prompt alone.

    Raises `InvalidInput`, which names the input, for anything that the service would refuse.
    """
    inputs, notes = with_usable_seed(inputs)
    model = chosen_model(task, inputs, settings.site)
    prompt, image = str(inputs.get("prompt", "")), inputs.get("image")
    require_text(prompt, "prompt")
    values = set_values(inputs, ("negative_prompt", "image_size"))
    seed = catalogue.load().inputs["seed"].check(inputs.get("seed", 0))
    frames = 1
    if task == "image-to-video":
        if image is None:
            raise InvalidInput("image", text("task.image_missing"))
        require_image("image", image)
        frames, (height, width) = image.shape[0], image.shape[1:3]
        if model.listed:
            values.setdefault("image_size", model.closest_size(width, height))
    arguments = model.arguments({**values, "seed": seed})
    body = merged({"model": model.id, "prompt": prompt, **arguments}, extra_body(inputs, RESERVED))
    return Plan(
        model=model,
        requests=tuple(PlannedRequest(frame, 1, int(seed), body) for frame in range(frames)),
        endpoint=VIDEOS,
        images={} if image is None else {"image": image},
        input_names={} if image is None else {"image": "image"},
        not_sent=model.not_sent(values),
        notes=notes,
    )


def video_outputs(results: Results) -> tuple[Text, tuple[list[Any], int, str]]:
    """Return the line that the node shows, and its outputs."""
    clips: list[Clip] = results.items
    seeds = [seed for job in results.jobs for seed in job.seeds]
    frames = [job.request.frame for job in results.jobs for _ in job.items]
    videos = [
        {
            "seed": seed,
            "width": clip.width,
            "height": clip.height,
            "length": round(clip.seconds, 2),
            "frames": clip.frames,
            "frame": frame,
        }
        for seed, clip, frame in zip(seeds, clips, frames, strict=True)
    ]
    line = text(
        "run.videos_done",
        n=len(clips),
        size=f"{clips[0].width}×{clips[0].height}",
        length=f"{clips[0].seconds:.1f}",
        seed=seeds[0],
        seconds=f"{results.seconds:.1f}",
    )
    info = results.info(videos=videos, uploads=list(results.uploads))
    return line, ([host.video(clip.path) for clip in clips], seeds[0], info)


def _submit(client: Client, request: ApiRequest, _on_text: OnText) -> Ticket:
    submitted = video_api.submit(client, request.body, request.data_urls)
    return Ticket(submitted.id, submitted.trace_id)


def _poll(client: Client, ticket: Ticket) -> ApiResult | Text:
    video = video_api.status(client, ticket.id)
    if isinstance(video, VideoPending):
        return text("run.in_line" if video.state == "in_line" else "run.running")
    metadata = ResponseMetadata(video.trace_id, video.seed, video.inference, video.seconds)
    return ApiResult([RemoteFile(url) for url in video.urls], metadata)


VIDEOS = Endpoint(
    video_api.SUBMIT_PATH,
    ResultKind(
        "video",
        load_file=read_clip,
        suffix=SUFFIX,
        counts_as_images=True,
        has_previews=True,
        preview=lambda clip: clip.poster,
    ),
    _submit,
    "video",
    poll=_poll,
    most_seconds=video_api.MOST_SECONDS,
    usage=lambda _body: {"video": 1},
)
