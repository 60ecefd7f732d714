"""ComfyUI's MASK: where it is painted, its separate spots, and how strongly a result covers them.

A MASK is a float tensor `[B,H,W]` or `[H,W]` of values 0..1, 1 where it is painted. It may have
another size than the image that it lies on.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from ..strings.text import text
from .image_files import in_halves
from .media_error import MediaError

T = TypeVar("T", torch.Tensor, npt.NDArray[np.float32])
Weights: TypeAlias = npt.NDArray[np.float32]
"""`[H,W]`, values 0..1."""
_LARGEST_BYTE = 255
_FAINTEST = 1 / 512
"""The least that changes a pixel of 8 bits: half a step of it."""


class Box(NamedTuple):
    """A rectangle of an image in pixels, without its right and bottom edge."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.right - self.left, self.bottom - self.top

    def grown(self, by: int, bounds: Box) -> Box:
        """Return the box with so many pixels more on each side, as far as the bounds allow."""
        left, top, right, bottom = self
        return Box(left - by, top - by, right + by, bottom + by).within(bounds)

    def within(self, bounds: Box) -> Box:
        """Return the part of the box that lies in another; the two must overlap."""
        starts = (max(a, b) for a, b in zip(self[:2], bounds[:2], strict=True))
        ends = (min(a, b) for a, b in zip(self[2:], bounds[2:], strict=True))
        return Box(*starts, *ends)

    def cut(self, values: T) -> T:
        """Return this part of `[H,W,...]`, as a view."""
        part: T = values[self.top : self.bottom, self.left : self.right]
        return part


def mask_frames(mask: torch.Tensor) -> torch.Tensor:
    """Return a MASK as `[B,H,W]` of floats. Raises `MediaError` for what is none.

    Other packs make masks of whole numbers, too: 0 to 255 where one of them is above 127, and else
    painted is whatever is above 0, as in masks of true and false.
    """
    if not isinstance(mask, torch.Tensor) or mask.ndim not in {2, 3} or 0 in mask.shape:
        raise MediaError(text("media.not_mask"))
    if mask.is_complex():
        raise MediaError(text("media.not_float", dtype=mask.dtype))
    if not mask.is_floating_point():
        is_graded = int(mask.max()) > _LARGEST_BYTE // 2
        mask = mask.float() / _LARGEST_BYTE if is_graded else (mask > 0).float()
    return mask if mask.ndim == 3 else mask[None]


def is_painted(frame: torch.Tensor) -> bool:
    """Return whether a frame `[H,W]` of a MASK has anything painted that can be seen."""
    return bool((frame >= _FAINTEST).any())


def mask_weights(frame: torch.Tensor, size: tuple[int, int]) -> Weights:
    """Return one frame `[H,W]` of a MASK at the width and height of the image under it.

    A smaller mask is scaled up, and its edge is soft then; a larger one is scaled down so that
    nothing painted is lost, however small it is. One of the same size is neither copied nor read:
    what reads it takes NaN as 0, and values beyond 0..1 as the nearer end.
    """
    values = frame.detach().to("cpu", torch.float32)
    width, height = size
    if frame.shape != (height, width):
        values = values.nan_to_num(0).clamp(0, 1)
        smaller = min(frame.shape[0], height), min(frame.shape[1], width)
        kept = torch.nn.functional.adaptive_max_pool2d(values[None, None], smaller)
        values = torch.nn.functional.interpolate(kept, (height, width), mode="bilinear")[0, 0]
    weights: Weights = values.numpy()
    return weights


def painted_box(weights: Weights, part: Box) -> Box | None:
    """Return the smallest box around what is painted in a part; `None` where nothing is."""
    rows = _painted_lines(weights, part, 0)
    if not len(rows):
        return None
    part = _lines_of(part, 0, rows)
    return _lines_of(part, 1, _painted_lines(weights, part, 1))


def spots_in(weights: Weights, part: Box, gap: int) -> list[Box]:
    """Return a box around each spot that is painted in a part, from the top to the bottom.

    Spots are apart where more than `gap` rows or columns between them have nothing painted.
    """
    box = painted_box(weights, part)
    if box is None:
        return []
    for axis in (0, 1):
        lines = _painted_lines(weights, box, axis)
        runs = np.split(lines, np.flatnonzero(np.diff(lines) > gap + 1) + 1)
        if len(runs) > 1:
            return [
                spot for run in runs for spot in spots_in(weights, _lines_of(box, axis, run), gap)
            ]
    return [box]


def _painted_lines(weights: Weights, part: Box, axis: int) -> npt.NDArray[np.intp]:
    """Return which rows of a part have something painted, or for axis 1 which columns.

    What is too faint to be seen is not: a blurred mask has an edge that is far wider than it looks.
    """
    values = part.cut(weights)
    highest = _highest(values, axis)
    if np.isnan(highest).any():  # one such value hides all others of its line
        highest = _highest(np.nan_to_num(values), axis)
    return np.flatnonzero(highest >= _FAINTEST)


def _highest(values: Weights, axis: int) -> Weights:
    """Return the highest value of each row of `[H,W]`, or for axis 1 of each column; or NaN."""
    halves = in_halves(lambda rows: values[rows].max(1 - axis), len(values), values.size)
    highest: Weights = np.maximum.reduce(halves) if axis else np.concatenate(halves)
    return highest


def _lines_of(box: Box, axis: int, run: npt.NDArray[np.intp]) -> Box:
    """Return the part of a box from the first to the last of some of its rows, or its columns."""
    first, end = int(run[0]), int(run[-1]) + 1
    left, top, right, bottom = box
    if axis:
        return Box(left + first, top, left + end, bottom)
    return Box(left, top + first, right, top + end)


def feathered(weights: Weights, spot: Box, part: Box, feather: int) -> Weights:
    """Return how strongly a result covers a part: as painted in the spot, less and less around it.

    The edge falls to nothing over `feather` pixels, from what is painted at least half as strongly
    as the strongest of the spot.
    """
    painted = np.zeros(part.size[::-1], np.float32)
    inside = Box(*(a - b for a, b in zip(spot, part[:2] * 2, strict=True)))
    own = spot.cut(weights)
    inside.cut(painted)[:] = np.where(own >= _FAINTEST, np.minimum(own, 1), 0)  # no NaN either
    if not feather:
        return painted
    reach, blur = feather - feather // 2, feather // 2
    strongest = painted.max()
    solid = _sums(painted >= strongest / 2, reach) > 0
    edge = _sums(solid, blur).astype(np.float32) * (strongest / np.float32((2 * blur + 1) ** 2))
    weights_around: Weights = np.maximum(painted, edge)
    return weights_around


def _sums(values: npt.NDArray[np.bool_], radius: int) -> npt.NDArray[np.int32]:
    """Return how many values are true in the square around each; the edge goes on beyond it."""
    totals: npt.NDArray[np.int32] = np.pad(values, radius + 1, mode="edge").astype(np.int32)
    side = 2 * radius + 1
    np.cumsum(totals, axis=0, out=totals)
    totals = totals[side:-1] - totals[: -side - 1]
    np.cumsum(totals, axis=1, out=totals)
    return totals[:, side:-1] - totals[:, : -side - 1]
