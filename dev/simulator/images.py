"""`POST /images/generations`: the request, the images sent with it, and the URLs of the results."""

from __future__ import annotations

import base64
import io
import re
import secrets
import struct
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from .drawing import Drawing, Sent, Size, draw, upright
from .models import Call, Model, Result, Usage, read_table
from .responses import Refused, Reply, bad_parameter, json_reply
from .schemas import read_ratio, read_size

if TYPE_CHECKING:
    from .state import State

WATERMARK_HEADER = "X-Enable-Watermark"
UNREADABLE = (OSError, SyntaxError, ValueError, struct.error, zlib.error, EOFError)
DATA_URL = re.compile(r"data:\s*(image/[\w.+-]+)\s*;\s*base64\s*,\s*(.*?)\s*", re.DOTALL)
SEEDS, DEFAULT_SIZE, MEGAPIXEL = 10**10, (1024, 1024), 1024 * 1024
SHORTEST, LONGEST, VALUE_SHOWN = 256, 2048, 60
NOT_SHOWN = frozenset({"model", "prompt", "seed", "image_size", "width", "height", "batch_size"})
SAMPLE, COLORS_NAMED, SMALLEST_SHARE = 48, 3, 0.08


def read_image(state: State, field: str, value: str) -> Sent:
    """Return an image that was sent, a data URL or a link; raise Refused for a broken one.

    Links to images made here are opened. Others are not: the simulator stays on this machine.
    """
    match, base = DATA_URL.fullmatch(value), f"{state.origin}/pictures/"
    if not match and not value.startswith(base):
        return Sent(field, None, value)
    try:
        if match:
            content = base64.b64decode(match[2], validate=True)
        else:
            content = state.published(value[len(base) :]).body
    except ValueError:
        raise Refused(bad_parameter(f"{field}: the data is not base64")) from None
    except Refused:
        raise Refused(bad_parameter(f"The image at {value} cannot be fetched")) from None
    try:
        image = Image.open(io.BytesIO(content))
        image.load()
    except (*UNREADABLE, Image.DecompressionBombError) as error:
        text = f"{field}: the data is not a whole image ({error})"
        raise Refused(bad_parameter(re.sub(r"<.*>", "it", text))) from None
    real = Image.MIME.get(image.format or "", "unknown")
    if match and real != match[1].lower():
        text = f"{field}: declared as {match[1].lower()}, but the data is {real}"
        raise Refused(bad_parameter(text))
    return Sent(field, upright(image), "" if match else value)


def without_removed_fields(state: State, body: dict[str, Any]) -> dict[str, Any]:
    """Return a request without what is no longer in the API; raise Refused if that is strict."""
    if "batch_size" not in body or not state.day.has("batch-size-removed"):
        return body
    if state.removed_fields == "refuse":
        raise Refused(bad_parameter("batch_size: the parameter is no longer supported"))
    return {name: value for name, value in body.items() if name != "batch_size"}


def answer(call: Call) -> Result:
    """Draw the requested images."""
    state, drawings = call.state, _drawings(call)
    drawn: list[bytes] = []

    def reply(took: float) -> Reply:
        names = (f"{call.trace_id}-{index}" for index in range(len(drawn)))
        shown = [_show(state, drawings[0], *each) for each in zip(names, drawn, strict=True)]
        seed = drawings[0].seed
        content: dict[str, Any] = dict.fromkeys(state.answer_lists, shown)
        content |= {"timings": {"inference": round(took, 3)}, "seed": seed}
        if state.reported:
            # The second is there sometimes.
            content |= {"created": int(state.clock()), **({"shared_id": "0"} if seed % 2 else {})}
        return json_reply(content)

    return Result(reply, Usage(images=len(drawings)), lambda: drawn.extend(map(draw, drawings)))


def _drawings(call: Call) -> list[Drawing]:
    """Return what is to be drawn, image by image."""
    body, model = call.body, call.model
    names = call.state.models.images_in(model, body)
    sent = tuple(read_image(call.state, name, body[name]) for name in names)
    details = tuple(
        f"{name} {str(value)[:VALUE_SHOWN]}"
        for name, value in body.items()
        if name not in NOT_SHOWN and name not in names
    )
    count = max(1, _whole(body.get("batch_size"), 1))
    marked = call.state.day.has("visible-mark") and call.headers.get(WATERMARK_HEADER) != "0"
    seed, size = _whole(body.get("seed"), secrets.randbelow(SEEDS)), size_of(model, body, sent)
    first = sent[0].image if sent and call.state.echoes else None
    if first and "works_at" in model.traits:
        area, step = model.traits["works_at"]
        scale = (area / (first.width * first.height)) ** 0.5 / step
        width, height = (max(1, round(side * scale)) * step for side in first.size)
        size = width, height
    kind = "JPEG" if body.get("output_format") == "jpeg" else "PNG"
    given = model.name, str(body.get("prompt", "")), size, seed
    echo = first is not None
    return [Drawing(*given, at, count, sent, details, kind, marked, echo) for at in range(count)]


def _whole(value: object, otherwise: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else otherwise


def size_of(model: Model, body: Mapping[str, Any], sent: tuple[Sent, ...]) -> Size:
    """Return the size of the result: as requested, else the first image's, else the model's own."""
    sides = _whole(body.get("width"), 0), _whole(body.get("height"), 0)
    requested = read_size(body.get("image_size")) or (sides if min(sides) > 0 else None)
    ratio = read_ratio(body.get("aspect_ratio"))
    first = next((each.image for each in sent if each.image), None)
    if requested:
        return requested
    if ratio:
        scale = (MEGAPIXEL / (ratio.numerator * ratio.denominator)) ** 0.5
        width, height = (round(n * scale / 16) * 16 for n in (ratio.numerator, ratio.denominator))
        return max(16, width), max(16, height)
    usual = read_size(model.traits.get("default_size"))
    if first and usual is None:
        # The first image's own size, or scaled when that is tiny or huge.
        scale = min(max(1.0, SHORTEST / min(first.size)), LONGEST / max(first.size))
        return max(1, round(first.width * scale)), max(1, round(first.height * scale))
    return usual or DEFAULT_SIZE


def _show(state: State, drawing: Drawing, name: str, content: bytes) -> dict[str, str]:
    """Return one result, in the way that the settings ask for."""
    media_type = f"image/{drawing.format.lower()}"
    if state.answer == "url":
        name = f"{name}.{drawing.format.lower()}"
        return {"url": state.publish(name, content, media_type)}
    data = base64.b64encode(content).decode()
    if state.answer == "b64_json":
        return {"b64_json": data}
    return {"url": f"data:{media_type};base64,{data}"}


def describe(sent: Sent) -> str:
    """Return what can be said of an image without understanding it: its size and colors."""
    if sent.image is None:
        return f"not opened: {sent.url}"
    colors = read_table("colors")
    small = sent.image.convert("RGB").resize((SAMPLE, SAMPLE), Image.Resampling.BOX)
    pixels = np.asarray(small, np.int32).reshape(-1, 1, 3)
    apart = ((pixels - np.array(list(colors.values()))) ** 2).sum(axis=2)
    shares = np.bincount(apart.argmin(axis=1), minlength=len(colors)) / SAMPLE**2
    order = [at for at in np.argsort(-shares)[:COLORS_NAMED] if shares[at] >= SMALLEST_SHARE]
    found = ", ".join(list(colors)[at] for at in order) or "many colors"
    return f"{sent.image.width}x{sent.image.height}, mostly {found}"
