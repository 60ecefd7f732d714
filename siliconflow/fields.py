"""One field of a request: its type, range and wire name, and the check of a value against it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..strings.text import Text
from .errors import InvalidInput

Value = str | int | float | bool

_SIZE = re.compile(r"(\d{1,5})\s*[x×*]\s*(\d{1,5})", re.IGNORECASE)


@dataclass(frozen=True)
class Field:
    """What one model takes in one field.

    `minimum` and `maximum` are inclusive; `step` is the grid a value must lie on, counted from
    zero. `default` is what is sent for a `required` field that the user left alone. `custom`
    means that a size outside `choices` is accepted, of at most `max_pixels`.
    """

    name: str
    type: str
    wire: str
    default: Value | None = None
    required: bool = False
    minimum: float | None = None
    maximum: float | None = None
    step: int | None = None
    choices: tuple[str, ...] = ()
    custom: bool = False
    max_pixels: int | None = None
    excludes: str = ""

    def check(self, value: Value) -> Value:
        """Give `value` as it goes on the wire, or raise `InvalidInput` naming this input."""
        return _CHECKS[self.type](self, value)

    def refuse(self, en: str, zh: str) -> InvalidInput:
        """Build the error of a value that this field does not take."""
        return InvalidInput(self.name, Text(en, zh))


def size_of(text: str) -> tuple[int, int] | None:
    """Read `1024x768` as (width, height); `None` if the text is no size."""
    found = _SIZE.fullmatch(text.strip())
    return (int(found.group(1)), int(found.group(2))) if found else None


def field_from(name: str, data: Mapping[str, Any]) -> Field:
    """Build a field from its catalogue entry; on the wire it bears its own name unless told."""
    known = {"wire": name, **data}
    known["choices"] = tuple(known.get("choices", ()))
    return Field(name=name, **known)


def _number(field: Field, value: Value) -> Value:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise field.refuse(f"{value!r} is not a number", f"{value!r} 不是数字")
    return _in_range(field, value)


def _integer(field: Field, value: Value) -> Value:
    whole = _number(field, value)
    if int(whole) != whole:
        raise field.refuse(f"{value} is not a whole number", f"{value} 不是整数")
    if field.step and int(whole) % field.step:
        raise field.refuse(
            f"{value} is not a multiple of {field.step}", f"{value} 不是 {field.step} 的倍数"
        )
    return int(whole)


def _in_range(field: Field, value: float) -> float:
    low, high = field.minimum, field.maximum
    if (low is not None and value < low) or (high is not None and value > high):
        span = span_of(field)
        raise field.refuse(f"{value:g} is outside {span}", f"{value:g} 超出范围 {span}")
    return value


def span_of(field: Field) -> str:
    """Give the range of a number as people write it, `1-100`, or `-2..2` below zero."""
    dash = ".." if (field.minimum or 0) < 0 else "-"
    return f"{_plain(field.minimum)}{dash}{_plain(field.maximum)}"


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:.10g}"


def _string(field: Field, value: Value) -> Value:
    if not isinstance(value, str):
        raise field.refuse(f"{value!r} is not text", f"{value!r} 不是文本")
    return value


def _boolean(field: Field, value: Value) -> Value:
    if not isinstance(value, bool):
        raise field.refuse(f"{value!r} is neither true nor false", f"{value!r} 不是布尔值")
    return value


def _choice(field: Field, value: Value) -> Value:
    if value in field.choices:
        return value
    raise field.refuse(*_not_among(str(value), field.choices))


def _whole_choice(field: Field, value: Value) -> Value:
    """Check a number that is chosen from a list; on the wire it is a number."""
    return int(str(_choice(field, str(value))))


def _size(field: Field, value: Value) -> Value:
    size = size_of(str(value))
    if size is None:
        raise field.refuse(f"{value!r} is not WIDTHxHEIGHT", f"{value!r} 不是 宽x高")
    written = f"{size[0]}x{size[1]}"
    if written in field.choices:
        return written
    if not field.custom:
        raise field.refuse(*_not_among(written, field.choices))
    return _custom_size(field, written, *size)


def _custom_size(field: Field, written: str, width: int, height: int) -> str:
    if not width or not height:
        raise field.refuse(f"{written} has no pixels", f"{written} 没有像素")
    if field.max_pixels and width * height > field.max_pixels:
        most = field.max_pixels
        raise field.refuse(
            f"{written} has {width * height} pixels, this model makes at most {most}",
            f"{written} 共 {width * height} 像素，该模型最多 {most} 像素",
        )
    return written


def _not_among(value: str, choices: Sequence[str]) -> tuple[str, str]:
    listed = ", ".join(choices)
    return (
        f"this model does not make {value}; it takes {listed}",
        f"该模型不支持 {value}，可选：{listed}",
    )


_CHECKS: dict[str, Callable[[Field, Value], Value]] = {
    "number": _number,
    "integer": _integer,
    "string": _string,
    "boolean": _boolean,
    "choice": _choice,
    "whole_choice": _whole_choice,
    "size": _size,
}
