"""ComfyUI's IMAGE to 8-bit pixels, and files to IMAGE.

An IMAGE is a float tensor `[B,H,W,C]` of values 0..1, C = 1 (grey), 3 (RGB) or 4 (RGBA with
straight alpha), on any device. Files have 8 bits a channel; values are rounded, not truncated, so
that an 8-bit image survives tensor, file, tensor bit for bit. Decoded images stay as small as
their file's pixels until the batch is made, which is allocated once.
"""

from __future__ import annotations

import contextlib
import io
import struct
import threading
import zlib
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from ..strings.text import Text, text
from .media_error import MediaError, PillowLimit, TooManyPixels

T = TypeVar("T")
Pixels = npt.NDArray[np.uint8]
DecodedImage: TypeAlias = npt.NDArray[np.uint8] | npt.NDArray[np.float32]
"""A decoded file, `[H,W,C]`: uint8 of 0..255, or float32 of 0..1. Never written to."""

MAX_PIXELS = 64_000_000
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
_CHANNELS = (1, 3, 4)
_MIN_VALUES = 1 << 16
"""Values below which a second thread costs more than it saves."""
_STRIP_ROWS = 64
_ONE_COLOR, _LARGEST_MARK = 4, 0.03
"""Of 255, how far values of one color lie apart; the part of an image that a mark may cover."""
_DEEP_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I")
_ALPHA_MODES = ("RGBA", "LA", "PA", "La", "RGBa")
_DECODE_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    struct.error,
    zlib.error,
)
_PILLOW_LIMIT = (
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,  # where warnings are errors
)


@dataclass(frozen=True)
class Resized:
    """An image of a batch that was fitted to the first one: its index and its own size."""

    index: int
    width: int
    height: int


def check_image(image: torch.Tensor) -> None:
    """Raise `MediaError` unless this is an IMAGE with at least one frame and one pixel."""
    if not isinstance(image, torch.Tensor) or image.ndim != 4:
        raise MediaError(text("media.not_image"))
    if image.shape[-1] not in _CHANNELS:
        raise MediaError(text("media.channels", channels=image.shape[-1]))
    if not image.is_floating_point():
        raise MediaError(text("media.not_float", dtype=image.dtype))
    if 0 in image.shape:
        raise MediaError(text("media.empty"))


