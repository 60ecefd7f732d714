"""What faster libraries would bring where Pillow and zlib are the limit; the pack uses none."""

from __future__ import annotations

import importlib
import io
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from comfyui_siliconflow.media import png
from comfyui_siliconflow.media.image_files import Pixels, decode, tensor_to_pixels
from PIL import Image

from . import sample_images
from .decoding import four
from .measure import in_turns

_TEXT = """## What other libraries would bring

A photograph of 1024x1024 to PNG, and a PNG of it to pixels. Ours chooses, filters and uses both
cores; the rows below it only compress what is filtered already, on one.

| to PNG | time | bytes, of Pillow's |
|---|---|---|
{encoders}

| from PNG | time |
|---|---|
{decoders}

None of them is a dependency: beside the seconds that the service takes and the bytes on the line
the difference is small, and each would be one more thing to keep in step with ComfyUI's own
environment."""


def text() -> str:
    """Measure what is installed, and describe it."""
    pixels = tensor_to_pixels(sample_images.photograph())
    encoders, decoders = _encoders(pixels), _decoders(four()[0])
    encoding, decoding = in_turns(encoders, 5), in_turns(decoders, 5)
    size = len(encoders["Pillow"]())
    return _TEXT.format(
        encoders="\n".join(
            f"| {name} | {encoding[name].best * 1e3:.1f} ms | {len(way()) / size:.2f} |"
            for name, way in encoders.items()
        ),
        decoders="\n".join(
            f"| {name} | {times.best * 1e3:.1f} ms |" for name, times in decoding.items()
        ),
    )


def _encoders(pixels: Pixels) -> dict[str, Callable[[], bytes]]:
    filtered = np.diff(pixels, axis=1, prepend=np.zeros_like(pixels[:, :1])).tobytes()
    isal, zlib_ng, cv2 = (_optional(name) for name in ("isal.isal_zlib", "zlib_ng.zlib_ng", "cv2"))
    return {
        "Pillow": partial(_pillow, pixels),
        "ours: one filter, zlib's RLE": partial(png.encode, pixels),
        "the same rows, isal, level 1": partial(isal.compress, filtered, 1),
        "the same rows, zlib-ng, level 1": partial(zlib_ng.compress, filtered, 1),
        "the same rows, zlib, level 1": partial(zlib.compress, filtered, 1),
        "OpenCV": partial(_opencv, cv2, pixels),
    }


def _pillow(pixels: Pixels) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _opencv(cv2: Any, pixels: Pixels) -> bytes:
    found: bytes = cv2.imencode(".png", pixels)[1].tobytes()
    return found


def _decoders(file: bytes) -> dict[str, Callable[[], object]]:
    cv2 = _optional("cv2")
    return {
        "Pillow, as the pack uses it": partial(decode, file),
        "OpenCV": lambda: cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR),
    }


def _optional(name: str) -> Any:
    """Import by name: the type checker need not have it."""
    return importlib.import_module(name)
