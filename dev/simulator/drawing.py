"""Draws the images, so that a person sees the request: landscape, sent images, caption, mark."""

from __future__ import annotations

import hashlib
import io
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps

from .models import read_table

Size = tuple[int, int]
Color = tuple[int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

PAPER, INK, VEIL = (250, 248, 243), (28, 30, 38), (10, 12, 20)
FAINT, DIM = (205, 210, 222), (160, 166, 182)
SMALLEST, PROMPT_LINES, JPEG_QUALITY, LONGEST_TEXT = 96, 4, 92, 1200
# An image of a few pixels, blown up: hard squares show what it is, a blur does not.
PIXEL_ART = 8
MARK = "AI 生成", "AI-generated"
CJK = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]")
PIECES = re.compile(rf"{CJK.pattern}|\s+|(?:(?!{CJK.pattern})\S)+")


@dataclass(frozen=True)
class Sent:
    """An image that was sent: its field, and the image, or the URL that was not opened."""

    field: str
    image: Image.Image | None
    url: str = ""


@dataclass(frozen=True)
class Drawing:
    """Everything that one image is drawn from."""

    model: str
    prompt: str
    size: Size
    seed: int
    index: int = 0
    count: int = 1
    sent: tuple[Sent, ...] = ()
    details: tuple[str, ...] = ()
    format: str = "PNG"
    marked: bool = False
    echo: bool = False


def draw(drawing: Drawing) -> bytes:
    """Draw an image and encode it: the same drawing gives the same bytes."""
    canvas, buffer = paint(drawing)[0], io.BytesIO()
    # PNG lightly packed, because speed counts more than size here.
    how = {"quality": JPEG_QUALITY} if drawing.format == "JPEG" else {"compress_level": 1}
    canvas.save(buffer, drawing.format, **how)
    return buffer.getvalue()


def paint(drawing: Drawing, background: Image.Image | None = None) -> tuple[Image.Image, int]:
    """Return what is drawn, on a background or a landscape, and where its caption starts."""
    size = (max(SMALLEST, drawing.size[0]), max(SMALLEST, drawing.size[1]))
    key = f"{drawing.seed}/{drawing.index}/{drawing.model}/{drawing.prompt}"
    echo = drawing.sent[0].image if drawing.echo else None
    canvas = echo or background or draw_landscape(*size, key)
    top = 0 if echo else _draw_caption(canvas, drawing)
    if drawing.sent and not echo:
        _hang_all(canvas, drawing.sent, top)
    if drawing.marked and not echo:
        _draw_mark(canvas)
    if canvas.size != drawing.size:
        canvas = canvas.resize(drawing.size, Image.Resampling.LANCZOS)
    return canvas, top


