"""Text to Image, Image to Image, Image Edit: inputs to requests, results to one IMAGE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
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
from ..engine.job import Frames, Plan, PlannedRequest, Results, next_seed, with_usable_seed
from ..engine.run import Inputs, run
from ..media.image_files import Resized, decode, is_one_color, to_batch
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
from ..siliconflow.errors import BadPicture
from ..siliconflow.resources import images as images_api
from ..storage.ledger import ResponseMetadata
from ..storage.settings import Settings
from ..strings.text import Text, text
from .image_fitting import INPUTS as FITTING_INPUTS
from .image_fitting import Fitting, Layers, fit_images, fitting_value, is_same_shape
from .image_inputs import gather_references, with_references

RESERVED = frozenset({"model", "prompt", "seed", "image", "image2", "image3"})
_SIZE_INPUTS = ("image_size", "width", "height")
_OWN_FIELDS = frozenset({*_SIZE_INPUTS, *FITTING_INPUTS, "seed", "batch_size", "batch_means"})
_EMPTY_MASK = 64
"""The width and height of the mask that Load Image gives for an image without alpha."""
Images = Mapping[str, torch.Tensor]
Outputs = tuple[torch.Tensor, int, str, list[torch.Tensor], torch.Tensor, str]


@dataclass(frozen=True)
class ImagePlan(Plan):
    """A run of an image node; `fitting` is what becomes of its results, `None` leaves them."""

    fitting: Fitting | None = None


async def make_images(
    task: str, image_inputs: tuple[str, ...], inputs: Inputs, caller: Caller
) -> Outputs:
    """Return the outputs of an image node: images `[B,H,W,C]`, the first seed, info (JSON), a list
    of the images `[1,H,W,C]`, each in its own size, the mask, and the first image's parameters.

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
    model = chosen_model(task, inputs, settings.site)
    references = gather_references(model, image_inputs, inputs) if image_inputs else {}
    images = {wire: each.images for wire, each in references.items() if each.images is not None}
    prompt = str(inputs.get("prompt", ""))
    require_text(prompt, "prompt")
    if task == "image-edit":
        prompt = with_references(prompt, [*references.values()], model)
    inputs, notes = with_usable_seed(inputs)
    urls = {wire: each.url for wire, each in references.items() if each.url}
    head = {"model": model.id, "prompt": prompt, **urls}
    extra = extra_body(inputs, RESERVED | set(model.images))
    values_for = partial(_set_fields, model, inputs)
    sources: list[Frames] = [*images.values()]
    of_references = [each.images for each in references.values()]
    fitting = fit_images(model, inputs, of_references, values_for, extra) if references else None
    if fitting:
        values = fitting.placements[0].values
        groups = [[(at, each.values) for at, each in group] for group in fitting.groups()]
        sources = fitting.sent([*images.values()])
    else:
        height, width = next(iter(images.values())).shape[1:3] if images else (0, 0)
        frames = max([1, *map(len, images.values())])
        values = values_for(width, height)
        groups = [[(frame, values)] for frame in range(frames)]
    parts = _split_batch(model, inputs, settings, extra)
    return ImagePlan(
        model=model,
        requests=tuple(
            PlannedRequest(
                frame,
                count,
                seed,
                merged({**head, **_arguments(model, {**sized, **fields})}, extra),
                former_frame=fitting.former_of(frame) if fitting else None,
            )
            for group in groups
            for count, seed, fields in parts
            for frame, sized in group
        ),
        endpoint=IMAGES,
        images=dict(zip(images, sources, strict=True)),
        input_names={wire: references[wire].input for wire in images},
        first_frames={wire: references[wire].frame for wire in images},
        not_sent=model.not_sent(values),
        notes=[*notes, *_notes_of_mask(inputs, fitting)],
        headers={} if settings.visible_watermark else images_api.WITHOUT_VISIBLE_MARK,
        once=_notes_of_mark(settings, fitting),
        fitting=fitting,
    )


def image_outputs(results: Results) -> tuple[Text, Outputs]:
    """Return the line that the node shows, and its outputs.

    The jobs let go of their images: each leaves memory once it is copied into the batch.
    """
    plan, jobs = results.plan, results.jobs
    fitting = plan.fitting if isinstance(plan, ImagePlan) else None
    mask: torch.Tensor | None = None
    resized: list[Resized] = []
    sent = [result.frame for job in jobs for result in job.results for _ in result.items]
    laid_back = fitting if fitting and fitting.is_laid_back else None
    layers = laid_back.layers(plan, jobs) if laid_back else []
    _note_filtered(results, laid_back, layers)
    if laid_back:
        seeds, frames = [each.seed for each in layers], [each.frame for each in layers]
        if laid_back.keeps_alpha(layers):
            results.note(text("task.alpha_kept"))
        batch, mask = laid_back.lay_back(layers)
        shapes = [batch.shape[1:3]] * len(batch)
        image_list = [batch[at : at + 1] for at in range(len(batch))]
    else:
        seeds = [seed for job in jobs for seed in job.seeds]
        frames = [job.request.frame for job in jobs for _ in job.items]
        images = results.items
        if fitting:
            images = [*map(fitting.without_padding, images, sent)]
            if max(sent) >= len(fitting.placements):
                results.note(text("task.saved_unfitted"))
        shapes = [image.shape[:2] for image in images]
        for job in jobs:
            job.drop_items()
        others = {at: each for at, each in enumerate(images) if each.shape[:2] != shapes[0]}
        batch, resized = to_batch(images)
        image_list = [
            to_batch([others.pop(at)])[0] if at in others else batch[at : at + 1]
            for at in range(len(batch))
        ]
    sizes = [
        {"seed": seed, "width": width, "height": height, "frame": frame}
        for seed, (height, width), frame in zip(seeds, shapes, frames, strict=True)
    ]
    height, width = shapes[0]
    line = text(
        "run.images_done",
        n=len(batch),
        size=f"{width}×{height}",
        seed=seeds[0],
        seconds=f"{results.seconds:.1f}",
    )
    parameters = _parameters(results, seeds[0], f"{width}x{height}")
    info = results.info(
        pictures=sizes,
        parameters=parameters,
        uploads=list(results.uploads),
        fitted=fitting.info(sent) if fitting else [],
        resized=[vars(entry) for entry in resized],
        visible_watermark=not plan.headers,
        visible_mark_cut_off=bool(not plan.headers and fitting and fitting.cuts_edges(sent)),
    )
    mask = _transparency(batch) if mask is None else mask
    return line, (batch, seeds[0], info, image_list, mask, parameters)


