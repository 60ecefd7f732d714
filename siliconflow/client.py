"""The HTTP client: authentication, timeouts, trace IDs, and errors that say what was charged.

A request is sent once, whatever happens; only downloads, which cost nothing, are tried again.
"""

from __future__ import annotations

import io
import json
import logging
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, BinaryIO, TypeVar
from urllib.parse import urlsplit

import requests
import urllib3

from ..strings.text import Text, text
from .error_parsing import (
    ERROR_FIELDS,
    class_in_success,
    clean,
    error_from_response,
    error_in_success,
    not_connected,
    reason_of,
)
from .errors import BadAnswer, ConnectionLost, Failure, NotSent, ReadTimeout, RequestError
from .http.addresses import is_inside, proxy_of
from .http.bodies import (
    TRACE_HEADER,
    BadBody,
    File,
    RequestBody,
    encode_form,
    iter_body,
    json_parts,
    read_body,
    read_start,
    trace_id_of,
)
from .http.connections import Authenticate, Deadline, open_session
from .http.downloads import Downloader

VERSION = "0.1.0"
MAX_RESPONSE_BYTES = 64 * 1024 * 1024
MAX_ERROR_BYTES = 64 * 1024
"""Of an error body no more is read: its message stands at the start."""
MAX_JSON_PARTS = 100_000
"""Objects, lists and values of a response: more would cost more memory than any is worth."""
_NUMBERS_PER_PART = 20
STREAM_TIMEOUTS = 4
"""A stream that keeps coming may last so many read timeouts; silence, only one."""
STALL_SECONDS = 60
"""An upload in which nothing moves for so long is broken; while it moves, it may last for ever."""
LOOKUP_SECONDS = 30
"""Read timeout of a GET, which answers at once or not at all."""
_CONNECTION_ERRORS = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    zlib.error,
    OSError,
    ValueError,
)
_TIMEOUTS = (requests.ReadTimeout, urllib3.exceptions.ReadTimeoutError)
logger = logging.getLogger("siliconflow")


@dataclass(frozen=True)
class JsonResponse:
    """A 200 of the API: its JSON, its trace ID, and how long it took in seconds."""

    data: Any
    trace_id: str
    seconds: float
    model: str = ""


@dataclass(frozen=True)
class FileResponse:
    """A 200 of the API whose body is a file."""

    content: bytes
    media_type: str
    trace_id: str
    seconds: float
    model: str = ""


@dataclass(frozen=True)
class StreamResponse:
    """A 200 of the API whose body is still arriving, in parts."""

    chunks: Iterator[bytes]
    media_type: str
    trace_id: str


@dataclass(frozen=True)
class _Request:
    method: str
    path: str
    model: str = ""
    body: RequestBody | None = None
    params: Mapping[str, str] | None = None
    headers: Mapping[str, str] | None = None
    timeouts: float = 1
    """How many read timeouts the whole exchange may last."""


T = TypeVar("T")
Read = Callable[[requests.Response, Failure, float], T]
"""Reads a response, given what is known of it and the time at which its request began."""


