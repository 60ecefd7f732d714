"""Landscapes from a number: the same key always paints the same view."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Grid = NDArray[np.float32]
Color = tuple[int, int, int]


@dataclass(frozen=True)
class Palette:
    """The light of a scene: sky from top to horizon, the sun or moon, far and near land."""

    top: Color
    middle: Color
    low: Color
    light: Color
    far: Color
    near: Color
    stars: bool = False


PALETTES = (
    Palette(
        (38, 66, 130),
        (212, 110, 120),
        (255, 190, 120),
        (255, 226, 170),
        (196, 116, 128),
        (40, 24, 52),
    ),
    Palette(
        (60, 140, 214),
        (140, 200, 238),
        (236, 244, 240),
        (255, 252, 226),
        (150, 188, 208),
        (22, 66, 74),
    ),
    Palette(
        (9, 14, 42),
        (26, 44, 94),
        (72, 96, 146),
        (232, 238, 255),
        (58, 80, 128),
        (8, 13, 30),
        stars=True,
    ),
    Palette(
        (92, 62, 122),
        (226, 122, 108),
        (252, 214, 150),
        (255, 240, 196),
        (214, 130, 104),
        (82, 34, 34),
    ),
    Palette(
        (12, 42, 62),
        (22, 110, 112),
        (120, 200, 160),
        (226, 255, 232),
        (60, 134, 128),
        (7, 30, 38),
        stars=True,
    ),
    Palette(
        (122, 170, 214),
        (244, 200, 208),
        (255, 234, 214),
        (255, 250, 238),
        (184, 164, 190),
        (58, 52, 92),
    ),
    Palette(
        (40, 26, 80),
        (140, 62, 132),
        (246, 134, 112),
        (255, 214, 160),
        (132, 66, 122),
        (26, 12, 46),
        stars=True,
    ),
    Palette(
        (84, 150, 168),
        (176, 210, 190),
        (250, 236, 190),
        (255, 246, 206),
        (134, 170, 138),
        (28, 60, 42),
    ),
)


def paint_scene(width: int, height: int, key: str) -> Image.Image:
    """Paint a landscape: sky, sun or moon, ridges one behind the other, and often a lake."""
    digest = hashlib.blake2b(key.encode(), digest_size=16).digest()
    random = np.random.default_rng(int.from_bytes(digest, "big"))
    palette = PALETTES[random.integers(len(PALETTES))]
    canvas = _sky(width, height, palette)
    sun = _light(canvas, palette, random)
    if palette.stars:
        _stars(canvas, random)
    _clouds(canvas, palette, random)
    shore = int(height * random.uniform(0.6, 0.72)) if random.random() < 0.8 else height
    _ridges(canvas, shore, palette, random)
    _lake(canvas, shore, sun, palette, random)
    return Image.fromarray(np.clip(canvas + 0.5, 0, 255).astype(np.uint8))


def _sky(width: int, height: int, palette: Palette) -> Grid:
    stops = np.array([palette.top, palette.middle, palette.low], np.float32)
    rows = np.linspace(0, 1, height, dtype=np.float32) / 0.62
    column = np.stack(
        [np.interp(rows, [0, 0.62, 1], stops[:, channel]) for channel in range(3)], axis=1
    )
    return np.repeat(column.astype(np.float32)[:, None, :], width, axis=1)


def _light(canvas: Grid, palette: Palette, random: np.random.Generator) -> tuple[float, float]:
    height, width = canvas.shape[:2]
    x, y = width * random.uniform(0.18, 0.82), height * random.uniform(0.16, 0.4)
    radius = min(width, height) * random.uniform(0.045, 0.085)
    dx, dy = np.arange(width, dtype=np.float32) - x, np.arange(height, dtype=np.float32) - y
    for spread, strength in ((9.0, 0.35), (3.2, 0.45)):
        glow = strength * np.outer(_bell(dy, radius * spread), _bell(dx, radius * spread))
        _blend(canvas, glow, palette.light)
    disc = np.clip(radius + 0.5 - np.hypot(dx[None, :], dy[:, None]), 0, 1)
    _blend(canvas, disc, palette.light)
    return x, y


def _bell(distance: Grid, spread: float) -> Grid:
    bell: Grid = np.exp(-((distance / spread) ** 2))
    return bell


def _blend(canvas: Grid, amount: Grid, color: Color) -> None:
    canvas += amount[..., None] * (np.array(color, np.float32) - canvas)


def _stars(canvas: Grid, random: np.random.Generator) -> None:
    height, width = canvas.shape[:2]
    count = 60 + width * height // 9000
    ys = (random.random(count) ** 1.6 * height * 0.55).astype(int)
    xs = (random.random(count) * width).astype(int)
    light = (random.random(count) ** 3 * 190 + 30).astype(np.float32)
    for size, share in ((0, 1.0), (1, 0.35)):
        canvas[np.clip(ys + size, 0, height - 1), xs] += (light * share)[:, None]
        canvas[ys, np.clip(xs + size, 0, width - 1)] += (light * share)[:, None]


def _clouds(canvas: Grid, palette: Palette, random: np.random.Generator) -> None:
    height, width = canvas.shape[:2]
    band = max(2, int(height * 0.55))
    noise = _noise(random, 14, 7, width, band) * 0.65 + _noise(random, 34, 13, width, band) * 0.35
    fade = np.sin(np.linspace(0, np.pi, band, dtype=np.float32))[:, None]
    cover = np.clip((noise - 0.52) * 2.6, 0, 0.55) * fade * random.uniform(0.3, 1.0)
    _blend(canvas[:band], cover.astype(np.float32), _mix(palette.light, palette.low, 0.35))


def _noise(random: np.random.Generator, rows: int, columns: int, width: int, height: int) -> Grid:
    coarse = Image.fromarray(random.random((rows, columns), dtype=np.float32))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.float32)


def _mix(first: Color, second: Color, amount: float) -> Color:
    pairs = zip(first, second, strict=True)
    red, green, blue = (round(one + (two - one) * amount) for one, two in pairs)
    return red, green, blue


def _ridges(canvas: Grid, shore: int, palette: Palette, random: np.random.Generator) -> None:
    height, width = canvas.shape[:2]
    count = int(random.integers(4, 7))
    sharp = random.random() < 0.6
    for layer in range(count):
        depth = layer / (count - 1)
        base = (
            height * (0.5 + depth * 0.16)
            if shore == height
            else shore - height * 0.12 * (1 - depth)
        )
        swing = height * (0.24 - 0.13 * depth) * random.uniform(0.75, 1.15)
        edge = base - swing * _profile(width, 2 + layer, random, sharp=sharp and depth < 0.7)
        color = _mix(palette.far, palette.near, depth**0.9)
        mist = _mix(color, palette.low, 0.5 * (1 - depth) + 0.08)
        _ridge(canvas[:shore], edge, color, mist)


def _profile(width: int, bumps: int, random: np.random.Generator, *, sharp: bool) -> Grid:
    total = np.zeros(width, np.float32)
    where = np.linspace(0, 1, width, dtype=np.float32)
    strength = 1.0
    for octave in range(6):
        points = bumps * 2**octave + 2
        knots = random.random(points, dtype=np.float32) - 0.5
        position = where * (points - 1)
        left = np.minimum(position.astype(int), points - 2)
        part = position - left
        part = part if sharp else part * part * (3 - 2 * part)
        total += strength * (knots[left] * (1 - part) + knots[left + 1] * part)
        strength *= 0.5 if sharp else 0.32
    return total + 0.5


def _ridge(canvas: Grid, edge: Grid, color: Color, mist: Color) -> None:
    height = canvas.shape[0]
    start, solid = max(0, int(edge.min()) - 1), min(height, max(0, int(edge.max()) + 2))
    if start >= height:
        return
    fall = np.linspace(0, 1, height - start, dtype=np.float32)[:, None] ** 1.4
    shades = np.array(color, np.float32) * (1 - fall) + np.array(mist, np.float32) * fall
    rows = np.arange(start, solid, dtype=np.float32)[:, None]
    cover = np.clip(rows - edge[None, :] + 0.5, 0, 1)[..., None]
    band = canvas[start:solid]
    band += cover * (shades[: solid - start, None, :] - band)
    canvas[solid:] = shades[solid - start :, None, :]


def _lake(
    canvas: Grid,
    shore: int,
    sun: tuple[float, float],
    palette: Palette,
    random: np.random.Generator,
) -> None:
    height, width = canvas.shape[:2]
    depth = height - shore
    if depth < 2:
        return
    rows = np.arange(depth)
    wave = np.sin(rows * random.uniform(0.5, 0.9) / (1 + rows * 6 / height)) * rows * 0.035
    source = np.clip(shore - 1 - rows * 1.15 + wave, 0, shore - 1).astype(int)
    water = canvas[source]
    _blend(water, np.full((depth, width), 0.3, np.float32), _mix(palette.near, palette.top, 0.5))
    across = np.arange(width, dtype=np.float32)[None, :] - sun[0]
    spread = (width * (0.02 + 0.1 * random.random(depth, dtype=np.float32)))[:, None]
    flicker = random.random(depth, dtype=np.float32)[:, None] ** 2 * 0.55
    _blend(water, flicker * np.exp(-((across / spread) ** 2)), palette.light)
    canvas[shore:] = water
