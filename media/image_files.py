"""ComfyUI's IMAGE to 8-bit pixels, and files to IMAGE.

An IMAGE is a float tensor `[B,H,W,C]` of values 0..1, C = 1 (grey), 3 (RGB) or 4 (RGBA with
straight alpha), on any device. Files are 8 bits a channel; values are rounded, not truncated, so
that an 8-bit picture survives tensor, file, tensor bit for bit. Decoded pictures stay as small as
their file's pixels until the batch is made, which is allocated once.
"""

from __future__ import annotations

import base64
import contextlib
import io
import os
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from ..strings.text import Text
from .halves import in_halves
from .png import Pixels

Picture: TypeAlias = npt.NDArray[np.uint8] | npt.NDArray[np.float32]
"""A decoded file, `[H,W,C]`: 8 bits of 0..255, or floats of 0..1. Never changed."""

MOST_PIXELS = 64_000_000
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
_CHANNELS = (1, 3, 4)
_STRIP_ROWS = 64
_HIGH_DEPTH = ("I;16", "I;16B", "I;16L", "I;16N", "I")
_WITH_ALPHA = ("RGBA", "LA", "PA", "La", "RGBa")


_DECODE_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,  # where warnings are errors
)


class MediaError(ValueError):
    """A picture that cannot be encoded or decoded; says why in English and Chinese."""

    def __init__(self, en: str, zh: str) -> None:
        """Keep both languages: whoever shows the error chooses."""
        super().__init__(en)
        self.en = en
        self.zh = zh
        self.text = Text(en, zh)


class TooManyPixels(MediaError):
    """An image of more pixels than the caller allows; the file itself may well be whole."""


@dataclass(frozen=True)
class Resized:
    """A picture of a batch that was fitted to the first one: its place and its own size."""

    index: int
    width: int
    height: int


def check_tensor(images: torch.Tensor) -> None:
    """Raise `MediaError` if this is no IMAGE with at least one frame and one pixel."""
    if not isinstance(images, torch.Tensor) or images.ndim != 4:
        raise MediaError("is not an IMAGE tensor [B,H,W,C]", "不是 [B,H,W,C] 的 IMAGE 张量")
    if images.shape[-1] not in _CHANNELS:
        channels = images.shape[-1]
        raise MediaError(
            f"has {channels} channels, not 1, 3 or 4", f"有 {channels} 个通道，应为 1、3 或 4"
        )
    if not images.is_floating_point():
        raise MediaError(f"is {images.dtype}, not a float type", f"类型为 {images.dtype}，应为浮点")
    if 0 in images.shape:
        raise MediaError("is empty", "是空的")


def tensor_to_pixels(frame: torch.Tensor) -> Pixels:
    """Turn one frame `[H,W,C]` into 8-bit pixels of the same shape.

    Values are clamped to 0..1 and rounded to the nearest of 256; NaN becomes 0. The tensor is
    left as it is. Done in strips: they stay in the cache, and need no second frame of memory.
    """
    pixels = np.empty(tuple(frame.shape), np.uint8)
    in_halves(partial(_convert, frame, pixels), frame.shape[0], frame.numel())
    return pixels


def _convert(frame: torch.Tensor, pixels: Pixels, part: slice) -> None:
    rows = min(_STRIP_ROWS, part.stop - part.start)
    strip = np.empty((rows, *frame.shape[1:]), np.float32)
    for start in range(part.start, part.stop, rows):
        end = min(start + rows, part.stop)
        values = strip[: end - start]
        with np.errstate(over="ignore"):
            np.multiply(frame[start:end].detach().to(torch.float32).cpu().numpy(), 255, out=values)
        np.fmax(values, 0, out=values)  # of NaN and 0 it takes 0
        np.fmin(values, 255, out=values)
        pixels[start:end] = np.rint(values, out=values)


def tensor_to_pil(frame: torch.Tensor) -> Image.Image:
    """Turn one frame `[H,W,C]` into an 8-bit picture, see `tensor_to_pixels`."""
    return pixels_to_pil(tensor_to_pixels(frame))


def pixels_to_pil(pixels: Pixels) -> Image.Image:
    """Turn 8-bit pixels `[H,W,C]` into a picture."""
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def data_url_to_bytes(url: str) -> bytes:
    """Give the file inside a base64 data URL; raises `MediaError` if there is none."""
    head, comma, encoded = url.partition(",")
    if not (comma and head.startswith("data:") and head.endswith(";base64")):
        raise MediaError("is no base64 data URL", "不是 base64 data URL")
    try:
        return base64.b64decode(encoded.strip(), validate=True)
    except ValueError:
        raise MediaError("is no base64 data URL", "不是 base64 data URL") from None


