"""What a request sends along: pictures, read whole so that a broken one is refused, and files."""

from __future__ import annotations

import base64
import binascii
import io
import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

from PIL import Image, ImageOps

from .answers import Refused, bad_parameter

UNREADABLE = (OSError, SyntaxError, ValueError, struct.error, zlib.error, EOFError)
DATA_URL = re.compile(r"data:\s*(image/[\w.+-]+)\s*;\s*base64\s*,\s*(.*?)\s*", re.DOTALL)

Find = Callable[[str], bytes | None]
"""Returns the bytes behind a URL of this simulator's own; None for a URL of anyone else's."""


@dataclass(frozen=True)
class Sent:
    """A picture input: the field it came in, and the picture, or the URL that was not opened."""

    field: str
    picture: Image.Image | None
    url: str = ""


@dataclass(frozen=True)
class Upload:
    """A file that came as a part of a multipart form."""

    name: str
    media_type: str
    content: bytes = field(repr=False)


def read_input(field: str, value: str, find: Find) -> Sent:
    """Read a picture input, a data URL or a link.

    Links to pictures made here are opened. Others are not: the simulator stays on this machine.
    """
    match = DATA_URL.fullmatch(value)
    if match:
        return Sent(field, read_data_url(field, match[1].lower(), match[2]))
    content = find(value)
    return Sent(field, None if content is None else decode(field, content), value)


def read_data_url(field: str, media_type: str, data: str) -> Image.Image:
    """Decode a data URL; refuse it unless the data is such a picture as it declares."""
    try:
        content = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise Refused(bad_parameter(f"{field}: the data is not base64")) from None
    picture = decode(field, content)
    real = Image.MIME.get(picture.format or "", "unknown")
    if real != media_type:
        text = f"{field}: declared as {media_type}, but the data is {real}"
        raise Refused(bad_parameter(text))
    return picture


def decode(field: str, content: bytes) -> Image.Image:
    """Decode a whole picture, down to its last row; refuse what cannot be."""
    try:
        picture = Image.open(io.BytesIO(content))
        picture.load()
    except (*UNREADABLE, Image.DecompressionBombError) as error:
        text = f"{field}: the data is not a whole picture ({error})"
        raise Refused(bad_parameter(re.sub(r"<.*>", "it", text))) from None
    return picture


def upright(picture: Image.Image) -> Image.Image:
    """Turn a picture the way its camera held it, on a checkerboard where it is transparent."""
    turned = ImageOps.exif_transpose(picture)
    if not turned.has_transparency_data:
        return turned.convert("RGB")
    over = turned.convert("RGBA")
    board = checkerboard(over.size)
    board.paste(over, mask=over)
    return board


def checkerboard(size: tuple[int, int], square: int = 16) -> Image.Image:
    """Draw the grey squares that stand for transparency."""
    cell = Image.new("L", (2, 2), 235)
    cell.putpixel((0, 1), 200)
    cell.putpixel((1, 0), 200)
    columns, rows = (-(-side // (2 * square)) for side in size)
    tile = cell.resize((2 * square, 2 * square), Image.Resampling.NEAREST)
    board = Image.new("L", size)
    for index in range(columns * rows):
        board.paste(tile, (index % columns * 2 * square, index // columns * 2 * square))
    return board.convert("RGB")
