"""One frame of an IMAGE as the data URL that is sent: in which format, and how large at most."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image

from . import png
from .images import pixels_to_pil, tensor_to_pixels
from .png import Pixels

Preferred = Literal["webp", "png"]
UploadFormat = Literal["lossless", "lossy", "png"]
LARGEST_WEBP_SIDE = 16383
QUALITY = 95
_ANY = 1 << 31


@dataclass(frozen=True)
class Encoded:
    """A picture as it is sent: its data URL, its size, and its own size if it was scaled."""

    url: bytes
    format: str
    width: int
    height: int
    scaled_from: tuple[int, int] | None = None


@dataclass(frozen=True)
class _Way:
    """One way to write a file, and what it can hold."""

    format: str
    write: Callable[[Pixels], bytes]
    longest_side: int = _ANY
    holds_alpha: bool = True

    def holds(self, pixels: Pixels) -> bool:
        height, width, channels = pixels.shape
        return max(height, width) <= self.longest_side and (self.holds_alpha or channels != 4)


def encode(
    frame: torch.Tensor,
    preferred: Preferred = "webp",
    upload_format: UploadFormat = "lossless",
    most_pixels: int = 0,
) -> Encoded:
    """Turn one frame `[H,W,C]` into a `data:image/...;base64,` URL.

    `preferred` is the lossless format that the model wants. `upload_format` keeps to it, or asks
    for PNG, or for a lossy file: WebP where the model wants WebP, else JPEG. A picture that such
    a file cannot hold, for its alpha or a side beyond WebP's 16383 pixels, becomes a PNG. One of
    more than `most_pixels` (0: any number) is scaled down to that many, with Lanczos.
    """
    pixels = tensor_to_pixels(frame)
    own = pixels.shape[1], pixels.shape[0]
    pixels = _scaled(pixels, most_pixels)
    size = pixels.shape[1], pixels.shape[0]
    wanted = _WAYS[upload_format][preferred]
    way = wanted if wanted.holds(pixels) else _PNG
    url = b"data:image/%b;base64,%b" % (way.format.encode(), base64.b64encode(way.write(pixels)))
    return Encoded(url, way.format, *size, scaled_from=None if size == own else own)


def _scaled(pixels: Pixels, most_pixels: int) -> Pixels:
    height, width, channels = pixels.shape
    if not most_pixels or width * height <= most_pixels:
        return pixels
    factor = math.sqrt(most_pixels / (width * height))
    size = max(1, int(width * factor)), max(1, int(height * factor))
    smaller = pixels_to_pil(pixels).resize(size, Image.Resampling.LANCZOS)
    return np.asarray(smaller).reshape(size[1], size[0], channels)


def _with_pillow(kind: str, **options: Any) -> Callable[[Pixels], bytes]:
    def write(pixels: Pixels) -> bytes:
        file = io.BytesIO()
        pixels_to_pil(pixels).save(file, kind, **options)
        return file.getvalue()

    return write


_PNG = _Way("png", png.encode)
_WEBP = _Way(
    "webp",
    # As fast as libwebp can; colours under full transparency are kept.
    _with_pillow("WEBP", lossless=True, quality=0, method=0, exact=True),
    LARGEST_WEBP_SIDE,
)
_LOSSY_WEBP = _Way("webp", _with_pillow("WEBP", quality=QUALITY, method=0), LARGEST_WEBP_SIDE)
_JPEG = _Way("jpeg", _with_pillow("JPEG", quality=QUALITY, subsampling=0), 65500, False)
_WAYS: dict[UploadFormat, dict[Preferred, _Way]] = {
    "lossless": {"webp": _WEBP, "png": _PNG},
    "lossy": {"webp": _LOSSY_WEBP, "png": _JPEG},
    "png": {"webp": _PNG, "png": _PNG},
}
