"""Checks a request against the JSON Schema of its model; the message names the field.

Four keywords go beyond the standard: `picture`, `upload`, `size` and `ratioBetween`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from jsonschema import Draft202012Validator, SchemaError, TypeChecker, ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import extend

from .responses import Refused, bad_parameter, json_response

IMAGE = re.compile(r"https?://[^\s/]+\S*|data:\s*image/[\w.+-]+\s*;\s*base64\s*,.*", re.DOTALL)
SIZE = re.compile(r"([1-9][0-9]{0,5})x([1-9][0-9]{0,5})")
RATIO = re.compile(r"([1-9][0-9]{0,3}):([1-9][0-9]{0,3})")
SHOWN = 80
PIXELS = "width * height should not exceed"

Schema = Mapping[str, Any]
Errors = Iterator[ValidationError]


@dataclass(frozen=True)
class Upload:
    """A file that came as a part of a multipart form."""

    name: str
    media_type: str
    content: bytes = field(repr=False)


def read_size(value: object) -> tuple[int, int] | None:
    """Return the sides of `1024x768`; None for anything else."""
    match = SIZE.fullmatch(value) if isinstance(value, str) else None
    return (int(match[1]), int(match[2])) if match else None


def read_ratio(value: object) -> Fraction | None:
    """Return the ratio of `16:9`; None for anything else."""
    match = RATIO.fullmatch(value) if isinstance(value, str) else None
    return Fraction(int(match[1]), int(match[2])) if match else None


def _image(_: object, __: bool, value: object, ___: Schema) -> Errors:
    if isinstance(value, str) and not IMAGE.fullmatch(value):
        yield ValidationError(f"{value!r} is neither an http(s) URL nor a base64 data URL")


def _upload(_: object, __: bool, value: object, ___: Schema) -> Errors:
    if not isinstance(value, Upload):
        yield ValidationError("a file is required, sent as a part of a multipart form")


def _size(_: object, limits: Mapping[str, int], value: object, __: Schema) -> Errors:
    size = read_size(value)
    if size is None:
        yield ValidationError(f"{value!r} is not a size in the form WIDTHxHEIGHT")
    elif max(size) > limits.get("longest", max(size)):
        yield ValidationError(f"{value!r} has a side longer than {limits['longest']}")
    elif min(size) < limits.get("shortest", 0):
        yield ValidationError(f"{value!r} has a side shorter than {limits['shortest']}")
    elif size[0] * size[1] > limits.get("pixels", size[0] * size[1]):
        yield ValidationError(f"{PIXELS} {limits['pixels']}")


def _ratio_between(_: object, limits: list[str], value: object, __: Schema) -> Errors:
    low, ratio, high = read_ratio(limits[0]), read_ratio(value), read_ratio(limits[1])
    if not (low and ratio and high and low <= ratio <= high):
        yield ValidationError(f"{value!r} is not an aspect ratio from {limits[1]} to {limits[0]}")


def _is_whole_number(_: TypeChecker, value: object) -> bool:
    # Plain JSON Schema takes 20.0 for an integer; a service that reads into typed fields does not.
    return isinstance(value, int) and not isinstance(value, bool)


# The stubs of jsonschema leave `extend` without types.
_Validator: type[Validator] = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    {
        "picture": _image,
        "upload": _upload,
        "size": _size,
        "ratioBetween": _ratio_between,
    },
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_whole_number),
)


def check_body(schema: Schema, body: Mapping[str, Any]) -> None:
    """Raise Refused when a body breaks a rule of its schema."""
    errors = sorted(
        _Validator(schema).iter_errors(body), key=lambda error: (error.json_path, error.message)
    )
    if not errors:
        return
    error = errors[0]
    if error.message.startswith(PIXELS):
        # The service words this one without a field, and gives it no code.
        raise Refused(json_response(400, {"message": error.message}))
    shown = repr(error.instance)
    message = error.message
    if len(shown) > SHOWN:
        # An image in a message would be megabytes.
        message = message.replace(shown, shown[:SHOWN] + "...")
    place = ".".join(map(str, error.path))
    raise Refused(bad_parameter(f"{place}: {message}" if place else message))


def check_schema(name: str, schema: Schema) -> None:
    """Raise ValueError when a model's schema is not a JSON Schema."""
    try:
        _Validator.check_schema(dict(schema))
    except SchemaError as error:
        raise ValueError(f"{name}: {error.message}") from None
