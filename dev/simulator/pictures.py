"""Draws the pictures, so that a person sees what was asked: scene, sent pictures, caption."""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFilter

from .inputs import Sent
from .lettering import font_for, font_of, legible, wrap
from .orders import Order, Size
from .scenery import paint_scene

SMALLEST = 96
PAPER = (250, 248, 243)
INK = (28, 30, 38)
FAINT = (205, 210, 222)
DIM = (160, 166, 182)
VEIL = (10, 12, 20)
PROMPT_LINES = 4
JPEG_QUALITY = 92

Box = tuple[int, int, int, int]


def draw_picture(order: Order, index: int) -> bytes:
    """Draw one picture of an order and encode it: the same order gives the same bytes."""
    size = (max(SMALLEST, order.size[0]), max(SMALLEST, order.size[1]))
    key = f"{order.seed}/{index}/{order.model}/{order.prompt}"
    canvas = paint_scene(*size, key)
    top = _caption(canvas, order, index)
    if order.inputs:
        _arrange(canvas, order.inputs, top)
    if size != order.size:
        canvas = canvas.resize(order.size, Image.Resampling.LANCZOS)
    return encode(canvas, order.format)


def encode(picture: Image.Image, kind: str) -> bytes:
    """Encode a picture; PNG lightly, because speed counts more than size here."""
    buffer = io.BytesIO()
    if kind == "JPEG":
        picture.save(buffer, kind, quality=JPEG_QUALITY)
    else:
        picture.save(buffer, kind, compress_level=1)
    return buffer.getvalue()


@dataclass(frozen=True)
class _Text:
    """A paragraph of the caption."""

    words: str
    size: int
    color: tuple[int, int, int]
    lines: int


def _paragraphs(order: Order, index: int, unit: int) -> list[_Text]:
    width, height = order.size
    number = [f"{index + 1} of {order.count}"] if order.count > 1 else []
    facts = [order.model, f"{width}x{height}", f"seed {order.seed}", *number, *order.details]
    texts = [
        _Text(legible(order.prompt), round(unit * 1.3), PAPER, PROMPT_LINES),
        _Text(legible(" · ".join(facts)), round(unit * 0.9), FAINT, 4),
        _Text("made by the local simulator", round(unit * 0.75), DIM, 1),
    ]
    return [text for text in texts if text.words]


def _caption(canvas: Image.Image, order: Order, index: int) -> int:
    """Write the caption at the foot of the canvas and return where it starts."""
    unit = max(9, round(min(canvas.size) / 46))
    margin = round(unit * 1.5)
    width = canvas.width - 2 * margin
    lines: list[tuple[str, _Text]] = []
    for text in _paragraphs(order, index, unit):
        rows = wrap(text.words, font_of(text.words, text.size), width, text.lines)
        lines.extend((row, text) for row in rows)
    height = sum(_leading(text) for _, text in lines) + 2 * margin
    top = max(0, canvas.height - height)
    _veil(canvas, top)
    _write(canvas, lines, margin, top + margin)
    return top


def _leading(text: _Text) -> int:
    return round(text.size * 1.55)


def _veil(canvas: Image.Image, top: int) -> None:
    box = (0, top, canvas.width, canvas.height)
    foot = canvas.crop(box).reduce(4).filter(ImageFilter.GaussianBlur(4))
    foot = Image.blend(foot, Image.new("RGB", foot.size, VEIL), 0.66)
    canvas.paste(foot.resize((box[2], box[3] - top), Image.Resampling.BILINEAR), (0, top))


def _write(canvas: Image.Image, lines: list[tuple[str, _Text]], x: int, y: int) -> None:
    pen = ImageDraw.Draw(canvas)
    for row, text in lines:
        pen.text((x, y), row, fill=text.color, font=font_of(text.words, text.size))
        y += _leading(text)


