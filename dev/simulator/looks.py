"""Looks at a picture and says what can be said without understanding it: shape, colours, light."""

from __future__ import annotations

from PIL import Image

COLOURS: dict[tuple[int, int, int], tuple[str, str]] = {
    (0, 0, 0): ("black", "黑色"),
    (90, 90, 90): ("dark grey", "深灰"),
    (165, 165, 165): ("grey", "灰色"),
    (255, 255, 255): ("white", "白色"),
    (220, 30, 30): ("red", "红色"),
    (110, 20, 30): ("dark red", "暗红"),
    (240, 130, 30): ("orange", "橙色"),
    (245, 220, 60): ("yellow", "黄色"),
    (120, 75, 40): ("brown", "棕色"),
    (215, 190, 155): ("sand", "沙色"),
    (50, 160, 60): ("green", "绿色"),
    (25, 75, 45): ("dark green", "深绿"),
    (40, 170, 170): ("teal", "青色"),
    (120, 185, 240): ("light blue", "浅蓝"),
    (0, 120, 215): ("blue", "蓝色"),
    (20, 40, 100): ("navy", "藏蓝"),
    (120, 60, 170): ("purple", "紫色"),
    (240, 150, 190): ("pink", "粉色"),
}
SAMPLE = 48
COLOURS_NAMED = 3
SMALLEST_SHARE = 0.08
DARK, BRIGHT = 85, 170


def name_size(picture: Image.Image | None) -> str:
    """Write the size of a picture: `640x480`."""
    return f"{picture.width}x{picture.height}" if picture else "?"


def describe(picture: Image.Image, language: str) -> str:
    """Describe a picture in a sentence, in `en` or `zh`."""
    chinese = language == "zh"
    colours = [COLOURS[key][chinese] for key in main_colours(picture)]
    shape, light = _shape(picture.size, chinese=chinese), _light(picture, chinese=chinese)
    if chinese:
        return f"一张{shape}图片，{light}，以{'、'.join(colours)}为主。"
    return f"A {light} {shape} picture, mostly {', '.join(colours)}."


def main_colours(picture: Image.Image) -> list[tuple[int, int, int]]:
    """Return the colours that cover most of a picture, largest first."""
    small = picture.convert("RGB").resize((SAMPLE, SAMPLE), Image.Resampling.BOX)
    counts: dict[tuple[int, int, int], int] = {}
    for number, colour in small.getcolors(SAMPLE * SAMPLE) or []:
        nearest = min(COLOURS, key=lambda key: _distance(key, colour))
        counts[nearest] = counts.get(nearest, 0) + number
    order = sorted(counts, key=lambda key: -counts[key])
    enough = [key for key in order if counts[key] >= SMALLEST_SHARE * SAMPLE * SAMPLE]
    return (enough or order)[:COLOURS_NAMED]


def _distance(one: tuple[int, int, int], other: object) -> int:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))  # type: ignore[call-overload]


def _shape(size: tuple[int, int], *, chinese: bool) -> str:
    if size[0] == size[1]:
        return "方形" if chinese else "square"
    wide = size[0] > size[1]
    return ("横幅" if wide else "竖幅") if chinese else ("landscape" if wide else "portrait")


def _light(picture: Image.Image, *, chinese: bool) -> str:
    level = picture.convert("L").resize((1, 1), Image.Resampling.BOX).tobytes()[0]
    names = ("色调偏暗", "明暗适中", "色调明亮") if chinese else ("dark", "evenly lit", "bright")
    return names[(level >= DARK) + (level >= BRIGHT)]
