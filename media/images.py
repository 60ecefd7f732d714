"""ComfyUI's IMAGE to files and data URLs, and files to IMAGE.

An IMAGE is a float tensor `[B,H,W,C]` of values 0..1, C = 1 (grey), 3 (RGB) or 4 (RGBA with
straight alpha), on any device. Files are 8 bits a channel; values are rounded, not truncated, so
that an 8-bit picture survives tensor, file, tensor bit for bit.
"""

from __future__ import annotations

import base64
import io
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from . import png
from .png import Pixels

MOST_PIXELS = 64_000_000
LARGEST_WEBP_SIDE = 16383
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
_CHANNELS = (1, 3, 4)
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
    left as it is.
    """
    values = frame.detach().to(torch.float32).nan_to_num(nan=0.0, posinf=1.0, neginf=0.0)
    rounded = values.clamp_(0, 1).mul_(255).round_().to(torch.uint8)
    pixels: Pixels = rounded.cpu().contiguous().numpy()
    return pixels


def tensor_to_pil(frame: torch.Tensor) -> Image.Image:
    """Turn one frame `[H,W,C]` into an 8-bit picture, see `tensor_to_pixels`."""
    return _to_pil(tensor_to_pixels(frame))


def encode_webp(pixels: Pixels) -> bytes:
    """Write a lossless WebP as fast as libwebp can; colours under full transparency are kept."""
    file = io.BytesIO()
    _to_pil(pixels).save(file, "WEBP", lossless=True, quality=0, method=0, exact=True)
    return file.getvalue()


_ENCODERS: dict[str, Callable[[Pixels], bytes]] = {"webp": encode_webp, "png": png.encode}


def tensor_to_data_url(frame: torch.Tensor, upload: str = "webp") -> str:
    """Turn one frame `[H,W,C]` into a lossless `data:image/...;base64,` URL.

    `upload` is `webp` or `png`; a picture with a side beyond WebP's 16383 pixels becomes a PNG.
    """
    pixels = tensor_to_pixels(frame)
    kind = "png" if max(pixels.shape[:2]) > LARGEST_WEBP_SIDE else upload
    encoded = base64.b64encode(_ENCODERS[kind](pixels)).decode("ascii")
    return f"data:image/{kind};base64,{encoded}"


def data_url_to_bytes(url: str) -> bytes:
    """Give the file inside a base64 data URL; raises `MediaError` if there is none."""
    head, comma, encoded = url.partition(",")
    if not (comma and head.startswith("data:") and head.endswith(";base64")):
        raise MediaError("is no base64 data URL", "不是 base64 data URL")
    try:
        return base64.b64decode(encoded.strip(), validate=True)
    except ValueError:
        raise MediaError("is no base64 data URL", "不是 base64 data URL") from None


def decode(content: bytes, most_pixels: int = MOST_PIXELS) -> torch.Tensor:
    """Turn a picture file into an IMAGE `[1,H,W,C]` float32, C = 4 if the file has alpha, else 3.

    The EXIF rotation is applied; of an animation the first frame counts; 16-bit grey keeps its
    depth. Raises `MediaError` for what is no picture of a known format, is damaged or cut short,
    or has more than `most_pixels`.
    """
    try:
        return _decode(content, most_pixels)
    except UnidentifiedImageError:
        raise MediaError(*_no_picture(content)) from None
    except MediaError:
        raise
    except _DECODE_ERRORS as error:
        raise MediaError(f"is damaged ({error})", f"已损坏（{error}）") from None


def to_batch(pictures: Sequence[torch.Tensor]) -> tuple[torch.Tensor, list[Resized]]:
    """Join IMAGEs of one frame into a batch, as ComfyUI's own ImageBatch does.

    Where channels differ, opaque alpha is added; where sizes differ, a picture is cut to the
    shape of the first around its centre and scaled to its size, bilinear. Also says which were.
    """
    channels = max(picture.shape[-1] for picture in pictures)
    height, width = pictures[0].shape[1:3]
    resized = [
        Resized(index, picture.shape[2], picture.shape[1])
        for index, picture in enumerate(pictures)
        if picture.shape[1:3] != (height, width)
    ]
    return torch.cat([_fitted(picture, height, width, channels) for picture in pictures]), resized


def _to_pil(pixels: Pixels) -> Image.Image:
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def _decode(content: bytes, most_pixels: int) -> torch.Tensor:
    with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
        width, height = picture.size
        if width * height > most_pixels:
            raise MediaError(
                f"has {width}x{height} pixels, more than {most_pixels}",
                f"尺寸为 {width}x{height}，超过 {most_pixels} 像素",
            )
        picture.load()
        return torch.from_numpy(_pixels(_upright(picture))).unsqueeze(0)


def _upright(picture: Image.Image) -> Image.Image:
    """Apply the EXIF rotation; EXIF that cannot be read is no reason to lose a picture."""
    try:
        return ImageOps.exif_transpose(picture)
    except (*_DECODE_ERRORS, KeyError, TypeError, IndexError):
        return picture


def _pixels(picture: Image.Image) -> npt.NDArray[np.float32]:
    """Give `[H,W,C]` of values 0..1. Pillow would clip 16-bit grey at 255, so it goes by itself."""
    if picture.mode in _HIGH_DEPTH:
        grey = np.asarray(picture).astype(np.float32) / np.float32(65535)
        return np.repeat(np.clip(grey, 0, 1)[..., None], 3, axis=2)
    see_through = picture.mode in _WITH_ALPHA or "transparency" in picture.info
    values = np.asarray(picture.convert("RGBA" if see_through else "RGB"))
    return values.astype(np.float32) / np.float32(255)


def _no_picture(content: bytes) -> tuple[str, str]:
    start = content[:64].lstrip().lower()
    if not content:
        return "is empty", "是空的"
    if start.startswith((b"<", b"{")):
        return "is a page or text, not a picture", "是网页或文本，不是图片"
    return "is no picture of a known format", "不是可识别格式的图片"


def _fitted(picture: torch.Tensor, height: int, width: int, channels: int) -> torch.Tensor:
    missing = channels - picture.shape[-1]
    if missing:
        picture = torch.nn.functional.pad(picture, (0, missing), value=1.0)
    if picture.shape[1:3] == (height, width):
        return picture
    cut = _centre(picture, width / height).movedim(-1, 1)
    return torch.nn.functional.interpolate(cut, (height, width), mode="bilinear").movedim(1, -1)


def _centre(picture: torch.Tensor, aspect: float) -> torch.Tensor:
    """Cut `[B,H,W,C]` to the width-to-height ratio `aspect`, around its centre."""
    height, width = picture.shape[1:3]
    own = width / height
    x = round((width - width * (aspect / own)) / 2) if own > aspect else 0
    y = round((height - height * (own / aspect)) / 2) if own < aspect else 0
    return picture[:, y : height - y, x : width - x]
