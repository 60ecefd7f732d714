"""A part of an image at the size that a model keeps, and the result laid back where it belongs."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from .image_files import DecodedImage, Pixels, in_halves, pixels_to_pil, tensor_to_pixels
from .masking import Box, Weights

Size = tuple[int, int]
"""Width and height in pixels."""
Fit = Literal["pad", "crop", "stretch"]
_LUMA = (0.299, 0.587, 0.114)
"""How much each color counts for a grey value (ITU-R BT.601)."""


def fit_box(part: Box, frame: Box, size: Size, fit: Fit) -> Box:
    """Return the part of a frame to send at a size: one of the same shape.

    `pad` takes in more of the frame around the part, and what lies beyond it where the frame ends;
    `crop` takes less, `stretch` no more than the frame has, and so may have another shape.
    """
    width, height = part.size
    # The sides that the shape asks for, beside the height and the width that are there.
    wide, high = -(-height * size[0] // size[1]), -(-width * size[1] // size[0])
    if fit == "crop":
        width, height = min(width, max(wide, 1)), min(height, max(high, 1))
    else:
        width, height = max(width, wide), max(height, high)
    if fit == "stretch":
        width, height = min(width, frame.right), min(height, frame.bottom)
    left = _start((part.left, part.right), width, frame.right)
    top = _start((part.top, part.bottom), height, frame.bottom)
    return Box(left, top, left + width, top + height)


def cut_to(frame: torch.Tensor, box: Box, size: Size) -> torch.Tensor:
    """Return a part of a frame `[H,W,C]` at a size, float32 of 0..1, scaled with Lanczos.

    Beyond the frame its edge is repeated.
    """
    inside = box.within(Box(0, 0, frame.shape[1], frame.shape[0]))
    pixels = tensor_to_pixels(inside.cut(frame))
    if inside != box:
        rows = inside.top - box.top, box.bottom - inside.bottom
        columns = inside.left - box.left, box.right - inside.right
        pixels = np.pad(pixels, (rows, columns, (0, 0)), mode="edge")
    return torch.from_numpy(_to_float(_resized(pixels, (0, 0, *box.size), size)))


def lay_back(
    result: DecodedImage, box: Box, onto: torch.Tensor, part: Box, weights: Weights | None
) -> None:
    """Write a part of a result into a frame `[H,W,C]`, scaled with Lanczos.

    The result, of any size, shows what the box of the frame did. `weights` say how strongly it
    covers the part. Where they are 0, and beyond the part, no value of the frame changes. A result
    without alpha leaves that of the frame as it is, unless all of the part was transparent.
    """
    pixels = result if result.dtype == np.uint8 else np.rint(result * 255).astype(np.uint8)
    shrink_x, shrink_y = pixels.shape[1] / box.size[0], pixels.shape[0] / box.size[1]
    source = (
        (part.left - box.left) * shrink_x,
        (part.top - box.top) * shrink_y,
        (part.right - box.left) * shrink_x,
        (part.bottom - box.top) * shrink_y,
    )
    values = torch.from_numpy(_to_float(_resized(np.asarray(pixels), source, part.size)))
    target = part.cut(onto)
    if onto.shape[2] == 4 and values.shape[2] != 4 and target[..., 3].any():
        target = target[..., :3]
    laid = with_channels(values, target.shape[2])
    if weights is not None:
        covers = torch.from_numpy(weights)[..., None]
        if values.shape[2] == 4 and onto.shape[2] != 4:
            covers = covers * values[..., 3:]
        blended = (target + covers * (laid - target)).to(onto.dtype)
        # What is infinite or no number under a weight of 0 must come back as well.
        laid = torch.where(covers > 0, blended, target)
    target.copy_(laid)


def empty_images(shape: tuple[int, int, int, int], dtype: torch.dtype) -> torch.Tensor:
    """Return an IMAGE `[B,H,W,C]` to be filled.

    numpy asks for large pages, which are ready several times as fast.
    """
    if dtype == torch.float32:
        return torch.from_numpy(np.empty(shape, np.float32))
    return torch.empty(shape, dtype=dtype)


def copy_into(frame: torch.Tensor, image: torch.Tensor) -> None:
    """Write an image `[H,W,C]` into a frame, which takes its shape and keeps its own dtype.

    Not by torch where numpy can: the threads of torch go on spinning for a while when they are
    done, and keep a core from the halves of an image that is scaled next.
    """
    if {frame.dtype, image.dtype} != {torch.float32} or image.device.type != "cpu":
        frame.copy_(image)
        return
    target, source = frame.numpy(), image.detach().numpy()
    in_halves(lambda rows: np.copyto(target[rows], source[rows]), len(source), source.size)


def with_channels(image: torch.Tensor, channels: int) -> torch.Tensor:
    """Return `[H,W,C]` with so many channels: an alpha that it lacks is opaque."""
    own = image.shape[2]
    if own == channels:
        return image
    if channels == 1:
        return (image[..., :3] @ image.new_tensor(_LUMA))[..., None]
    colors = image[..., :3] if own > 1 else image.expand(-1, -1, 3)
    return colors if channels == 3 else torch.cat([colors, torch.ones_like(image[..., :1])], -1)


def _start(part: tuple[int, int], length: int, end: int) -> int:
    """Return where a stretch of this length begins that has the part in its middle.

    It lies within 0..`end`; one that is longer has that in its middle.
    """
    if length >= end:
        return (end - length) // 2
    return min(max((part[0] + part[1] - length) // 2, 0), end - length)


def _resized(pixels: Pixels, source: tuple[float, float, float, float], size: Size) -> Pixels:
    """Return what lies in the box `source` of `[H,W,C]` at a size; both halves at the same time."""
    height, width, channels = pixels.shape
    if source == (0, 0, width, height) and size == (width, height):
        return pixels
    image, scaled = pixels_to_pil(pixels), np.empty((size[1], size[0], channels), np.uint8)
    left, top, right, bottom = source
    shrink = (bottom - top) / size[1]

    def scale(part: slice) -> None:
        start, end = top + part.start * shrink, top + part.stop * shrink
        # A product may be a hair larger than the side that it stands for.
        box = (max(left, 0), max(start, 0), min(right, width), min(end, height))
        rows = size[0], part.stop - part.start
        half = image.resize(rows, Image.Resampling.LANCZOS, box=box)
        scaled[part] = np.asarray(half).reshape(*rows[::-1], channels)

    in_halves(scale, size[1], scaled.size)
    return scaled


def _to_float(pixels: Pixels) -> npt.NDArray[np.float32]:
    values = np.empty(pixels.shape, np.float32)

    def divide(rows: slice) -> None:
        np.divide(pixels[rows], np.float32(255), out=values[rows])

    in_halves(divide, len(pixels), pixels.size)
    return values