def _transparency(images: torch.Tensor) -> torch.Tensor:
    """Return the MASK of images `[B,H,W,C]`, 1 where they are transparent, as Load Image has it.

    Without alpha it is as empty as that node's, and as small.
    """
    if images.shape[-1] == 4:
        return 1 - images[..., 3]
    return torch.zeros(len(images), _EMPTY_MASK, _EMPTY_MASK)


def _note_filtered(results: Results, fitting: Fitting | None, layers: Sequence[Layers]) -> None:
    """Note which images are of a single color: such a one stands in for what a filter refused.

    A result that is laid into an image has that one's number, and is none if all that was sent of
    the image had a single color.
    """
    is_flat = partial(is_one_color, is_marked=not results.plan.headers)
    images = results.items
    places = [at for at, image in enumerate(images) if is_flat(image)]
    outputs = {at + 1 for at in places}
    if fitting and places:
        place_of = {id(images[at]): at for at in places}
        laid = [
            (number, place_of[id(image)])
            for number, each in enumerate(layers, 1)
            for placement, image in each.results
            if id(image) in place_of and not is_flat(fitting.sent_part(placement))
        ]
        outputs, places = {number for number, _ in laid}, [*{at for _, at in laid}]
    if not places:
        return
    came = [result for job in results.jobs for result in job.results for _ in range(result.count)]
    costs = [each.cost / each.count for each in came if each.cost is not None]
    if len(costs) == len(came):
        amount = sum((costs[at] for at in places), Decimal(0))
        key = "run.filtered_priced" if amount else "run.filtered_free"
        cost = text(key, amount=f"{amount:f}", currency=results.prices.get("currency"))
    else:
        cost = text("run.filtered")
    numbers = ", ".join(map(str, sorted(outputs)))
    results.note(text("run.one_color", n=len(outputs), numbers=numbers, cost=cost))


def _parameters(results: Results, seed: int, size: str) -> str:
    """Return how the first image was made, as A1111 writes it into a file and Civitai reads it.

    What is not sent is what the service's documents say of the model; what nobody knows is left
    out. Many programs look for a line that begins with the steps, and find none without.
    """
    model, body = results.plan.model, results.plan.requests[0].body
    own = (
        [] if model.guessed_from else [each for each in model.fields.values() if not each.required]
    )
    values = {**{each.wire: each.default for each in own if each.default is not None}, **body}
    negative = body.get("negative_prompt")
    named = {
        "Steps": values.get("num_inference_steps"),
        "CFG scale": values.get("cfg", values.get("guidance_scale")),
        "Seed": seed,
        "Size": size,
        "Model": model.id,
        "Version": "SiliconFlow",
    }
    lines = [
        str(body["prompt"]),
        *([f"Negative prompt: {negative}"] if negative else []),
        ", ".join(f"{name}: {value}" for name, value in named.items() if value is not None),
    ]
    return "\n".join(lines)


def _set_fields(model: Model, inputs: Inputs, width: int, height: int) -> dict[str, Value]:
    """Return the fields that the user set, with the size as the model takes it.

    Of width and height are the image that is sent; 0 if there is none.
    """
    declared = catalogue.load()
    chosen = str(inputs.get("image_size", AUTO))
    if chosen == AUTO and width and inputs.get("aspect_ratio", AUTO) == AUTO:
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


def _notes_of_mask(inputs: Inputs, fitting: Fitting | None) -> list[Text]:
    """Return what is worth knowing of a mask: it is empty, its edge is cut, its shape differs."""
    if inputs.get("mask") is None:
        return []
    if fitting is None or fitting.mask is None:
        return [text("task.mask_empty")]
    notes = []
    margin, feather = (int(fitting_value(f"mask_{name}", inputs)) for name in ("margin", "feather"))
    if feather > margin:
        notes.append(text("task.feather_beyond_margin", feather=feather, margin=margin))
    (height, width), (image_height, image_width) = fitting.mask.shape[1:], fitting.image.shape[1:3]
    if not is_same_shape((width, height), (image_width, image_height)):
        sizes = {"mask": f"{width}×{height}", "image": f"{image_width}×{image_height}"}
        notes.append(text("task.mask_stretched", **sizes))
    return notes


def _notes_of_mark(settings: Settings, fitting: Fitting | None) -> dict[str, Text]:
    """Return what each account is told once of the visible mark, and of one that is cut off."""
    if not settings.visible_watermark or settings.site != "cn":
        return {}
    if fitting and fitting.cuts_edges(range(len(fitting.placements))):
        return {"visible_mark_cut_off": text("run.visible_mark_cut_off")}
    return {"visible_mark": text("run.visible_mark")}


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
