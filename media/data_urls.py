"""One frame of an IMAGE as the data URL that is sent: in which format, and how large at most."""

from __future__ import annotations

import base64
import io
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image

from . import png
from .image_files import pixels_to_pil, tensor_to_pil, tensor_to_pixels
from .png import Pixels

Preferred = Literal["webp", "png"]
UploadFormat = Literal["lossless", "lossy", "png"]
LARGEST_WEBP_SIDE = 16383
QUALITY = 95
_ANY = 1 << 31
_BANDS, _BAND_ROWS = 2, 16
_WORTH = 0.95
_SCALING = threading.Lock()


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
    """One way to write a file, and the pictures that it suits."""

    format: str
    write: Callable[[Pixels], bytes]
    longest_side: int = _ANY
    holds_alpha: bool = True
    only_if_smaller: bool = False

    def suits(self, pixels: Pixels) -> bool:
        height, width, channels = pixels.shape
        held = max(height, width) <= self.longest_side and (self.holds_alpha or channels != 4)
        return held and (not self.only_if_smaller or self._is_smaller(pixels))

    def _is_smaller(self, pixels: Pixels) -> bool:
        """Tell whether some rows take clearly fewer bytes than as PNG, which is written faster.

        Only what suits a photograph is compared: WebP holds everything else in far fewer.
        """
        starts = np.linspace(0, max(0, len(pixels) - _BAND_ROWS), _BANDS, dtype=int)
        rows = np.concatenate([pixels[at : at + _BAND_ROWS] for at in np.unique(starts)])
        return len(self.write(rows)) < _WORTH * png.size_as_photograph(rows)


def encode(
    frame: torch.Tensor,
    preferred: Preferred = "webp",
    upload_format: UploadFormat = "lossless",
    most_pixels: int = 0,
) -> Encoded:
    """Turn one frame `[H,W,C]` into a `data:image/...;base64,` URL.

    `preferred` is the format that the model is documented with. `upload_format` asks for a
    lossless file, for PNG, or for a lossy file: WebP where the model prefers it, else PNG and JPEG.
    What is as small as PNG is a PNG rather than a lossless WebP: it is written faster. What a file
    cannot hold, alpha or a side beyond WebP's 16383 pixels, makes it a PNG too. A picture of more
    than `most_pixels` (0: any number) is scaled down to that many, with Lanczos.
    """
    own = frame.shape[1], frame.shape[0]
    size = _size_within(own, most_pixels)
    pixels = tensor_to_pixels(frame) if size == own else _scaled(frame, size)
    wanted = _WAYS[upload_format][preferred]
    way = wanted if wanted.suits(pixels) else _PNG
    url = b"data:image/%b;base64,%b" % (way.format.encode(), base64.b64encode(way.write(pixels)))
    return Encoded(url, way.format, *size, scaled_from=None if size == own else own)


def _size_within(size: tuple[int, int], most_pixels: int) -> tuple[int, int]:
    width, height = size
    if not most_pixels or width * height <= most_pixels:
        return size
    scaled = max(1, math.isqrt(most_pixels * width // height))
    return min(scaled, most_pixels), max(1, min(height, most_pixels // scaled))


def _scaled(frame: torch.Tensor, size: tuple[int, int]) -> Pixels:
    """Scale down, one picture at a time: Pillow holds it at its own size meanwhile."""
    with _SCALING:
        smaller = tensor_to_pil(frame).resize(size, Image.Resampling.LANCZOS)
    return np.asarray(smaller).reshape(size[1], size[0], frame.shape[2])


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
    only_if_smaller=True,
)
_LOSSY_WEBP = _Way("webp", _with_pillow("WEBP", quality=QUALITY, method=0), LARGEST_WEBP_SIDE)
_JPEG = _Way("jpeg", _with_pillow("JPEG", quality=QUALITY, subsampling=0), 65500, False)
_WAYS: dict[UploadFormat, dict[Preferred, _Way]] = {
    "lossless": {"webp": _WEBP, "png": _PNG},
    "lossy": {"webp": _LOSSY_WEBP, "png": _JPEG},
    "png": {"webp": _PNG, "png": _PNG},
}
