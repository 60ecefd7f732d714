"""Small versions of images for people to look at: RGB, and never larger than requested."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from .image_files import DecodedImage, decode, pixels_to_pil

_QUALITY = 85
_THINNED = 4
"""An image this many times larger than requested loses rows and columns before it is scaled."""


def to_preview(image: DecodedImage, side: int) -> Image.Image:
    """Return a decoded image as an RGB one that fits into a square of `side` pixels."""
    step = max(1, max(image.shape[:2]) // (_THINNED * side))
    pixels = image[::step, ::step]
    if pixels.dtype != np.uint8:
        pixels = np.rint(pixels * 255).astype(np.uint8)
    preview = pixels_to_pil(np.ascontiguousarray(pixels, np.uint8))
    preview.thumbnail((side, side))
    if preview.mode == "RGBA":
        preview = Image.alpha_composite(Image.new("RGBA", preview.size, "white"), preview)
    return preview.convert("RGB")


def thumbnail(image: bytes | DecodedImage, side: int, max_pixels: int) -> bytes:
    """Return an image, or its file, as a small JPEG.

    Raises `MediaError` if it is not an image, `TooManyPixels` for more than `max_pixels`.
    """
    file = io.BytesIO()
    decoded = decode(image, max_pixels) if isinstance(image, bytes) else image
    to_preview(decoded, side).save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()