def _draw_mark(canvas: Image.Image) -> None:
    """Draw the visible mark that the service must put on what it makes, in the upper corner."""
    text = MARK[0] if has_cjk_font() else MARK[1]
    size = max(10, min(canvas.size) // 24)
    font, pen, edge = font_of(text, size), ImageDraw.Draw(canvas), size // 2
    right = canvas.width - edge
    left = right - font.getlength(text) - 2 * edge
    pen.rounded_rectangle((left, edge, right, edge + 2 * size), edge, fill=INK)
    middle = (left + right) / 2, edge + size
    pen.text(middle, text, fill=PAPER, font=font, anchor="mm")


def _draw_caption(canvas: Image.Image, drawing: Drawing) -> int:
    """Write the request at the foot of the canvas, and return where the caption starts."""
    unit = max(9, round(min(canvas.size) / 46))
    margin = round(unit * 1.5)
    number = [f"{drawing.index + 1} of {drawing.count}"] if drawing.count > 1 else []
    size = f"{drawing.size[0]}x{drawing.size[1]}"
    words = [drawing.model, size, f"seed {drawing.seed}", *number, *drawing.details]
    paragraphs = (
        (legible(drawing.prompt), round(unit * 1.3), PAPER, PROMPT_LINES),
        (legible(" · ".join(words)), round(unit * 0.9), FAINT, 4),
        ("made by the local simulator", round(unit * 0.75), DIM, 1),
    )
    rows = [
        (row, round(size * 1.55), color, font_of(text, size))
        for text, size, color, most in paragraphs
        if text
        for row in wrap(text, font_of(text, size), canvas.width - 2 * margin, most)
    ]
    top = max(0, canvas.height - sum(height for _, height, _, _ in rows) - 2 * margin)
    box = (0, top, canvas.width, canvas.height)
    foot = canvas.crop(box).reduce(4).filter(ImageFilter.GaussianBlur(4))
    foot = Image.blend(foot, Image.new("RGB", foot.size, VEIL), 0.66)
    canvas.paste(foot.resize((box[2], box[3] - top), Image.Resampling.BILINEAR), (0, top))
    pen, y = ImageDraw.Draw(canvas), top + margin
    for row, height, color, font in rows:
        pen.text((margin, y), row, fill=color, font=font)
        y += height
    return top


@lru_cache(maxsize=64)
def font_for(size: int, *, cjk: bool = False) -> Font:
    """Return a font of this size; Pillow's own where the system has none."""
    fonts = read_table("fonts")
    for name in fonts["cjk" if cjk else "latin"]:
        path, layout = find_font(name), ImageFont.Layout.BASIC
        if path:
            # A collection holds one face per language; this one is simplified Chinese.
            face = fonts["faces"].get(name, 0)
            return ImageFont.truetype(path, size, face, layout_engine=layout)
    return ImageFont.load_default(size)


@lru_cache(maxsize=64)
def find_font(name: str) -> str | None:
    """Return where this system keeps a font file, or None."""
    folders = (Path(folder).expanduser() for folder in read_table("fonts")["folders"])
    found = (file for folder in folders if folder.is_dir() for file in folder.rglob(name))
    return next(map(str, found), None)


def has_cjk_font() -> bool:
    """Return whether some font here can show Chinese."""
    return any(map(find_font, read_table("fonts")["cjk"]))


def font_of(text: str, size: int) -> Font:
    """Return the font that has the characters of a text."""
    return font_for(size, cjk=bool(CJK.search(text)))


def legible(text: str) -> str:
    """Return a text on one line; without a Chinese font, `画 a cat` becomes `[1 CJK] a cat`."""
    line = " ".join(text[:LONGEST_TEXT].split())
    if has_cjk_font():
        return line
    return re.sub(f"(?:{CJK.pattern})+", lambda match: f"[{len(match[0])} CJK]", line)


def wrap(text: str, font: Font, width: float, lines: int) -> list[str]:
    """Break a text into at most this many lines of this width; the last may end in an ellipsis.

    Chinese breaks at any character, other text at spaces, and a word longer than a line anywhere.
    """
    rows = [""]
    for word in PIECES.findall(text):
        for piece in [word] if font.getlength(word) <= width else list(word):
            if rows[-1] and font.getlength((rows[-1] + piece).rstrip()) > width:
                rows.append("")
            rows[-1] += piece if rows[-1] else piece.lstrip()
        if len(rows) > lines:
            last = rows[lines - 1].rstrip()
            while last and font.getlength(last + "…") > width:
                last = last[:-1]
            rows = [*rows[: lines - 1], last.rstrip() + "…"]
            break
    return [row.rstrip() for row in rows]


def upright(image: Image.Image) -> Image.Image:
    """Return an image the way its camera held it, on paper where it is transparent."""
    turned = ImageOps.exif_transpose(image)
    if not turned.has_transparency_data:
        return turned.convert("RGB")
    over = turned.convert("RGBA")
    board = Image.new("RGB", over.size, PAPER)
    board.paste(over, mask=over)
    return board


def _hang_all(canvas: Image.Image, sent: tuple[Sent, ...], bottom: int) -> None:
    """Hang the sent images above the caption, as large as the place allows."""
    gap = max(4, min(canvas.size) // 40)
    room = (canvas.width - gap, max(gap * 4, bottom) - gap)
    shapes = [each.image.size if each.image else (4, 3) for each in sent]

    def smallest(columns: int) -> float:
        rows = -(-len(shapes) // columns)
        width, height = room[0] / columns - gap, room[1] / rows - gap
        areas = (min(width / w, height / h) ** 2 * w * h for w, h in shapes)
        return min(areas) if width > 0 and height > 0 else 0.0

    columns = max(range(1, len(sent) + 1), key=smallest)
    rows = -(-len(sent) // columns)
    cell = (room[0] // columns, room[1] // rows)
    for number, each in enumerate(sent):
        row, column = divmod(number, columns)
        left_over = columns - min(columns, len(sent) - row * columns)
        x = gap + column * cell[0] + left_over * cell[0] // 2
        _hang(canvas, each, (x, gap + row * cell[1]), (cell[0] - gap, cell[1] - gap))


def _hang(canvas: Image.Image, sent: Sent, place: Size, room: Size) -> None:
    """Hang an image in the middle of a place: framed, with the name of its field."""
    frame, unit = max(2, min(canvas.size) // 110), max(9, min(canvas.size) // 46)
    room = (max(1, room[0] - 2 * frame), max(1, room[1] - 2 * frame))
    # A link is not opened: a grey card stands for its image.
    image = sent.image or Image.new("RGB", (400, 300), (226, 230, 238))
    scale = min(room[0] / image.width, room[1] / image.height)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    way = Image.Resampling.NEAREST if scale > PIXEL_ART else Image.Resampling.BICUBIC
    image = image.resize(size, way, reducing_gap=2.0)
    x = place[0] + (room[0] - image.width) // 2
    y = place[1] + (room[1] - image.height) // 2
    framed = Image.new("RGB", (image.width + 2 * frame, image.height + 2 * frame), PAPER)
    framed.paste(image, (frame, frame))
    canvas.paste(framed, (x, y))
    font, pen, left, top = font_for(unit), ImageDraw.Draw(canvas), x + frame, y + frame
    name = sent.field if sent.image else f"{sent.field}={sent.url}"
    (label,) = wrap(name, font, max(unit, image.width - 2 * unit), 1)
    pen.rectangle((left, top, left + font.getlength(label) + unit, top + 2 * unit), fill=INK)
    pen.text((left + unit / 2, top + unit), label, fill=PAPER, font=font, anchor="lm")


def draw_landscape(width: int, height: int, key: str) -> Image.Image:
    """Draw a landscape: sky, sun or moon, and ridges one behind the other."""
    digest = hashlib.blake2b(key.encode(), digest_size=16).digest()
    random = np.random.default_rng(int.from_bytes(digest, "big"))
    palettes = read_table("palettes")
    palette = palettes[random.integers(len(palettes))]
    stops = np.array([palette["top"], palette["middle"], palette["low"]])
    rows = np.linspace(0, 1 / 0.62, height)
    sky = np.stack([np.interp(rows, [0, 0.62, 1], stops[:, at]) for at in range(3)], axis=1)
    canvas = Image.fromarray(sky.astype(np.uint8)[:, None]).resize((width, height))
    pen, radius = ImageDraw.Draw(canvas), min(width, height) * random.uniform(0.045, 0.085)
    sun = width * random.uniform(0.18, 0.82), height * random.uniform(0.16, 0.4)
    box = (sun[0] - radius, sun[1] - radius, sun[0] + radius, sun[1] + radius)
    pen.ellipse(box, fill=tuple(palette["light"]))
    count, where = int(random.integers(4, 7)), np.linspace(0, 1, width)
    far, near = np.array(palette["far"]), np.array(palette["near"])
    for layer in range(count):
        # From far and pale (depth 0) to near and dark (depth 1).
        depth, line, strength = layer / (count - 1), np.zeros(width), 1.0
        for octave in range(6):
            knots = random.random((2 + layer) * 2**octave + 2) - 0.5
            line += strength * np.interp(where, np.linspace(0, 1, len(knots)), knots)
            strength *= 0.5 if depth < 0.7 else 0.32
        swing = height * (0.36 - 0.2 * depth) * random.uniform(0.75, 1.15)
        edge = height * (0.6 + 0.3 * depth) - swing * (line + 0.5)
        color = tuple((far + (near - far) * depth**0.9).astype(int).tolist())
        pen.polygon([(0, height), *enumerate(edge.tolist()), (width, height)], fill=color)
    return canvas
