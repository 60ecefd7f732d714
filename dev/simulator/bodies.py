"""Request bodies and queries."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .answers import Refused, answer_json, bad_parameter

if TYPE_CHECKING:
    from aiohttp import web

# Half of a pair that stands for one character, written as an escape; alone it is no text.
HALF_CHARACTER = b"\\ud"


def read_json(content: bytes) -> dict[str, Any]:
    """Read a request body; refuse what is not a JSON object."""
    try:
        body = json.loads(content, parse_constant=_no_number)
        if HALF_CHARACTER in content.lower():
            json.dumps(body, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise Refused(bad_parameter(f"The body is not JSON: {error}")) from None
    if not isinstance(body, dict):
        raise Refused(bad_parameter("The body must be a JSON object"))
    return body


def _no_number(name: str) -> float:
    text = f"{name} is no JSON number"
    raise ValueError(text)


def choice(request: web.Request, name: str, allowed: tuple[str, ...]) -> str | None:
    """Read a query parameter that is one of a few words; refuse any other."""
    value = request.query.get(name)
    if value is not None and value not in allowed:
        message = f"{name}: {value!r} is not one of {', '.join(allowed)}"
        # In the 2024 document every error body is a bare JSON string.
        raise Refused(answer_json(400, message))
    return value
