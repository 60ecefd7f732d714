"""Small pictures for people to look at: never larger than asked for, and always RGB."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from .image_files import Picture, decode, pixels_to_pil

_QUALITY = 85
_SPARE = 4
"""A picture this many times larger than asked for is thinned out before it is scaled."""


def small(picture: Picture, side: int) -> Image.Image:
    """Give a decoded picture as an RGB one that fits into a square of `side`."""
    step = max(1, max(picture.shape[:2]) // (_SPARE * side))
    pixels = picture[::step, ::step]
    if pixels.dtype != np.uint8:
        pixels = np.rint(pixels * 255).astype(np.uint8)
    made = pixels_to_pil(np.ascontiguousarray(pixels, np.uint8))
    made.thumbnail((side, side))
    if made.mode == "RGBA":
        made = Image.alpha_composite(Image.new("RGBA", made.size, "white"), made)
    return made.convert("RGB")


def thumbnail(content: bytes, side: int) -> bytes:
    """Give a picture file as a small JPEG; raises `MediaError` if it is no picture."""
    out = io.BytesIO()
    small(decode(content), side).save(out, "JPEG", quality=_QUALITY)
    return out.getvalue()
