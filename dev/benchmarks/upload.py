"""What each upload format costs: the bytes, and the seconds they take at 10 and 100 Mbit/s."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from comfyui_siliconflow.media.data_urls import encode

from . import rivals, sample_images
from .measure import in_turns

MBITS = (10, 100)


@dataclass(frozen=True)
class Way:
    """One way to send an image: seconds to encode it, bytes, seconds in all at each speed."""

    name: str
    encode: float
    bytes: int
    seconds: tuple[float, ...]


def table() -> list[Way]:
    """Measure every way with the same photograph."""
    photograph, jpeg = sample_images.photograph(), sample_images.from_jpeg()
    ways: dict[str, Callable[[], str | bytes]] = {
        "lossless": lambda: encode(photograph, "webp").url,
        "lossless (was a JPEG)": lambda: encode(jpeg, "webp").url,
        "lossy, WebP": lambda: encode(photograph, "webp", "lossy").url,
        "lossy, JPEG": lambda: encode(photograph, "png", "lossy").url,
        "rivals, PNG": partial(rivals.data_url, photograph),
        "rivals, PNG (was a JPEG)": partial(rivals.data_url, jpeg),
    }
    times = in_turns(ways, rounds=5)
    return [_way(name, times[name].best, len(way())) for name, way in ways.items()]


def _way(name: str, best: float, size: int) -> Way:
    return Way(name, best, size, tuple(best + size * 8 / (speed * 1e6) for speed in MBITS))