def tensor_to_pixels(frame: torch.Tensor) -> Pixels:
    """Return one frame `[H,W,C]` as 8-bit pixels of the same shape.

    Values are clamped to 0..1 and rounded to the nearest of 256; NaN becomes 0. The tensor is not
    changed. Done in strips: they stay in the cache, and need no second frame of memory.
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
    """Return one frame `[H,W,C]` as an 8-bit Pillow image, see `tensor_to_pixels`."""
    return pixels_to_pil(tensor_to_pixels(frame))


def pixels_to_pil(pixels: Pixels) -> Image.Image:
    """Return 8-bit pixels `[H,W,C]` as a Pillow image."""
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def decode(content: bytes, max_pixels: int = MAX_PIXELS) -> DecodedImage:
    """Return the pixels `[H,W,C]` of an image file, C = 4 if any of it is transparent, else 3.

    They are uint8, or float32 of 0..1 where the file has more (16-bit grey). The EXIF rotation is
    applied; of an animation the first frame counts. Raises `MediaError` for a file that is not an
    image of a known format, is damaged or cut short, or has more than `max_pixels`.
    """
    try:
        return _decode(content, max_pixels)
    except UnidentifiedImageError:
        raise MediaError(_not_an_image(content)) from None
    except MediaError:
        raise
    except _PILLOW_LIMIT as error:
        raise PillowLimit(text("media.pillow_limit", reason=error)) from None
    except _DECODE_ERRORS as error:
        raise MediaError(text("media.damaged", reason=error)) from None


def to_batch(images: list[DecodedImage]) -> tuple[torch.Tensor, list[Resized]]:
    """Return one IMAGE `[B,H,W,C]` float32 of decoded images, and which of them were resized.

    As ComfyUI's own ImageBatch does: where channels differ, opaque alpha is added; where sizes
    differ, an image is cropped around its centre to the aspect ratio of the first and scaled to
    its size, bilinear. The list is emptied: each image is released once it is in the batch.
    """
    channels = max(image.shape[2] for image in images)
    height, width = images[0].shape[:2]
    # numpy asks for large pages, which are ready several times as fast.
    batch = torch.from_numpy(np.empty((len(images), height, width, channels), np.float32))
    resized = [
        Resized(index, image.shape[1], image.shape[0])
        for index, image in enumerate(images)
        if image.shape[:2] != (height, width)
    ]
    for frame in list(batch)[::-1]:
        _fill(frame, images.pop())
    return batch, resized


def is_one_color(image: DecodedImage, *, is_marked: bool) -> bool:
    """Return whether an image `[H,W,C]` has a single color, but for a visible mark if it has one.

    Looks at one pixel of 16 by 16, and at all of them only where those agree.
    """
    allowed = _LARGEST_MARK if is_marked else 0.0
    whole = 255 if image.dtype == np.uint8 else 1
    few = image[::16, ::16]
    color = np.median(few.reshape(-1, image.shape[2]), axis=0)
    for pixels in (few, image):
        low, high = (
            np.clip(color + sign * _ONE_COLOR * whole / 255, 0, whole).astype(image.dtype)
            for sign in (-1, 1)
        )
        is_other = np.zeros(pixels.shape[:2], bool)
        for channel in range(image.shape[2]):  # several times as fast as all of them at once
            values = pixels[..., channel]
            is_other |= (values < low[channel]) | (values > high[channel])
        if is_other.mean() > allowed:
            return False
    return True


def in_halves(work: Callable[[slice], T], rows: int, values: int) -> list[T]:
    """Call `work` with the rows of each half of an image of so many rows and values, in order.

    Both at the same time: torch, numpy and zlib release Python's lock while they work. torch could
    share out the work itself, but its threads take the cores that other images would use. The
    thread is a daemon: it keeps no interpreter from exiting.
    """
    middle = rows // 2 if values > _MIN_VALUES else 0
    if not middle:
        return [work(slice(0, rows))]
    upper: Future[T] = Future()

    def work_on_upper() -> None:
        try:
            upper.set_result(work(slice(0, middle)))
        except BaseException as error:  # noqa: BLE001 - raised below
            upper.set_exception(error)

    threading.Thread(target=work_on_upper, name="siliconflow", daemon=True).start()
    lower = work(slice(middle, rows))
    return [upper.result(), lower]


def _decode(content: bytes, max_pixels: int) -> DecodedImage:
    with Image.open(io.BytesIO(content), formats=FORMATS) as image:
        width, height = image.size
        if width * height > max_pixels:
            size = {"width": width, "height": height, "max_pixels": max_pixels}
            raise TooManyPixels(text("media.too_many_pixels", **size))
        image.load()
        # EXIF that cannot be read is no reason to lose an image.
        with contextlib.suppress(*_DECODE_ERRORS, KeyError, TypeError, IndexError):
            ImageOps.exif_transpose(image, in_place=True)
        return _pixels(image)


def _pixels(image: Image.Image) -> DecodedImage:
    """Return `[H,W,C]`. Pillow would clip 16-bit grey at 255, so it is converted here."""
    if image.mode in _DEEP_MODES:
        grey = np.asarray(image).astype(np.float32) / np.float32(65535)
        return np.repeat(np.clip(grey, 0, 1)[..., None], 3, axis=2)
    if image.mode in _ALPHA_MODES or "transparency" in image.info:
        image = image if image.mode == "RGBA" else image.convert("RGBA")
        # Many nodes take three channels alone: an alpha that says nothing is dropped.
        if image.getchannel("A").getextrema() == (255, 255):
            image = image.convert("RGB")
        return np.asarray(image)
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _not_an_image(content: bytes) -> Text:
    """Return what a file without an image in it is."""
    if not content:
        return text("media.empty")
    is_markup = content[:64].lstrip().startswith((b"<", b"{"))
    return text("media.text_not_image" if is_markup else "media.not_an_image_file")


def _fill(frame: torch.Tensor, image: DecodedImage) -> None:
    """Write a decoded image into its frame `[H,W,C]` of a batch."""
    channels = image.shape[2]
    frame[..., channels:] = 1.0
    is_same_size = image.shape[:2] == frame.shape[:2]
    whole = frame[..., :channels].numpy() if is_same_size else np.empty(image.shape, np.float32)
    in_halves(partial(_to_float, image, whole), len(image), image.size)
    if is_same_size:
        return
    height, width = frame.shape[:2]
    cropped = _crop(torch.from_numpy(whole), width / height).movedim(-1, 0)[None]
    scaled = torch.nn.functional.interpolate(cropped, (height, width), mode="bilinear")
    frame[..., :channels] = scaled[0].movedim(0, -1)


def _to_float(image: DecodedImage, out: npt.NDArray[np.float32], part: slice) -> None:
    np.divide(image[part], np.float32(255 if image.dtype == np.uint8 else 1), out=out[part])


def _crop(image: torch.Tensor, aspect: float) -> torch.Tensor:
    """Crop `[H,W,C]` around its centre to the width-to-height ratio `aspect`."""
    height, width = image.shape[:2]
    own = width / height
    x = round((width - width * (aspect / own)) / 2) if own > aspect else 0
    y = round((height - height * (own / aspect)) / 2) if own < aspect else 0
    return image[y : max(height - y, y + 1), x : max(width - x, x + 1)]
