"""Text on pictures: a font of this system that has the characters, and lines that fit."""

from __future__ import annotations

import re
import sys
from functools import lru_cache
from pathlib import Path

from PIL import ImageFont

CJK = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]")
PIECES = re.compile(rf"{CJK.pattern}|\s+|(?:(?!{CJK.pattern})\S)+")
LATIN_FONTS = (
    "DejaVuSans.ttf",
    "segoeui.ttf",
    "Arial.ttf",
    "Helvetica.ttc",
    "LiberationSans-Regular.ttf",
)
CJK_FONTS = (
    "NotoSansCJK-Regular.ttc",
    "NotoSansCJKsc-Regular.otf",
    "NotoSansSC-Regular.otf",
    "SourceHanSansSC-Regular.otf",
    "wqy-microhei.ttc",
    "wqy-zenhei.ttc",
    "msyh.ttc",
    "simhei.ttf",
    "PingFang.ttc",
    "Hiragino Sans GB.ttc",
    "STHeiti Medium.ttc",
    "DroidSansFallbackFull.ttf",
)
# The Noto and Source Han collections hold one face per language; this one is simplified Chinese.
FACES = {"NotoSansCJK-Regular.ttc": 2}
LONGEST = 1200

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@lru_cache(maxsize=64)
def font_for(size: int, *, cjk: bool = False) -> Font:
    """Return a font of this size; Pillow's own where the system has none."""
    for name in CJK_FONTS if cjk else LATIN_FONTS:
        path = find_font(name)
        if path:
            layout = ImageFont.Layout.BASIC
            return ImageFont.truetype(path, size, FACES.get(name, 0), layout_engine=layout)
    return ImageFont.load_default(size)


@lru_cache(maxsize=64)
def find_font(name: str) -> str | None:
    """Return where this system keeps a font file, or None."""
    for folder in font_folders():
        found = next(folder.rglob(name), None) if folder.is_dir() else None
        if found:
            return str(found)
    return None


def font_folders() -> list[Path]:
    """Return where fonts live on this system."""
    if sys.platform == "win32":
        return [Path("C:/Windows/Fonts")]
    if sys.platform == "darwin":
        return [Path("/System/Library/Fonts"), Path("/Library/Fonts")]
    return [Path("/usr/share/fonts"), Path("/usr/local/share/fonts"), Path.home() / ".fonts"]


def has_cjk_font() -> bool:
    """Tell whether some font here can show Chinese."""
    return any(find_font(name) for name in CJK_FONTS)


def legible(text: str) -> str:
    """Return the text as it can be shown: one line, and no row of empty boxes.

    Without a Chinese font, `画 a cat` becomes `[1 CJK] a cat`.
    """
    line = " ".join(text[:LONGEST].split())
    if has_cjk_font():
        return line
    return re.sub(f"(?:{CJK.pattern})+", lambda match: f"[{len(match[0])} CJK]", line)


def font_of(text: str, size: int) -> Font:
    """Return the font that has this text's characters."""
    return font_for(size, cjk=bool(CJK.search(text)))


def wrap(text: str, font: Font, width: float, lines: int) -> list[str]:
    """Break a text into at most this many lines of this width; the last may end in an ellipsis.

    Chinese breaks at any character, other text at spaces, and a word longer than a line anywhere.
    """
    rows = [""]
    for piece in _pieces(text, font, width):
        if len(rows) > lines:
            break
        if rows[-1] and font.getlength((rows[-1] + piece).rstrip()) > width:
            rows.append("")
        rows[-1] += piece if rows[-1] else piece.lstrip()
    if len(rows) > lines:
        rows = [*rows[: lines - 1], _shorten(rows[lines - 1], font, width)]
    return [row.rstrip() for row in rows]


def _pieces(text: str, font: Font, width: float) -> list[str]:
    pieces: list[str] = []
    for piece in PIECES.findall(text):
        pieces.extend([piece] if font.getlength(piece) <= width else list(piece))
    return pieces


def _shorten(row: str, font: Font, width: float) -> str:
    row = row.rstrip()
    while row and font.getlength(row + "…") > width:
        row = row[:-1]
    return row.rstrip() + "…"
