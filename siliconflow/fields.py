"""One field of a request: its type, range and wire name, and the check of a value against it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..strings.text import text
from .errors import InvalidInput

Value = str | int | float | bool

_SIZE = re.compile(r"(\d{1,5})\s*[x×*]\s*(\d{1,5})", re.IGNORECASE)


@dataclass(frozen=True)
class Field:
    """What one model accepts in one field.

    `type` is one of the keys of `_CHECKS`, `wire` the field's name in the request. `minimum` and
    `maximum` are inclusive; `step` is the grid a whole number must lie on, counted from zero.
    `default` is what is sent for a `required` field that the user left alone. `custom` means that
    a size outside `choices` is accepted, of at most `max_pixels`. `excludes` names a field that
    cannot be set together with this one.
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
        """Return `value` as it is sent. Raises `InvalidInput` with the name of this input."""
        return _CHECKS[self.type](self, value)

    def invalid(self, reason: str, **values: object) -> InvalidInput:
        """Return the error of a value that is not accepted, for this reason of `invalid.*`."""
        return InvalidInput(self.name, text(f"invalid.{reason}", **values))


def require_text(value: str, name: str) -> None:
    """Raise `InvalidInput` if the text of an input is empty or blank."""
    if not value.strip():
        raise InvalidInput(name, text("invalid.empty"))


def parse_size(size: str) -> tuple[int, int] | None:
    """Return (width, height) of a text such as `1024x768`; `None` if it is no size."""
    match = _SIZE.fullmatch(size.strip())
    return (int(match.group(1)), int(match.group(2))) if match else None


def parse_field(name: str, entry: Mapping[str, Any]) -> Field:
    """Return the field of a catalogue entry; its wire name is its own name unless given."""
    values = {"wire": name, **entry}
    values["choices"] = tuple(values.get("choices", ()))
    return Field(name=name, **values)


def range_text(field: Field) -> str:
    """Return the range of a number as `1-100`, or `-2..2` where it begins below zero."""
    dash = ".." if (field.minimum or 0) < 0 else "-"
    ends = ("" if end is None else f"{end:.10g}" for end in (field.minimum, field.maximum))
    return dash.join(ends)


def _number(field: Field, value: Value) -> Value:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise field.invalid("not_a_number", value=repr(value))
    low, high = field.minimum, field.maximum
    if (low is not None and value < low) or (high is not None and value > high):
        raise field.invalid("out_of_range", value=f"{value:g}", range=range_text(field))
    return value


def _integer(field: Field, value: Value) -> Value:
    number = _number(field, value)
    if int(number) != number:
        raise field.invalid("not_whole", value=value)
    if field.step and int(number) % field.step:
        raise field.invalid("not_a_multiple", value=value, step=field.step)
    return int(number)


def _string(field: Field, value: Value) -> Value:
    if not isinstance(value, str):
        raise field.invalid("not_text", value=repr(value))
    return value


def _boolean(field: Field, value: Value) -> Value:
    if not isinstance(value, bool):
        raise field.invalid("not_a_boolean", value=repr(value))
    return value


def _choice(field: Field, value: Value) -> Value:
    if value not in field.choices:
        raise field.invalid("not_a_choice", value=value, choices=", ".join(field.choices))
    return value


def _integer_choice(field: Field, value: Value) -> Value:
    """Check a number that is chosen from a list; it is sent as a number."""
    return int(str(_choice(field, str(value))))


def _size(field: Field, value: Value) -> Value:
    size = parse_size(str(value))
    if size is None:
        raise field.invalid("not_a_size", value=repr(value))
    width, height = size
    sent = f"{width}x{height}"
    if sent in field.choices or not field.custom:
        return _choice(field, sent)
    if not width * height:
        raise field.invalid("no_pixels", value=sent)
    if field.max_pixels and width * height > field.max_pixels:
        raise field.invalid(
            "too_many_pixels", value=sent, pixels=width * height, max_pixels=field.max_pixels
        )
    return sent


_CHECKS: dict[str, Callable[[Field, Value], Value]] = {
    "number": _number,
    "integer": _integer,
    "string": _string,
    "boolean": _boolean,
    "choice": _choice,
    "whole_choice": _integer_choice,
    "size": _size,
}
