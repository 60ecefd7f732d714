"""Which part of an image is sent, at which size, and how its result is laid back into the image."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, cast

import numpy as np
import torch

from ..engine.job import Frames, Job, Plan
from ..engine.run import Inputs
from ..media.fitting import (
    Fit,
    Size,
    copy_into,
    cut_to,
    empty_images,
    fit_box,
    lay_back,
    with_channels,
)
from ..media.image_files import DecodedImage
from ..media.masking import (
    Box,
    Weights,
    feathered,
    is_painted,
    mask_frames,
    mask_weights,
    painted_box,
    spots_in,
)
from ..media.media_error import MediaError
from ..siliconflow import catalogue
from ..siliconflow.catalogue import Model, Value, merged, parse_size
from ..siliconflow.errors import InvalidInput
from ..strings.text import text
from .image_inputs import ONE_EDIT

INPUTS = ("mask_margin", "mask_feather", "mask_each", "result_size", "fit")
MAX_SPOTS = 64
"""Requests that the painted spots of one image may ask for: as many as a `batch_size` may."""
_CUTS_KEPT = 4
_SAME_SHAPE = 0.02
"""By how much shapes may differ: sides are rounded when they are scaled."""
Values = Mapping[str, Value]


@dataclass(frozen=True)
class Placement:
    """What one request sends: a box of a frame at a size; it has the fields `values`.

    With a mask, the result covers the `spot` of the box that is painted.
    """

    frame: int
    box: Box
    size: Size
    values: Values
    spot: Box | None = None


class Cuts:
    """The parts of an IMAGE that are sent, `[H,W,C]` float32, each made when it is needed."""

    def __init__(self, image: torch.Tensor, placements: Sequence[Placement]) -> None:
        """Cut nothing yet. What names a part, encodes it and describes it makes it once."""
        self._image, self._placements = image, placements
        self._cut = lru_cache(_CUTS_KEPT)(self._make)

    def __len__(self) -> int:
        """Return how many parts there are."""
        return len(self._placements)

    def __getitem__(self, number: int) -> torch.Tensor:
        """Return a part."""
        return self._cut(number)

    def _make(self, number: int) -> torch.Tensor:
        placement = self._placements[number]
        is_whole = placement.box == _bounds(self._image) and placement.size == placement.box.size
        frame = _frame(self._image, placement.frame)
        return frame if is_whole else _cut(self._image, placement)


@dataclass(frozen=True)
class Layers:
    """One image of the output: its frame, its seed, and the results that are laid into it."""

    frame: int
    seed: int
    results: Sequence[tuple[Placement, DecodedImage]] = ()


@dataclass(frozen=True)
class Fitting:
    """How the frames of an IMAGE `[B,H,W,C]` are sent, and how their results are laid back.

    With a `mask` `[B,H,W]`, a frame in which nothing is painted has no placement: it comes back as
    it is. `feather` is in pixels. Unless it `is_laid_back`, a result stays as it is but for what
    was padded. `former` are the placements with which earlier versions sent the same.
    """

    image: torch.Tensor
    frames: int
    placements: Sequence[Placement]
    mask: torch.Tensor | None = None
    feather: int = 0
    fit: str = "pad"
    is_laid_back: bool = True
    former: Sequence[Placement] = ()

    def groups(self) -> list[list[tuple[int, Placement]]]:
        """Return the placements of each frame, with their numbers."""
        groups: list[list[tuple[int, Placement]]] = [[] for _ in range(self.frames)]
        for number, placement in enumerate(self.placements):
            groups[placement.frame].append((number, placement))
        return groups

    def sent(self, images: Sequence[torch.Tensor]) -> list[Frames]:
        """Return what goes with each placement: parts of the first image, frames of the others.

        Behind them stands what went with the former ones.
        """
        placements = [*self.placements, *self.former]
        others: list[Frames] = [
            image if len(image) == 1 else [_frame(image, each.frame) for each in placements]
            for image in images[1:]
        ]
        return [Cuts(self.image, placements), *others]

    def former_of(self, number: int) -> int | None:
        """Return the number under which the former placement for one is sent; `None`: none is."""
        return len(self.placements) + number if self.former else None

    def sent_part(self, placement: Placement) -> DecodedImage:
        """Return the part of the first image that goes with a placement, `[H,W,C]` float32."""
        part: DecodedImage = _cut(self.image, placement).numpy()
        return part

    def without_padding(self, result: DecodedImage, number: int) -> DecodedImage:
        """Return the part of a result that shows the image, as a view.

        All of it, if it has another shape than what was sent: nobody knows then where that lies.
        """
        if number >= len(self.placements):
            return result
        (height, width), placement = result.shape[:2], self.placements[number]
        sent_width, sent_height = placement.size
        if not is_same_shape((width, height), (sent_width, sent_height)):
            return result
        (left, top, right, bottom), (box_width, box_height) = placement.box, placement.box.size
        inside = placement.box.within(_bounds(self.image))
        shown: DecodedImage = result[
            (inside.top - top) * height // box_height : height
            - (bottom - inside.bottom) * height // box_height,
            (inside.left - left) * width // box_width : width
            - (right - inside.right) * width // box_width,
        ]
        return shown

    def layers(self, plan: Plan, jobs: Sequence[Job]) -> list[Layers]:
        """Return the images of the output in the order of the frames, and then of the seeds."""
        parts = [request for request in plan.requests if request.frame == 0]
        remaining, layers = iter(jobs), []
        for frame, group in enumerate(self.groups()):
            for part in parts:
                if not group:
                    layers += [Layers(frame, part.seed)] * part.count
                    continue
                jobs_of_part = [next(remaining) for _ in group]
                items = [job.items for job in jobs_of_part]
                for place, seed in enumerate(jobs_of_part[0].seeds):
                    results = [
                        (placement, of_spot[place % len(of_spot)])
                        for (_, placement), of_spot in zip(group, items, strict=True)
                    ]
                    layers.append(Layers(frame, seed, results))
        return layers

    def lay_back(self, layers: Sequence[Layers]) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return one IMAGE `[B,H,W,C]` of the size of the input, and the mask used `[B,H,W]`."""
        _, height, width, channels = self.image.shape
        if self.mask is None:
            own = (item.shape[2] for each in layers for _, item in each.results)
            channels = max(3, channels, *own)
        images = empty_images((len(layers), height, width, channels), self.image.dtype)
        used = np.zeros((len(layers), height, width), np.float32)  # takes no memory where it is 0
        for number, each in enumerate(layers):
            copy_into(images[number], with_channels(_frame(self.image, each.frame), channels))
            painted = self._painted(each.frame) if each.results else None
            for placement, result in each.results:
                part, weights = self._covered(placement, painted)
                lay_back(result, placement.box, images[number], part, weights)
                if weights is not None:
                    covered = part.cut(used[number])
                    np.maximum(covered, weights, out=covered)
        return images, None if self.mask is None else torch.from_numpy(used)

    def info(self, numbers: Container[int]) -> list[dict[str, Any]]:
        """Return what was sent with these placements, for the node's `info`."""
        return [
            {
                "frame": each.frame,
                "box": [*each.box[:2], *each.box.size],
                "sent": "x".join(map(str, each.size)),
                "fit": self.fit,
                **({"mask_feather": self.feather} if each.spot else {}),
            }
            for number, each in enumerate(self.placements)
            if number in numbers
        ]

    def keeps_alpha(self, layers: Sequence[Layers]) -> bool:
        """Return whether results without alpha are laid into an image that is transparent."""
        *_, channels = self.image.shape
        items = (item for each in layers for _, item in each.results)
        is_opaque = channels != 4 or not (self.image[..., 3] < 1).any()
        return not is_opaque and any(item.shape[2] != channels for item in items)

    def cuts_edges(self, numbers: Container[int]) -> bool:
        """Return whether something of the results with these placements is left out.

        That may be the corner in which they bear a visible mark.
        """
        bounds = _bounds(self.image)
        return any(
            each.spot is not None or each.box != each.box.within(bounds)
            for number, each in enumerate(self.placements)
            if number in numbers
        )

    def _painted(self, frame: int) -> Weights | None:
        if self.mask is None:
            return None
        return mask_weights(_frame(self.mask, frame), _bounds(self.image).size)

    def _covered(self, placement: Placement, painted: Weights | None) -> tuple[Box, Weights | None]:
        """Return the part of a frame that a result covers, and how strongly; `None`: all of it."""
        bounds = _bounds(self.image)
        if painted is None or placement.spot is None:
            return placement.box.within(bounds), None
        part = placement.spot.grown(self.feather, bounds)
        return part, feathered(painted, placement.spot, part, self.feather)