def decode(content: bytes, most_pixels: int = MOST_PIXELS) -> Picture:
    """Turn a picture file into its pixels `[H,W,C]`, C = 4 if the file has alpha, else 3.

    They are 8 bits, or float32 of 0..1 where the file has more (16-bit grey). The EXIF rotation
    is applied; of an animation the first frame counts. Raises `MediaError` for what is no picture
    of a known format, is damaged or cut short, or has more than `most_pixels`.
    """
    try:
        return _decode(content, most_pixels)
    except UnidentifiedImageError:
        raise MediaError(*_no_picture(content)) from None
    except MediaError:
        raise
    except _DECODE_ERRORS as error:
        raise MediaError(f"is damaged ({error})", f"已损坏（{error}）") from None


def to_batch(pictures: list[Picture]) -> tuple[torch.Tensor, list[Resized]]:
    """Make one IMAGE `[B,H,W,C]` float32 of decoded pictures, as ComfyUI's own ImageBatch does.

    Where channels differ, opaque alpha is added; where sizes differ, a picture is cut to the
    shape of the first around its centre and scaled to its size, bilinear. Also says which were.
    The list is emptied: each picture is let go as soon as it is in the batch.
    """
    channels = max(picture.shape[2] for picture in pictures)
    height, width = pictures[0].shape[:2]
    # numpy asks for large pages, which are ready several times as fast.
    batch = torch.from_numpy(np.empty((len(pictures), height, width, channels), np.float32))
    resized = [
        Resized(index, picture.shape[1], picture.shape[0])
        for index, picture in enumerate(pictures)
        if picture.shape[:2] != (height, width)
    ]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        filled = [pool.submit(_fill, frame, pictures.pop()) for frame in list(batch)[::-1]]
    for future in filled:
        future.result()
    return batch, resized


def _decode(content: bytes, most_pixels: int) -> Picture:
    with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
        width, height = picture.size
        if width * height > most_pixels:
            raise TooManyPixels(
                f"has {width}x{height} pixels, more than {most_pixels}",
                f"尺寸为 {width}x{height}，超过 {most_pixels} 像素",
            )
        picture.load()
        return _pixels(_upright(picture))


def _upright(picture: Image.Image) -> Image.Image:
    """Apply the EXIF rotation; EXIF that cannot be read is no reason to lose a picture."""
    with contextlib.suppress(*_DECODE_ERRORS, KeyError, TypeError, IndexError):
        ImageOps.exif_transpose(picture, in_place=True)
    return picture


def _pixels(picture: Image.Image) -> Picture:
    """Give `[H,W,C]`. Pillow would clip 16-bit grey at 255, so it goes by itself."""
    if picture.mode in _HIGH_DEPTH:
        grey = np.asarray(picture).astype(np.float32) / np.float32(65535)
        return np.repeat(np.clip(grey, 0, 1)[..., None], 3, axis=2)
    see_through = picture.mode in _WITH_ALPHA or "transparency" in picture.info
    mode = "RGBA" if see_through else "RGB"
    return np.asarray(picture if picture.mode == mode else picture.convert(mode))


def _no_picture(content: bytes) -> tuple[str, str]:
    start = content[:64].lstrip().lower()
    if not content:
        return "is empty", "是空的"
    if start.startswith((b"<", b"{")):
        return "is a page or text, not a picture", "是网页或文本，不是图片"
    return "is no picture of a known format", "不是可识别格式的图片"


def _fill(frame: torch.Tensor, picture: Picture) -> None:
    """Write a decoded picture into its frame `[H,W,C]` of a batch."""
    channels = picture.shape[2]
    frame[..., channels:] = 1.0
    if picture.shape[:2] == frame.shape[:2]:
        _to_float(picture, frame[..., :channels].numpy())
        return
    whole = np.empty(picture.shape, np.float32)
    _to_float(picture, whole)
    height, width = frame.shape[:2]
    cut = _centre(torch.from_numpy(whole), width / height).movedim(-1, 0)[None]
    scaled = torch.nn.functional.interpolate(cut, (height, width), mode="bilinear")
    frame[..., :channels] = scaled[0].movedim(0, -1)


def _to_float(picture: Picture, out: npt.NDArray[np.float32]) -> None:
    np.divide(picture, np.float32(255 if picture.dtype == np.uint8 else 1), out=out)


def _centre(picture: torch.Tensor, aspect: float) -> torch.Tensor:
    """Cut `[H,W,C]` to the width-to-height ratio `aspect`, around its centre."""
    height, width = picture.shape[:2]
    own = width / height
    x = round((width - width * (aspect / own)) / 2) if own > aspect else 0
    y = round((height - height * (own / aspect)) / 2) if own < aspect else 0
    return picture[y : max(height - y, y + 1), x : max(width - x, x + 1)]