def _arrange(canvas: Image.Image, inputs: tuple[Sent, ...], bottom: int) -> None:
    """Hang the sent pictures above the caption, as large as the place allows."""
    gap = max(4, min(canvas.size) // 40)
    room = (canvas.width - gap, max(gap * 4, bottom) - gap)
    shapes = [_shape(sent) for sent in inputs]
    columns = max(range(1, len(inputs) + 1), key=lambda count: _fit(shapes, count, room, gap))
    rows = -(-len(inputs) // columns)
    cell = (room[0] // columns, room[1] // rows)
    for number, sent in enumerate(inputs):
        row, column = divmod(number, columns)
        left_over = columns - min(columns, len(inputs) - row * columns)
        x = gap + column * cell[0] + left_over * cell[0] // 2
        y = gap + row * cell[1]
        _hang(canvas, sent, (x, y, x + cell[0] - gap, y + cell[1] - gap))


def _shape(sent: Sent) -> Size:
    return sent.picture.size if sent.picture else (4, 3)


def _fit(shapes: list[Size], columns: int, room: Size, gap: int) -> float:
    rows = -(-len(shapes) // columns)
    width, height = room[0] / columns - gap, room[1] / rows - gap
    areas = (min(width / w, height / h) ** 2 * w * h for w, h in shapes)
    return min(areas) if width > 0 and height > 0 else 0.0


def _hang(canvas: Image.Image, sent: Sent, place: Box) -> None:
    frame = max(2, min(canvas.size) // 110)
    room = (max(1, place[2] - place[0] - 2 * frame), max(1, place[3] - place[1] - 2 * frame))
    picture = _scaled(sent.picture, room) if sent.picture else _card(sent, room)
    x = place[0] + (room[0] - picture.width) // 2
    y = place[1] + (room[1] - picture.height) // 2
    box = (x, y, x + picture.width + 2 * frame, y + picture.height + 2 * frame)
    _shadow(canvas, box, 3 * frame)
    canvas.paste(PAPER, box)
    canvas.paste(picture, (x + frame, y + frame))
    _label(canvas, sent.field, x + frame, y + frame, max(9, min(canvas.size) // 46))


def _scaled(picture: Image.Image, room: Size) -> Image.Image:
    scale = min(room[0] / picture.width, room[1] / picture.height)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    way = Image.Resampling.NEAREST if scale > PIXEL_ART else Image.Resampling.BICUBIC
    return picture.resize(size, way, reducing_gap=2.0)


# A picture of a few pixels, blown up: hard squares show what it is, a blur does not.
PIXEL_ART = 8


def _card(sent: Sent, room: Size) -> Image.Image:
    """Draw a card for a picture that was sent as a link, which the simulator does not open."""
    size = _scaled(Image.new("1", (400, 300)), room).size
    card = Image.new("RGB", size, (226, 230, 238))
    unit = max(9, size[0] // 24)
    rows = wrap(sent.url, font_for(unit), size[0] - 2 * unit, 6)
    text = "\n".join(["link:", *rows])
    pen = ImageDraw.Draw(card)
    pen.multiline_text((unit, size[1] / 2), text, fill=INK, font=font_for(unit), anchor="lm")
    return card


def _shadow(canvas: Image.Image, box: Box, spread: int) -> None:
    around = (box[0] - spread, box[1] - spread, box[2] + spread, box[3] + spread)
    size = (around[2] - around[0], around[3] - around[1])
    small = (max(1, size[0] // 4), max(1, size[1] // 4))
    mask = Image.new("L", small)
    inset = spread // 4
    mask.paste(130, (inset, inset, small[0] - inset, small[1] - inset))
    mask = mask.filter(ImageFilter.GaussianBlur(max(1, spread / 10)))
    drop = (around[0], around[1] + spread // 3)
    canvas.paste((0, 0, 0), (*drop, drop[0] + size[0], drop[1] + size[1]), mask.resize(size))


def _label(canvas: Image.Image, name: str, x: int, y: int, size: int) -> None:
    font = font_for(size)
    pen = ImageDraw.Draw(canvas)
    pad = size // 2
    end = (x + font.getlength(name) + 2 * pad, y + size + 2 * pad)
    pen.rectangle((x, y, *end), fill=INK)
    pen.text((x + pad, y + pad + size / 2), name, fill=PAPER, font=font, anchor="lm")