def fit_images(
    model: Model,
    inputs: Inputs,
    references: Sequence[torch.Tensor | None],
    values_for: Callable[[int, int], Values],
    extra: Mapping[str, Any],
) -> Fitting | None:
    """Return how the first of some images is sent, and what becomes of the results.

    `None`: it is sent as it is, for the model keeps its shape, or the request asks for another one.

    `values_for` gives the fields of a request for a width and height, to which `extra` is added. An
    image that the service fetches is `None`. Raises `InvalidInput` for a mask that is none, has
    another number of frames or too many spots, for a size in `extra` that no side may have, and
    where the first image is not here.
    """
    margin, feather, is_each, result_size, fit = (fitting_value(name, inputs) for name in INPUTS)
    mask = _mask(inputs)
    if references[0] is None:
        for name, is_set in (
            ("mask", mask is not None and any(map(is_painted, mask))),
            ("result_size", result_size != _default("result_size")),
        ):
            if is_set:
                raise InvalidInput(name, text("task.needs_own_image"))
        return None
    images = [each for each in references if each is not None]
    bounds = _bounds(images[0])
    is_laid_back = True
    gap = int(margin) if is_each else None
    of_masks = [] if mask is None else [_spots(frame, bounds, gap) for frame in mask]
    frames = max(map(len, images))
    spots: list[Sequence[Box | None]] = [[None]] * frames
    if any(of_masks):
        if frames > 1 and len(of_masks) not in {1, frames}:
            raise InvalidInput("mask", text("task.mask_frames", n=len(of_masks), wanted=frames))
        frames = max(frames, len(of_masks))
        spots = [of_masks[min(frame, len(of_masks) - 1)] for frame in range(frames)]
    elif result_size == _default("result_size"):
        sent = merged(values_for(*bounds.size), extra)
        if not model.changes_shape(*bounds.size, sent):
            return None
        mask, is_laid_back = None, False
    else:
        mask = None

    for name, side in _sides_in(extra):
        catalogue.load().inputs[name].check(side)

    def place(frame: int, spot: Box | None) -> Placement:
        part = spot.grown(int(margin), bounds) if spot else bounds
        values = values_for(*part.size)
        size = model.kept_size(*part.size, merged(values, extra))
        return Placement(frame, fit_box(part, bounds, size, how), size, values, spot)

    # Nothing that is painted is cropped away.
    how = cast(Fit, "pad" if mask is not None and fit == "crop" else fit)
    placements = [place(frame, spot) for frame, of_frame in enumerate(spots) for spot in of_frame]
    # Before there was a choice, images were sent as they are: who never chose finds what was paid.
    is_older = not is_laid_back and fit == _default("fit")
    former = [replace(each, box=bounds, size=bounds.size) for each in placements if is_older]
    feather = min(int(feather), int(margin))
    return Fitting(images[0], frames, placements, mask, feather, how, is_laid_back, former)


