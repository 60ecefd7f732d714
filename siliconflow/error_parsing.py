"""Maps an HTTP response to the exception of its cause: the only place that does.

Error bodies come as JSON objects, JSON strings, plain text, HTML or nothing. Sources: the `Errors`
and `Rate limits` facts of the API's documents, and bodies reported by public clients.
"""

from __future__ import annotations

import html
import json
import math
import re
import socket
import ssl
import time
import zlib
from collections.abc import Mapping
from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import Any

from urllib3.exceptions import HTTPError, ProxyError

from ..strings.text import Text, text
from .errors import (
    BadAnswer,
    BadProxy,
    BadRequest,
    CertificateFailed,
    DailyLimit,
    Failure,
    Forbidden,
    GatewayTimeout,
    HostNotFound,
    InsufficientBalance,
    InvalidKey,
    ModelDisabled,
    ModelNotFound,
    NotConnected,
    NotSent,
    Overloaded,
    ProxyFailed,
    RateLimited,
    RequestError,
    RetiredCall,
    ServerError,
    UploadInterrupted,
    UploadTooLarge,
    WrongAddress,
)
from .http.addresses import SlowLookup, without_credentials
from .http.bodies import trace_id_of
from .http.connections import trust_variable

SUCCESS_CODES = (0, 200, 20000)
_MAX_MESSAGE = 600
_MAX_CODE = 10**9
_MAX_HTML = 4000
"""Characters of a page that are searched for text: the search takes their square."""
_DATA_URL = re.compile(r"data:[\w.+-]+/[\w.+-]+;base64,\s*[A-Za-z0-9+/=_-]*")
_BASE64 = re.compile(r"[A-Za-z0-9+/=_-]{200,}")
_TAGS = re.compile(r"<(script|style)\b.*?</\1>|<[^<>]*>", re.DOTALL | re.IGNORECASE)
_CONNECTION_OBJECT = re.compile(r"<[^<>]*>:?\s*|\w+\(host='[^']*', port=\d+\):\s*")
_COMFYUI_DIALOGS = re.compile(
    r"Please (?:login first to use this node|add credits to your account)"
)
"""Sentences at which ComfyUI's page opens its own sign-in or top-up, for another service."""
ERROR_FIELDS = frozenset({"code", "message", "msg", "error", "detail", "status", "success"})
_EMPTY: tuple[Any, ...] = (None, "", {})

_BY_CODE: dict[tuple[int | None, int | None], type[RequestError]] = {
    (None, 30001): InsufficientBalance,
    (400, 20012): ModelNotFound,
    (403, 30003): ModelDisabled,
}
"""By status and code; `None` stands for every status."""
_BY_MESSAGE: tuple[tuple[int, re.Pattern[str], type[RequestError]], ...] = (
    (403, re.compile(r"balance|余额", re.IGNORECASE), InsufficientBalance),
    (429, re.compile(r"\b[RTI]PD\b|\bper day\b", re.IGNORECASE), DailyLimit),
)
_BY_STATUS: dict[int, type[RequestError]] = {
    400: BadRequest,
    401: InvalidKey,
    402: InsufficientBalance,
    403: Forbidden,
    404: WrongAddress,
    408: GatewayTimeout,
    410: RetiredCall,
    413: UploadTooLarge,
    429: RateLimited,
    499: GatewayTimeout,
    503: Overloaded,
    504: GatewayTimeout,
}


def error_from_response(
    status: int, headers: Mapping[str, str], body: str, model: str = ""
) -> RequestError:
    """Return the exception of a response that is not a success."""
    code, message = parse_error_body(body)
    retry_after = _seconds(headers.get("Retry-After", ""))
    failure = Failure(message, status, code, model, trace_id_of(headers), retry_after)
    return _error_class(status, code, message)(failure)


