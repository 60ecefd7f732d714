"""Turns what came back into the exception of its cause: the one place that does.

Error bodies come as JSON objects, JSON strings, plain text, HTML or nothing. Sources: the `Errors`
and `Rate limits` facts of the API's documents, and bodies reported by public clients.
"""

from __future__ import annotations

import html
import json
import math
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from .errors import (
    BadAnswer,
    BadRequest,
    DailyLimit,
    Failure,
    Forbidden,
    GatewayTimeout,
    InsufficientBalance,
    InvalidKey,
    ModelDisabled,
    ModelNotFound,
    Overloaded,
    RateLimited,
    RequestError,
    ServerError,
    WrongAddress,
)

TRACE_HEADER = "x-siliconcloud-trace-id"
_LONGEST_MESSAGE = 600
_LONGEST_TRACE = 100
_LARGEST_CODE = 10**9
_DATA_URL = re.compile(r"data:[\w.+-]+/[\w.+-]+;base64,\s*[A-Za-z0-9+/=_-]*")
_BASE64_RUN = re.compile(r"[A-Za-z0-9+/=_-]{200,}")
_TAGS = re.compile(r"<(script|style)\b.*?</\1>|<[^<>]*>", re.DOTALL | re.IGNORECASE)
_LONGEST_PAGE = 4000
"""Characters of a page that are searched for words: the search takes their square."""
_NO_TRACE = re.compile(r"[^\w.:/+=-]")
SUCCESS = (0, 200, 20000)
_NOTHING: tuple[Any, ...] = (None, "", {})
_OF_ERRORS = frozenset({"code", "message", "msg", "error", "detail", "status", "success"})
_OBJECT = re.compile(r"<[^<>]*>:?\s*|\w+\(host='[^']*', port=\d+\):\s*")
_COMFY_S_OWN = re.compile(r"Please (?:login first to use this node|add credits to your account)")

_BY_STATUS: dict[int, type[RequestError]] = {
    400: BadRequest,
    401: InvalidKey,
    403: Forbidden,
    404: WrongAddress,
    408: GatewayTimeout,
    429: RateLimited,
    499: GatewayTimeout,
    503: Overloaded,
    504: GatewayTimeout,
}
_BY_CODE: dict[tuple[int, int], type[RequestError]] = {
    (400, 20012): ModelNotFound,
    (403, 30001): InsufficientBalance,
    (403, 30003): ModelDisabled,
}
_BY_WORDS: tuple[tuple[int, re.Pattern[str], type[RequestError]], ...] = (
    (403, re.compile(r"balance|余额", re.IGNORECASE), InsufficientBalance),
    (429, re.compile(r"\b[RTI]PD\b"), DailyLimit),
)


def from_response(
    status: int, headers: Mapping[str, str], body: str, model: str = ""
) -> RequestError:
    """Turn an HTTP answer that is not a success into the exception of its cause.

    `body` may be a JSON object, a JSON string, plain text, HTML or empty; all of them occur.
    """
    code, message = read_body(body)
    trace_id = trace_of(headers)
    wait = _seconds(headers.get("Retry-After", ""))
    return _kind(status, code, message)(Failure(message, status, code, model, trace_id, wait))


def trace_of(headers: Mapping[str, str]) -> str:
    """Give the trace id of an answer, as far as it can be one."""
    return _NO_TRACE.sub("", headers.get(TRACE_HEADER, ""))[:_LONGEST_TRACE]


def read_body(body: str) -> tuple[int | None, str]:
    """Give the code, if the body has one, and the message of an error body of any shape."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None, clean(html.unescape(_TAGS.sub(" ", body[:_LONGEST_PAGE])))
    if isinstance(value, dict):
        return _code(value.get("code")), clean(_message(value))
    return None, clean(value if isinstance(value, str) else "")


def error_in(data: object) -> tuple[int | None, str] | None:
    """Give the code and the message of an answer that says something in place of a result."""
    if not isinstance(data, dict):
        return None
    code, message = _code(data.get("code")), clean(_message(data))
    others = [data[name] for name in set(data) - _OF_ERRORS]
    is_result = code in SUCCESS or any(other not in _NOTHING for other in others)
    return None if is_result or not message else (code, message)


def reason_of(error: Exception) -> str:
    """Give what an error of the connection says, without the objects and hosts around it."""
    inner = error.args[0] if error.args else error
    reason = getattr(inner, "reason", None) or inner
    return clean(_OBJECT.sub("", str(reason))) or type(error).__name__


def clean(message: str) -> str:
    """Take pictures out of a message, fold its white space, and cut it short.

    Two sentences would open ComfyUI's own sign-in and top-up, which are for another service.
    """
    folded = " ".join(without_data(message[:100_000]).split())
    return folded if len(folded) <= _LONGEST_MESSAGE else folded[:_LONGEST_MESSAGE] + "…"


def without_data(text: str) -> str:
    """Take pictures out of a text, and the sentences that ComfyUI would take for its own."""
    return _COMFY_S_OWN.sub("…", _BASE64_RUN.sub("…", _DATA_URL.sub("data:…", text)))


def _message(value: dict[str, Any]) -> str:
    nested = value.get("error")
    source = nested if isinstance(nested, dict) else value
    for name in ("message", "error", "msg", "detail"):
        if isinstance(source.get(name), str):
            return str(source[name])
    return ""


def _code(value: object) -> int | None:
    if isinstance(value, str) and value.isdecimal() and len(value) < 10:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if abs(value) < _LARGEST_CODE else None


def _kind(status: int, code: int | None, message: str) -> type[RequestError]:
    if code is not None and (status, code) in _BY_CODE:
        return _BY_CODE[status, code]
    for of_status, words, kind in _BY_WORDS:
        if status == of_status and words.search(message):
            return kind
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status >= 500:
        return ServerError
    if status < 300:
        return BadAnswer
    return WrongAddress if status < 400 else BadRequest


def _seconds(retry_after: str) -> float | None:
    """Read a `Retry-After`, which is a number of seconds or a date."""
    try:
        seconds = float(retry_after)
    except ValueError:
        seconds = _until(retry_after)
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _until(date: str) -> float:
    try:
        return parsedate_to_datetime(date).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError):
        return math.nan