def is_same_shape(size: Size, other: Size) -> bool:
    """Return whether two images have one shape, but for rounding when they were scaled."""
    return abs(size[0] * other[1] / (size[1] * other[0]) - 1) <= _SAME_SHAPE


def fitting_value(name: str, inputs: Inputs) -> Value:
    """Return the value of one of these inputs. Raises `InvalidInput`."""
    return catalogue.load().inputs[name].check(inputs.get(name, _default(name)))


def _sides_in(extra: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return the sides of the result that `extra_body` asks for: nothing else has checked them."""
    size = parse_size(str(extra.get("image_size", "")))
    sides = [(name, extra.get(name)) for name in ("width", "height")]
    sides += [*zip(("width", "height"), size, strict=True)] if size else []
    return [(name, side) for name, side in sides if side is not None]


def _mask(inputs: Inputs) -> torch.Tensor | None:
    """Return the mask `[B,H,W]` of what is edited: of references of one edit the first image.

    A batch of images has a mask for each. Raises `InvalidInput` where only another one's mask is
    painted: the user means to edit that image, and would pay for an edit of the whole first one.
    """
    if inputs.get("mask") is None:
        return None
    try:
        mask = mask_frames(inputs["mask"])
    except MediaError as error:
        raise InvalidInput("mask", error.text) from None
    if inputs.get("batch_means") != ONE_EDIT:
        return mask
    first = next((number for number, frame in enumerate(mask, 1) if is_painted(frame)), 1)
    if first > 1:
        raise InvalidInput("mask", text("task.mask_of_another", n=first))
    return mask[:1]


def _spots(mask: torch.Tensor, bounds: Box, gap: int | None) -> list[Box]:
    """Return the spots painted in one frame of a mask; without a gap all of them as one."""
    weights = mask_weights(mask, bounds.size)
    if gap is None:
        box = painted_box(weights, bounds)
        return [box] if box else []
    spots = spots_in(weights, bounds, gap)
    if len(spots) > MAX_SPOTS:
        raise InvalidInput("mask_each", text("task.too_many_spots", n=len(spots), limit=MAX_SPOTS))
    return spots


def _cut(image: torch.Tensor, placement: Placement) -> torch.Tensor:
    return cut_to(_frame(image, placement.frame), placement.box, placement.size)


def _frame(images: torch.Tensor, number: int) -> torch.Tensor:
    """Return a frame; a single one goes with every frame of the others."""
    return images[min(number, len(images) - 1)]


def _bounds(image: torch.Tensor) -> Box:
    return Box(0, 0, image.shape[2], image.shape[1])


def _default(name: str) -> Value:
    field = catalogue.load().inputs[name]
    return field.choices[0] if field.default is None else field.default
