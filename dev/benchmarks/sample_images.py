"""Images to measure with: like a photograph, and a flat drawing. The same on every machine."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
import torch
from PIL import Image, ImageDraw

GRAIN = 0.012
"""Standard deviation of a camera's noise, of values 0..1."""


@cache
def photograph(side: int = 1024) -> torch.Tensor:
    """Return a frame `[H,W,3]` with the spectrum of natural scenes (1/f) and a camera's grain."""
    dice = np.random.default_rng(1)
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None])
    frequency[0, 0] = 1
    shared = dice.normal(size=(side, side))
    planes = [_scene(shared + 0.4 * dice.normal(size=(side, side)), frequency) for _ in range(3)]
    noisy = np.stack(planes, -1) + dice.normal(size=(side, side, 3)) * GRAIN
    return torch.from_numpy(np.clip(noisy, 0, 1).astype(np.float32))


def _scene(noise: np.ndarray, frequency: np.ndarray) -> np.ndarray:
    found = np.fft.ifft2(np.fft.fft2(noise) / frequency**1.3).real
    scaled: np.ndarray = (found - found.min()) / (found.max() - found.min())
    return scaled


@cache
def from_jpeg(side: int = 1024) -> torch.Tensor:
    """Return the photograph as it comes out of a JPEG file, as most loaded images do."""
    file = io.BytesIO()
    pixels = photograph(side).mul(255).round().byte().numpy()
    Image.fromarray(pixels).save(file, "JPEG", quality=85)
    decoded = np.asarray(Image.open(file)).astype(np.float32) / np.float32(255)
    return torch.from_numpy(decoded)


@cache
def drawing(side: int = 1024) -> torch.Tensor:
    """Return a frame `[H,W,3]` of flat shapes, outlines and small writing."""
    image = Image.new("RGB", (side, side), (245, 241, 230))
    pen = ImageDraw.Draw(image)
    for at in range(40):
        corner = at * side // 60
        box = (corner, side - 2 * corner // 3 - 160, corner + side // 5, side - 2 * corner // 3)
        pen.ellipse(box, ((at * 37) % 256, (at * 91) % 256, 200 - at * 3), "black", 3)
    for line in range(0, side // 3, 16):
        pen.text(
            (side // 2, line), "A flat drawing, with rather small writing on it. " * 2, "black"
        )
    return torch.from_numpy(np.asarray(image).astype(np.float32) / 255)
