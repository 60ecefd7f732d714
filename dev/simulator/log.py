"""What was asked, what was answered and what it cost, request by request."""

from __future__ import annotations

import base64
import binascii
import io
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from PIL import Image

from .inputs import Upload


@dataclass
class Record:
    """One request. It is listed when it arrives; `status` is None until it is answered.

    Status 0 stands for a connection that was closed without an answer.
    """

    time: float
    method: str
    path: str
    trace_id: str
    model: str | None = None
    status: int | None = None
    body: Any = None
    pictures: int = 0
    tokens: int = 0
    """The tokens of a call other than for pictures, read and written."""
    charged: Decimal = Decimal(0)
    delivered: bool = True
    """False when the client hung up before the answer: it is charged all the same."""
    with_key: bool = False
    """Whether an Authorization header came along: a picture's URL needs none."""
    refusal: str = ""
    """The start of the error body, for a request that was refused."""


class Charge(NamedTuple):
    """Money taken for what was made: pictures, or a call of another kind."""

    trace_id: str
    model: str
    pictures: int
    amount: Decimal


def describe_record(record: Record) -> dict[str, Any]:
    """Turn a record into JSON, with a short description in place of each picture."""
    shown = dict(vars(record))
    shown["charged"] = str(record.charged)
    shown["body"] = describe_value(record.body)
    return shown


def describe_value(value: Any) -> Any:
    """Replace each picture's data URL by what it is: `<PNG 640x480, 12345 bytes>`; files too."""
    if isinstance(value, dict):
        return {name: describe_value(each) for name, each in value.items()}
    if isinstance(value, list):
        return [describe_value(each) for each in value]
    if isinstance(value, Upload):
        return f"<{value.name}, {value.media_type}, {len(value.content)} bytes>"
    if not (isinstance(value, str) and value.startswith("data:")):
        return value
    head, _, data = value.partition(",")
    try:
        content = base64.b64decode(data, validate=False)
        picture = Image.open(io.BytesIO(content))
    except (binascii.Error, OSError, SyntaxError, ValueError):
        return f"<{head[:60]}, {len(data)} characters>"
    return f"<{picture.format} {picture.width}x{picture.height}, {len(content)} bytes>"
