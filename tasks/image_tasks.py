"""Text to Image, Image to Image, Image Edit: inputs to requests, results to one IMAGE."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch

from ..comfyui.host import Caller
from ..engine.endpoint import (
    IMAGES_A_MINUTE,
    ApiRequest,
    ApiResult,
    Endpoint,
    FileContent,
    OnText,
    RemoteFile,
    ResultKind,
)
from ..engine.job import Plan, PlannedRequest, Results, next_seed
from ..engine.run import Inputs, run
from ..media.image_files import decode, to_batch
from ..siliconflow import catalogue
from ..siliconflow.catalogue import (
    AUTO,
    Model,
    Value,
    chosen_model,
    extra_body,
    merged,
    require_text,
)
from ..siliconflow.client import Client
from ..siliconflow.errors import BadPicture, InvalidInput
from ..siliconflow.resources import images as images_api
from ..storage.ledger import ResponseMetadata
from ..storage.settings import Settings
from ..strings.text import Text, text
from .image_inputs import require_image

RESERVED = frozenset({"model", "prompt", "seed", "image", "image2", "image3"})
_REFERENCE = re.compile(r"@image(\d+)", re.IGNORECASE)
_SIZE_INPUTS = ("image_size", "width", "height")
_OWN_FIELDS = frozenset({*_SIZE_INPUTS, "seed", "batch_size"})
Images = Mapping[str, torch.Tensor]


async def make_images(
    task: str, image_inputs: tuple[str, ...], inputs: Inputs, caller: Caller
) -> tuple[torch.Tensor, int, str]:
    """Return the outputs of an image node: images `[B,H,W,C]`, the first seed, info (JSON).

    Raises what `engine.run.run` raises.
    """
    prepare = partial(plan_images, task, image_inputs, inputs)
    return await run(task, inputs, caller, prepare, image_outputs)


def plan_images(
    task: str, image_inputs: tuple[str, ...], inputs: Inputs, settings: Settings
) -> Plan:
    """Check all inputs of a node, and split them into requests.

    Raises `InvalidInput`, which names the input, for anything that the service would refuse or
    that would be lost on the way.
    """
    images = {name: inputs[name] for name in image_inputs if inputs.get(name) is not None}
    model = chosen_model(task, inputs, settings.site)
    if image_inputs and "image" not in images:
        raise InvalidInput("image", text("task.image_missing"))
    for place, (name, image) in enumerate(images.items()):
        _check_frames(name, image, images["image"])
        if place >= len(model.images):
            raise InvalidInput(
                name, text("task.too_many_images", model=model.id, n=len(model.images))
            )
    prompt = str(inputs.get("prompt", ""))
    require_text(prompt, "prompt")
    if task == "image-edit":
        prompt = _with_references(prompt, images, model)
    head = {"model": model.id, "prompt": prompt}
    extra = extra_body(inputs, RESERVED | set(model.images))
    values = _set_fields(model, inputs, images)
    parts = _split_batch(model, inputs, settings, extra)
    frames = max([1, *(image.shape[0] for image in images.values())])
    return Plan(
        model=model,
        requests=tuple(
            PlannedRequest(
                frame,
                count,
                seed,
                merged({**head, **_arguments(model, {**values, **fields})}, extra),
            )
            for frame in range(frames)
            for count, seed, fields in parts
        ),
        endpoint=IMAGES,
        images=dict(zip(model.images, images.values(), strict=False)),
        input_names=dict(zip(model.images, images, strict=False)),
        not_sent=model.not_sent(values),
        headers={} if settings.visible_watermark else images_api.WITHOUT_VISIBLE_MARK,
        once=(
            {"visible_mark": text("run.visible_mark")}
            if settings.visible_watermark and settings.site == "cn"
            else {}
        ),
    )


def image_outputs(results: Results) -> tuple[Text, tuple[torch.Tensor, int, str]]:
    """Return the line that the node shows, and its outputs.

    The jobs let go of their images: each leaves memory once it is copied into the batch.
    """
    jobs, images = results.jobs, results.items
    seeds = [seed for job in jobs for seed in job.seeds]
    frames = [job.request.frame for job in jobs for _ in job.items]
    sizes = [
        {"seed": seed, "width": image.shape[1], "height": image.shape[0], "frame": frame}
        for seed, image, frame in zip(seeds, images, frames, strict=True)
    ]
    height, width = images[0].shape[:2]
    line = text(
        "run.images_done",
        n=len(images),
        size=f"{width}×{height}",
        seed=seeds[0],
        seconds=f"{results.seconds:.1f}",
    )
    for job in jobs:
        job.drop_items()
    batch, resized = to_batch(images)
    info = results.info(
        pictures=sizes,
        uploads=list(results.uploads),
        resized=[vars(entry) for entry in resized],
        visible_watermark=not results.plan.headers,
    )
    return line, (batch, seeds[0], info)


def _check_frames(name: str, image: torch.Tensor, first: torch.Tensor) -> None:
    require_image(name, image)
    frames, wanted = image.shape[0], first.shape[0]
    if frames not in {1, wanted}:
        raise InvalidInput(name, text("task.other_frames", n=frames, wanted=wanted))


def _with_references(prompt: str, images: Images, model: Model) -> str:
    """Return the prompt with each `@image2` as the model speaks of that image."""
    numbers = {name.removeprefix("image") or "1": place for place, name in enumerate(images, 1)}

    def reference(match: re.Match[str]) -> str:
        if match.group(1) not in numbers:
            raise InvalidInput("prompt", text("task.image_not_connected", image=match.group()))
        return model.reference.format(numbers[match.group(1)])

    return _REFERENCE.sub(reference, prompt)


def _set_fields(model: Model, inputs: Inputs, images: Images) -> dict[str, Value]:
    """Return the fields that the user set, with the size as the model takes it."""
    declared = catalogue.load()
    chosen = str(inputs.get("image_size", AUTO))
    if chosen == AUTO and images and inputs.get("aspect_ratio", AUTO) == AUTO:
        height, width = images["image"].shape[1:3]
        chosen = model.closest_size(width, height)
    sides = (int(inputs.get(name, declared.inputs[name].default)) for name in ("width", "height"))
    size = model.size_arguments(chosen, *sides)
    values = {
        name: inputs[name] for name in declared.inputs if name in inputs and name not in _OWN_FIELDS
    }
    return {**size, **declared.only_set(values)}


def _arguments(model: Model, values: Mapping[str, Value]) -> dict[str, Value]:
    """Return the request's fields, without a `batch_size` that only a default would send."""
    arguments = model.arguments(values)
    return {name: arguments[name] for name in arguments if name != "batch_size" or name in values}