class Client:
    """Calls one host for one account. Safe to use from many threads at once."""

    def __init__(
        self,
        key: str,
        base_url: str,
        *,
        connect_timeout: float = 10,
        read_timeout: float = 300,
        max_file_bytes: int = 64 << 20,
    ) -> None:
        """Prepare pooled connections; nothing is sent.

        Timeouts in seconds. `max_file_bytes` is the size of the largest download.
        """
        self.base_url = base_url.rstrip("/")
        self.max_file_bytes = max_file_bytes
        self._key = key
        self._timeout = (connect_timeout, read_timeout)
        agent, is_local = f"comfyui-siliconflow/{VERSION}", self.base_url.startswith("http://")
        self._is_local = is_local
        self._api = open_session(_bearer(key), agent, public_only=lambda: False, is_local=is_local)
        self._anonymous = open_session(
            lambda request: request,
            agent,
            public_only=lambda: not self._is_private,
            is_local=is_local,
        )

    def __repr__(self) -> str:
        """Return the address, never the key."""
        return f"Client({self.base_url!r})"

    def get(self, path: str, params: Mapping[str, str] | None = None) -> JsonResponse:
        """Send a GET. Raises a `RequestError` of the cause."""
        return self._send(_Request("GET", path, params=params), self._read_json)

    def post(
        self,
        path: str,
        body: Mapping[str, Any],
        images: Mapping[str, bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> JsonResponse:
        """Send `body` as JSON, once. Raises a `RequestError` of the cause.

        `images` are more fields of it: data URLs, which need no escaping in JSON.
        """
        request = replace(_json_request(path, body, images), headers=headers)
        return self._send(request, self._read_json)

    def post_form(self, path: str, fields: Mapping[str, str | File]) -> JsonResponse:
        """Send `fields` as a form with files, once. Raises a `RequestError` of the cause."""
        content, media_type = encode_form(fields)
        body = RequestBody([content], media_type)
        return self._send(_Request("POST", path, _model_of(fields), body), self._read_json)

    def post_for_file(self, path: str, body: Mapping[str, Any]) -> FileResponse:
        """Send `body` as JSON, once, for a file. Raises a `RequestError` of the cause."""
        return self._send(_json_request(path, body), self._read_file)

    def post_for_stream(
        self, path: str, body: Mapping[str, Any], take: Callable[[StreamResponse], None]
    ) -> float:
        """Send `body` as JSON, once, and hand the response to `take` while it arrives.

        Returns the seconds it took. Raises a `RequestError` of the cause, also for what breaks
        while `take` reads.
        """

        def read(response: requests.Response, failure: Failure, started: float) -> float:
            chunks = iter_body(response, MAX_RESPONSE_BYTES)
            take(StreamResponse(chunks, _media_type(response), failure.trace_id))
            return time.monotonic() - started

        request = replace(_json_request(path, body), timeouts=STREAM_TIMEOUTS)
        return self._send(request, read)

    def reach(self, url: str) -> str:
        """Send a GET without the key; return the `Date` of the response, whatever its status. Free.

        Raises the `NotConnected` of the cause.
        """
        connect, read = self._timeout[0], min(self._timeout[1], LOOKUP_SECONDS)
        options: dict[str, Any] = {"timeout": (connect, read), "stream": True}
        try:
            with Deadline(connect + read):
                response = self._anonymous.get(url, allow_redirects=False, **options)
                response.close()
                return str(response.headers.get("Date", ""))
        except _CONNECTION_ERRORS as error:
            host, failure = urlsplit(url).hostname or "", Failure(reason_of(error))
            proxy = "" if self._is_local else proxy_of(url)
            raise not_connected(error, failure, host, proxy, began=False) from None

    def download(self, url: str, model: str = "", trace_id: str = "") -> bytes:
        """Return a result's file. Raises what `download_to` raises."""
        file = io.BytesIO()
        self._downloader.download(url, file, Failure(model=model, trace_id=trace_id))
        return file.getvalue()

    def download_to(self, url: str, file: BinaryIO, model: str = "", trace_id: str = "") -> None:
        """Download a result, without the key, into an empty, seekable file.

        Raises `DownloadFailed`, or `ResultRefused` where trying again would not help; `NotWritten`.
        """
        self._downloader.download(url, file, Failure(model=model, trace_id=trace_id))

    @property
    def _downloader(self) -> Downloader:
        return Downloader(self._anonymous, self._timeout, self._is_private, self.max_file_bytes)

    def conceal(self, message: str) -> str:
        """Return a text of the service without the key."""
        return message.replace(self._key, "…") if self._key else message

    @cached_property
    def _is_private(self) -> bool:
        """Whether the API itself is on this machine or in a private network."""
        host, timeout = urlsplit(self.base_url).hostname or "", self._timeout[0]
        return is_inside(host, timeout, proxied=bool(self.proxy))

    @property
    def proxy(self) -> str:
        """The proxy between this machine and the API, as it may be shown, or ''."""
        return "" if self._is_local else proxy_of(self.base_url)

    def _send(self, request: _Request, read: Read[T]) -> T:
        """Send a request, once, within its deadline; log it; raise a `RequestError` if it fails."""
        started, failure = time.monotonic(), Failure(model=request.model)
        connect, read_timeout = self._timeout
        if not request.body:
            read_timeout = min(read_timeout, LOOKUP_SECONDS)
        deadline = Deadline(
            connect + request.timeouts * read_timeout, stall=min(read_timeout, STALL_SECONDS)
        )
        outcome = "an exception"
        try:
            with deadline, self._open(request, (connect, read_timeout)) as response:
                failure = Failure(
                    "", response.status_code, model=request.model, trace_id=self._trace_id(response)
                )
                if response.status_code != 200:
                    _raise_error(response, failure, read_timeout)
                outcome = "200"
                return read(response, failure, started)
        except Exception as error:
            request_error = self._error_of(error, request, failure, late=deadline.is_over)
            if request_error is None:
                raise
            failure, outcome = request_error.failure, _outcome(request_error)
            raise request_error from (error if isinstance(request_error, NotSent) else None)
        finally:
            logger.debug(
                "%s %s for %s: %s, %.2f s, trace ID %s",
                request.method,
                request.path,
                request.model or "-",
                outcome,
                time.monotonic() - started,
                failure.trace_id or "-",
            )

    def _error_of(
        self, error: Exception, request: _Request, failure: Failure, *, late: bool
    ) -> RequestError | None:
        """Return the error of an exchange that failed, without the key; `None` for our mistakes.

        Decides whether the request was sent: whatever is raised before its body is complete was
        not. Of one without a body nobody knows, but that it was sent if no response came in time.
        """
        if isinstance(error, BadBody):
            error = BadAnswer(replace(failure, message=error.text))
        if isinstance(error, RequestError):
            # A connection that was cut within the headers looks like an empty response.
            error_class = ReadTimeout if late else type(error)
            return error_class(self._without_key(replace(error.failure, model=request.model)))
        body, has_response = request.body, failure.status is not None
        failure = self._without_key(
            Failure(reason_of(error), model=request.model, trace_id=failure.trace_id)
        )
        late = late or isinstance(error, _TIMEOUTS)
        is_expected = isinstance(error, _CONNECTION_ERRORS)
        is_sent = body.is_complete if body else late
        if not is_sent and (is_expected or not has_response):
            host, began = urlsplit(self.base_url).hostname or "", bool(body and body.sent)
            return not_connected(error, failure, host, self.proxy, began=began)
        if not is_expected:
            return None
        return (ReadTimeout if late else ConnectionLost)(failure)

    def _open(self, request: _Request, timeout: tuple[float, float]) -> requests.Response:
        return self._api.request(
            request.method,
            f"{self.base_url}/{request.path}",
            data=request.body,
            headers={
                **(request.headers or {}),
                **({"Content-Type": request.body.media_type} if request.body else {}),
            },
            params=request.params,
            timeout=timeout,
            stream=True,
            allow_redirects=False,
        )

    def _read_json(
        self, response: requests.Response, failure: Failure, started: float
    ) -> JsonResponse:
        body = read_body(response, MAX_RESPONSE_BYTES, self._timeout[1])
        content = body.decode("utf-8", "replace")
        data = _parse_json(content, failure)
        plain = json.dumps(data, ensure_ascii=False) if "\\u" in content else content
        if self._key and self._key in plain:
            raise _bad(failure, text("response.contains_key"))
        if isinstance(data, dict) and ERROR_FIELDS & data.keys():
            _raise_error_in_success(data, failure)
        return JsonResponse(data, failure.trace_id, time.monotonic() - started, failure.model)

    def _read_file(
        self, response: requests.Response, failure: Failure, started: float
    ) -> FileResponse:
        content = read_body(response, MAX_RESPONSE_BYTES, self._timeout[1])
        if self._key and self._key.encode() in content:
            raise _bad(failure, text("response.contains_key"))
        seconds = time.monotonic() - started
        return FileResponse(
            content, _media_type(response), failure.trace_id, seconds, failure.model
        )

    def _trace_id(self, response: requests.Response) -> str:
        return self.conceal(trace_id_of(response.headers))

    def _without_key(self, failure: Failure) -> Failure:
        """Remove the key from what the service sent, which goes into messages and the ledger."""
        message = failure.message
        if isinstance(message, Text):
            message = Text(*map(self.conceal, message))
        elif self._key:
            message = clean(self.conceal(message))
        return replace(failure, message=message, trace_id=self.conceal(failure.trace_id))


def _bearer(key: str) -> Authenticate:
    """Return the key as an `auth` of requests, which takes precedence over a .netrc entry."""

    def authenticate(request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {key}"
        return request

    return authenticate


def _json_request(
    path: str, body: Mapping[str, Any], images: Mapping[str, bytes] | None = None
) -> _Request:
    """Return a request. Raises `NotSent` for a value that JSON has no way to write."""
    try:
        parts = json_parts(body, images or {})
    except (ValueError, TypeError, RecursionError) as error:
        message = f"{type(error).__name__}: {error}"
        raise NotSent(Failure(message, model=_model_of(body))) from error
    return _Request("POST", path, _model_of(body), RequestBody(parts))


def _model_of(body: Mapping[str, Any]) -> str:
    return str(body.get("model", ""))


def _media_type(response: requests.Response) -> str:
    return response.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _raise_error(response: requests.Response, failure: Failure, seconds: float) -> None:
    """Raise the error of a response that is not a 200."""
    status = failure.status or 0
    try:
        body = read_start(response, MAX_ERROR_BYTES, seconds).decode("utf-8", "replace")
    except BadBody as error:
        # The status still tells the cause; of the headers only the trace ID is known to be sane.
        trace = {TRACE_HEADER: failure.trace_id}
        raise error_from_response(status, trace, str(error.text), failure.model) from None
    raise error_from_response(status, response.headers, body, failure.model)


def _raise_error_in_success(data: Mapping[str, Any], failure: Failure) -> None:
    """Raise what the service says in a 200 in place of a result."""
    if error := error_in_success(data):
        code, message = error
        says = text("response.says", message=message)
        raise class_in_success(code)(replace(failure, code=code, message=says))


def _parse_json(content: str, failure: Failure) -> Any:
    parts = sum(map(content.count, "{[")) + content.count(",") // _NUMBERS_PER_PART
    if parts > MAX_JSON_PARTS:
        raise _bad(failure, text("response.too_many_parts"))
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise _bad(failure, clean(content[:200]) or text("response.empty")) from None


def _bad(failure: Failure, message: str | Text) -> BadAnswer:
    return BadAnswer(replace(failure, message=message))


def _outcome(error: RequestError) -> str:
    """Return the name of an error with its HTTP status, for the log."""
    status = error.failure.status
    return f"{type(error).__name__} (HTTP {status})" if status else type(error).__name__


def bad_answer(
    response: JsonResponse | FileResponse, key: str, code: int | None = None, **values: object
) -> RequestError:
    """Return the error of a 200 that lacks its result, with the reason of this key."""
    failure = Failure(text(key, **values), 200, code, response.model, response.trace_id)
    return class_in_success(code)(failure)
