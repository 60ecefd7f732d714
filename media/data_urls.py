"""One frame of an IMAGE as the data URL that is sent: its format and its largest size."""

from __future__ import annotations

import base64
import hashlib
import io
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from PIL import Image

from . import png
from .image_files import Pixels, pixels_to_pil, tensor_to_pil, tensor_to_pixels

Preferred = Literal["webp", "png"]
UploadFormat = Literal["lossless", "lossy", "png"]
MAX_WEBP_SIDE = 16383
QUALITY = 95
_MAX_JPEG_SIDE = 65500
_UNLIMITED = 1 << 31
_BANDS, _BAND_ROWS = 2, 16
_WORTH = 0.95
"""How much smaller than a PNG a lossless WebP must be to be worth its time."""
_SCALING = threading.Lock()


@dataclass(frozen=True)
class Encoded:
    """An image as it is sent: its data URL, its size, and its original size if it was scaled."""

    url: bytes
    format: str
    width: int
    height: int
    scaled_from: tuple[int, int] | None = None


class Grid(NamedTuple):
    """What a model makes of an image: so many pixels at least, and sides of multiples of `step`."""

    least_pixels: int = 0
    step: int = 1


class DataUrl(str):
    """A data URL within a request, with what names its image however it is encoded."""

    __slots__ = ("digest",)
    digest: str

    def __new__(cls, url: bytes, digest: str) -> DataUrl:  # noqa: PYI034 - as in Text
        """Take the data URL with the `digest_of` its image."""
        data_url = super().__new__(cls, url.decode())
        data_url.digest = digest
        return data_url


@dataclass(frozen=True)
class _Encoder:
    """Writes one format, for the images that it suits."""

    format: str
    write: Callable[[Pixels], bytes]
    max_side: int = _UNLIMITED
    holds_alpha: bool = True
    only_if_smaller: bool = False

    def suits(self, pixels: Pixels) -> bool:
        height, width, channels = pixels.shape
        is_possible = max(height, width) <= self.max_side and (self.holds_alpha or channels != 4)
        return is_possible and (not self.only_if_smaller or self._is_smaller(pixels))

    def _is_smaller(self, pixels: Pixels) -> bool:
        """Return whether some rows take clearly fewer bytes than as PNG, which is written faster.

        Only PNG's method for photographs is compared: all else takes far fewer as WebP.
        """
        starts = np.linspace(0, max(0, len(pixels) - _BAND_ROWS), _BANDS, dtype=int)
        rows = np.concatenate([pixels[at : at + _BAND_ROWS] for at in np.unique(starts)])
        return len(self.write(rows)) < _WORTH * png.size_as_photograph(rows)


def encode(
    frame: torch.Tensor,
    preferred: Preferred = "webp",
    upload_format: UploadFormat = "lossless",
    max_pixels: int = 0,
    grid: Grid = Grid(),  # noqa: B008 - a constant
) -> Encoded:
    """Return one frame `[H,W,C]` as a `data:image/...;base64,` URL.

    `preferred` is the format that the model is documented with. `upload_format` asks for a
    lossless file, for PNG, or for a lossy file: WebP where the model prefers it, else PNG and JPEG.
    Where a lossless WebP would hardly be smaller, PNG is written, which is faster. So is it where
    the format cannot hold the image: alpha, or a side beyond WebP's 16383 pixels. An image of more
    than `max_pixels` (0: no limit) is scaled down to that many, with Lanczos, and one of fewer than
    the grid's least up; sides that are scaled lie on the grid.
    """
    own_size = frame.shape[1], frame.shape[0]
    size = size_within(own_size, max_pixels, grid)
    pixels = tensor_to_pixels(frame) if size == own_size else _scaled(frame, size)
    encoder = _ENCODERS[upload_format][preferred]
    if not encoder.suits(pixels):
        encoder = _PNG
    content = base64.b64encode(encoder.write(pixels))
    url = b"data:image/%b;base64,%b" % (encoder.format.encode(), content)
    return Encoded(url, encoder.format, *size, scaled_from=None if size == own_size else own_size)


def digest_of(
    frame: torch.Tensor,
    max_pixels: int = 0,
    grid: Grid = Grid(),  # noqa: B008 - a constant
) -> str:
    """Return what names one frame `[H,W,C]`: its 8-bit pixels, and the size at which it is sent.

    Neither the format nor the library that writes it: with another one the user asks for the same.
    """
    size = size_within((frame.shape[1], frame.shape[0]), max_pixels, grid)
    digest = hashlib.sha256(f"pixels {tuple(frame.shape)} as {size}".encode())
    digest.update(tensor_to_pixels(frame).data)
    return digest.hexdigest()


def size_within(size: tuple[int, int], max_pixels: int, grid: Grid) -> tuple[int, int]:
    """Return the size at which an image of this width and height is sent; see `encode`."""
    (width, height), (least_pixels, step) = size, grid
    if width * height < least_pixels:
        scale = math.sqrt(least_pixels / (width * height)) / step
        return math.ceil(width * scale) * step, math.ceil(height * scale) * step
    if not max_pixels or width * height <= max_pixels:
        return size
    new_width = max(1, math.isqrt(max_pixels * width // height))
    new_size = min(new_width, max_pixels), max(1, min(height, max_pixels // new_width))
    return max(step, new_size[0] // step * step), max(step, new_size[1] // step * step)


def _scaled(frame: torch.Tensor, size: tuple[int, int]) -> Pixels:
    """Scale one image at a time: Pillow holds it at its own size meanwhile."""
    with _SCALING:
        scaled = tensor_to_pil(frame).resize(size, Image.Resampling.LANCZOS)
    return np.asarray(scaled).reshape(size[1], size[0], frame.shape[2])


def _with_pillow(kind: str, **options: Any) -> Callable[[Pixels], bytes]:
    def write(pixels: Pixels) -> bytes:
        file = io.BytesIO()
        pixels_to_pil(pixels).save(file, kind, **options)
        return file.getvalue()

    return write


_PNG = _Encoder("png", png.encode)
_WEBP = _Encoder(
    "webp",
    # As fast as libwebp can; colours under full transparency are kept.
    _with_pillow("WEBP", lossless=True, quality=0, method=0, exact=True),
    MAX_WEBP_SIDE,
    only_if_smaller=True,
)
_LOSSY_WEBP = _Encoder("webp", _with_pillow("WEBP", quality=QUALITY, method=0), MAX_WEBP_SIDE)
_JPEG = _Encoder(
    "jpeg", _with_pillow("JPEG", quality=QUALITY, subsampling=0), _MAX_JPEG_SIDE, False
)
_ENCODERS: dict[UploadFormat, dict[Preferred, _Encoder]] = {
    "lossless": {"webp": _WEBP, "png": _PNG},
    "lossy": {"webp": _LOSSY_WEBP, "png": _JPEG},
    "png": {"webp": _PNG, "png": _PNG},
}
