"""`POST /images/generations`: ask for pictures and read the answer.

Sources: the `images`, `2024` and `kolors` API documents. None of them marks anything in the
answer as required, and public clients report a `data` list beside `images` and `b64_json` in
place of `url`; all of these are read.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ...strings.text import Text
from ..client import Answer, Client
from ..errors import BadAnswer, Failure

PATH = "images/generations"
LONGEST_URL = 16_384
LARGEST = 2**53
"""Numbers above this are no seeds and no seconds, and neither JSON nor the ledger holds them."""
MOST_PICTURES = 64
"""No request asks for more; an answer that names more is no answer to it."""


@dataclass(frozen=True)
class ApiRequest:
    """What a request asks for: its body, and beside it the data URLs of its pictures, by name.

    They stay apart because they are megabytes: nothing reads or copies them on their way.
    """

    body: Mapping[str, Any]
    pictures: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def model(self) -> str:
        """Give the id of the model that is asked."""
        return str(self.body.get("model", ""))


@dataclass(frozen=True)
class ApiResult:
    """What one request brought. Each source is a URL, valid for one hour, or the file itself."""

    sources: tuple[str | bytes, ...]
    seed: int | None
    inference: float | None
    """Seconds that the service says the model ran."""
    trace_id: str
    seconds: float
    """Seconds from the request to the whole answer, as seen here."""


def generate(client: Client, order: ApiRequest) -> ApiResult:
    """Ask for pictures, once; this is the call that costs money.

    Raises a `RequestError` of the cause; `BadAnswer` for a 200 without a picture.
    """
    return read(client.post(PATH, order.body, order.pictures), order.model)


def read(answer: Answer, model: str) -> ApiResult:
    """Read the answer of the API; raises `BadAnswer` for anything that has no picture in it."""
    failure = Failure(status=200, model=model, trace_id=answer.trace_id)
    data = answer.data if isinstance(answer.data, dict) else {}
    entries = _entries(data)
    if not entries:
        raise _bad(failure, "it names no picture", "其中没有图片")
    if len(entries) > MOST_PICTURES:
        raise _bad(
            failure, f"it names {len(entries)} pictures", f"其中列出了 {len(entries)} 张图片"
        )
    sources = tuple(source for source in map(_source, entries) if source is not None)
    if not sources:
        raise _bad(failure, "no picture in it has a usable url or b64_json", "其中的图片都无法使用")
    timings = data.get("timings")
    return ApiResult(
        sources=sources,
        seed=_integer(data.get("seed")),
        inference=_number(timings.get("inference")) if isinstance(timings, dict) else None,
        trace_id=answer.trace_id,
        seconds=answer.seconds,
    )


def _entries(data: Mapping[str, Any]) -> list[Any]:
    """Give the pictures of `images`, else of `data`: where both stand they say the same."""
    for name in ("images", "data"):
        entries = data.get(name)
        if isinstance(entries, list) and entries:
            return entries
    return []


def _source(entry: object) -> str | bytes | None:
    """Give a picture's URL or file; `None` for an entry that is neither, beside others."""
    found = entry if isinstance(entry, dict) else {}
    url, encoded = found.get("url"), found.get("b64_json")
    if isinstance(encoded, str) and encoded:
        return _decoded(encoded.removeprefix(_header(encoded)))
    if isinstance(url, str) and url.startswith("data:"):
        return _decoded(url.removeprefix(_header(url)))
    if isinstance(url, str) and 0 < len(url) <= LONGEST_URL and _is_text(url):
        return url
    return None


def _is_text(url: str) -> bool:
    """Tell whether a URL can be written anywhere: JSON may hold half of a character."""
    try:
        return bool(url.encode())
    except UnicodeEncodeError:
        return False


def _header(text: str) -> str:
    """Give the part of a data URL before its base64, with the comma; empty if there is none."""
    return text[: text.find(",") + 1] if text.startswith("data:") else ""


def _decoded(encoded: str) -> bytes | None:
    try:
        return base64.b64decode("".join(encoded.split()), validate=True) or None
    except (binascii.Error, ValueError):
        return None


def _bad(failure: Failure, en: str, zh: str) -> BadAnswer:
    return BadAnswer(replace(failure, message=Text(en, zh)))


def _integer(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value < LARGEST else None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < LARGEST else None