def _split_batch(
    model: Model, inputs: Inputs, settings: Settings, extra: Mapping[str, Any]
) -> list[tuple[int, int, dict[str, Value]]]:
    """Split `batch_size` into what one request can make: (count, seed, their fields) of each.

    That is one image, unless the settings allow native batches; or the `batch_size` that
    `extra_body` adds to each request, or takes out of it. The seed of a request is the first one's
    plus the number of images before it.
    """
    declared = catalogue.load().inputs
    total, first = (
        int(declared[name].check(inputs.get(name, declared[name].default)))
        for name in ("batch_size", "seed")
    )
    most = (model.max_images_per_request or total) if settings.native_batch else 1
    if "batch_size" in extra:
        own = extra["batch_size"]
        most = 1 if own is None else int(declared["batch_size"].check(own))
        total *= most
    native = settings.native_batch and "batch_size" not in extra
    parts: list[tuple[int, int, dict[str, Value]]] = []
    for start in range(0, total, most):
        count, seed = min(most, total - start), next_seed(first, start)
        is_sent = native and ("batch_size" in model.fields or (not model.listed and count > 1))
        parts.append(
            (count, seed, {"seed": seed, "batch_size": count} if is_sent else {"seed": seed})
        )
    return parts


def _generate(client: Client, request: ApiRequest, _on_text: OnText) -> ApiResult:
    generated = images_api.generate(client, request.body, request.data_urls, request.headers)
    items = [
        FileContent(source) if isinstance(source, bytes) else RemoteFile(source)
        for source in generated.sources
    ]
    metadata = ResponseMetadata(
        generated.trace_id, generated.seed, generated.inference, generated.seconds
    )
    return ApiResult(items, metadata)


IMAGES = Endpoint(
    images_api.PATH,
    ResultKind(
        "image",
        decode,
        allowed_a_minute=IMAGES_A_MINUTE,
        counts_as_images=True,
        has_previews=True,
        bad_file=BadPicture,
    ),
    _generate,
    "image",
)