def parse_error_body(body: str) -> tuple[int | None, str]:
    """Return the code, if there is one, and the message of an error body of any shape."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None, clean(html.unescape(_TAGS.sub(" ", body[:_MAX_HTML])))
    if isinstance(value, dict):
        return _code(value.get("code")), clean(_message(value))
    return None, clean(value if isinstance(value, str) else "")


def error_in_success(data: object) -> tuple[int | None, str] | None:
    """Return the code and message of a 200 that has an error in place of a result, else `None`."""
    if not isinstance(data, dict):
        return None
    code, message = _code(data.get("code")), clean(_message(data))
    results = [data[name] for name in set(data) - ERROR_FIELDS]
    is_success = code in SUCCESS_CODES or any(result not in _EMPTY for result in results)
    return None if is_success or not message else (code, message)


def class_in_success(code: int | None) -> type[RequestError]:
    """Return the exception class of a 200 that has an error of this code in place of a result."""
    return _BY_CODE.get((None, code), BadAnswer)


def reason_of(error: Exception) -> str:
    """Return the message of a connection error without the objects and hosts around it."""
    inner = error.args[0] if error.args else error
    reason = getattr(inner, "reason", None) or inner
    words = without_credentials(_CONNECTION_OBJECT.sub("", _words(reason)))
    return clean(words) or type(error).__name__


def _words(reason: object) -> str:
    """Return the words of an exception and of those that urllib3 keeps within it."""
    parts = reason.args if isinstance(reason, HTTPError) else ()
    words = [_words(part).rstrip(".") for part in parts if isinstance(part, str | Exception)]
    return ": ".join(words) or (str(reason) if str(reason).isprintable() else repr(reason))


def not_connected(
    error: BaseException, failure: Failure, host: str, proxy: str, *, began: bool
) -> NotConnected:
    """Return the exception of a request that was not sent, or not in full, whatever was raised.

    `proxy` is the one that the request would have gone through; `began`: a part of the body left.
    """
    links = _links(error)
    certificate = next((e for e in links if isinstance(e, ssl.SSLCertVerificationError)), None)
    if began:
        return UploadInterrupted(failure)
    if certificate:
        reason: str | Text = certificate.verify_message
        if variable := trust_variable():
            reason = text("error.bundle_in_use", reason=reason, variable=variable)
        # Behind the proxy's own TLS, urllib3 tells which of the two has failed.
        host = proxy if any(isinstance(link, ProxyError) for link in links) else host
        says = text("error.certificate", host=host, reason=reason)
        return CertificateFailed(replace(failure, message=says))
    lookup = next((link for link in links if isinstance(link, socket.gaierror)), None)
    if isinstance(lookup, SlowLookup):
        failure = replace(failure, message=text("error.slow_lookup", seconds=f"{lookup.seconds:g}"))
    if not isinstance(error, OSError | HTTPError | ValueError | zlib.error):
        return NotSent(replace(failure, message=f"{type(error).__name__}: {failure.message}"))
    is_setting = isinstance(error, ValueError)
    if proxy and not any(isinstance(link, ssl.SSLError) for link in links):
        says = text("error.through_proxy", proxy=proxy, reason=failure.message)
        return (BadProxy if is_setting else ProxyFailed)(replace(failure, message=says))
    if lookup:
        says = text("error.host", host=host, reason=failure.message)
        return HostNotFound(replace(failure, message=says))
    return (NotSent if is_setting else NotConnected)(failure)


def _links(error: BaseException) -> list[BaseException]:
    """Return an exception and those behind it, also those that urllib3 keeps as its reasons."""
    links = [error]
    for link in links:
        behind = (link.__cause__, link.__context__, getattr(link, "reason", None), *link.args)
        links += [each for each in behind if isinstance(each, BaseException) and each not in links]
    return links


def clean(message: str) -> str:
    """Return a message of the service on one line, bounded and without image data."""
    line = " ".join(without_images(message[:100_000]).split())
    return line if len(line) <= _MAX_MESSAGE else line[:_MAX_MESSAGE] + "…"


def without_images(text: str) -> str:
    """Remove image data from a text, and sentences that would open ComfyUI's own dialogs."""
    return _COMFYUI_DIALOGS.sub("…", _BASE64.sub("…", _DATA_URL.sub("data:…", text)))


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
    return value if abs(value) < _MAX_CODE else None


def _error_class(status: int, code: int | None, message: str) -> type[RequestError]:
    for pair in ((None, code), (status, code)):
        if pair in _BY_CODE:
            return _BY_CODE[pair]
    for of_status, pattern, error_class in _BY_MESSAGE:
        if status == of_status and pattern.search(message):
            return error_class
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status >= 500:
        return ServerError
    if status < 300:
        return BadAnswer
    return WrongAddress if status < 400 else BadRequest


def _seconds(retry_after: str) -> float | None:
    """Return the seconds of a `Retry-After`, which is a number or a date; `None` if neither."""
    try:
        seconds = float(retry_after)
    except ValueError:
        seconds = _seconds_until(retry_after)
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _seconds_until(date: str) -> float:
    try:
        return parsedate_to_datetime(date).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError):
        return math.nan
