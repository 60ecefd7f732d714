"""What a request asks to be drawn: size, seed, how many, the pictures sent, the words to show."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .inputs import Find, Sent, read_input, upright
from .rules import Model, Rules, read_ratio, read_size

Size = tuple[int, int]

SEEDS = 10**10
DEFAULT_SIZE = (1024, 1024)
MEGAPIXEL = 1024 * 1024
SHORTEST, LONGEST = 256, 2048
NOT_SHOWN = frozenset({"model", "prompt", "seed", "image_size", "width", "height", "batch_size"})
VALUE_SHOWN = 60


@dataclass(frozen=True)
class Order:
    """Everything that a picture is drawn from."""

    model: str
    prompt: str
    size: Size
    seed: int
    count: int
    inputs: tuple[Sent, ...] = ()
    details: tuple[str, ...] = ()
    format: str = "PNG"

    @property
    def media_type(self) -> str:
        """The media type of the pictures."""
        return f"image/{self.format.lower()}"


def read_order(rules: Rules, body: Mapping[str, Any], find: Find) -> Order:
    """Check a request and turn it into an order; refuse one that breaks a rule."""
    model = rules.check(body)
    names = rules.pictures_in(model, body)
    inputs = tuple(_upright(read_input(name, body[name], find)) for name in names)
    return Order(
        model=model.name,
        prompt=str(body.get("prompt", "")),
        size=size_of(model, body, inputs),
        seed=_whole(body.get("seed"), secrets.randbelow(SEEDS)),
        count=max(1, _whole(body.get("batch_size"), 1)),
        inputs=inputs,
        details=_details(body, names),
        format="JPEG" if body.get("output_format") == "jpeg" else "PNG",
    )


def _whole(value: object, otherwise: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else otherwise


def _upright(sent: Sent) -> Sent:
    return Sent(sent.field, sent.picture and upright(sent.picture), sent.url)


def _details(body: Mapping[str, Any], pictures: list[str]) -> tuple[str, ...]:
    return tuple(
        f"{name} {str(value)[:VALUE_SHOWN]}"
        for name, value in body.items()
        if name not in NOT_SHOWN and name not in pictures
    )


def size_of(model: Model, body: Mapping[str, Any], inputs: tuple[Sent, ...]) -> Size:
    """Return the size of the result: as asked, else the first picture's, else the model's own."""
    asked = read_size(body.get("image_size")) or _sides(body)
    ratio = read_ratio(body.get("aspect_ratio"))
    first = next((sent.picture for sent in inputs if sent.picture), None)
    if asked:
        return asked
    if ratio:
        return shape_of(ratio.numerator, ratio.denominator)
    if first and model.default_size is None:
        return within_reason(first.size)
    return model.default_size or DEFAULT_SIZE


def _sides(body: Mapping[str, Any]) -> Size | None:
    width, height = _whole(body.get("width"), 0), _whole(body.get("height"), 0)
    return (width, height) if width > 0 and height > 0 else None


def shape_of(width: int, height: int) -> Size:
    """Return about a megapixel in this aspect ratio, in multiples of 16."""
    scale = (MEGAPIXEL / (width * height)) ** 0.5
    return max(16, round(width * scale / 16) * 16), max(16, round(height * scale / 16) * 16)


def within_reason(size: Size) -> Size:
    """Return the size itself, or scaled when it is tiny or huge."""
    scale = max(1.0, SHORTEST / min(size))
    scale = min(scale, LONGEST / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
