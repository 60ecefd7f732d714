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
    TRACE_HEADER,
    clean,
    error_from_response,
    error_in_success,
    not_connected,
    reason_of,
    trace_id_of,
)
from .errors import BadAnswer, ConnectionLost, Failure, ReadTimeout, RequestError
from .http.addresses import is_public
from .http.body_reader import BadBody, iter_body, read_body, read_start
from .http.connections import Authenticate, Deadline, open_session
from .http.downloads import Downloader
from .http.multipart import File, encode_form
from .http.request_body import RequestBody, json_parts

VERSION = "0.1.0"
MAX_RESPONSE_BYTES = 64 * 1024 * 1024
MAX_ERROR_BYTES = 64 * 1024
"""Of an error body no more is read: its message stands at the start."""
MAX_JSON_PARTS = 100_000
"""Objects, lists and values of a response: more would cost more memory than any is worth."""
_NUMBERS_PER_PART = 20
STREAM_TIMEOUTS = 4
"""A stream that keeps coming may last so many read timeouts; silence, only one."""
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
_LOG = logging.getLogger("siliconflow")


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

        def read(response: requests.Response, facts: Failure, started: float) -> float:
            _raise_for_status(response, facts, self._timeout[1])
            trace_id = self._without_key(facts).trace_id
            take(StreamResponse(_stream(response, facts), _media_type(response), trace_id))
            return time.monotonic() - started

        request = replace(_json_request(path, body), timeouts=STREAM_TIMEOUTS)
        return self._send(request, read)

    def download(self, url: str, model: str = "", trace_id: str = "") -> bytes:
        """Return a result's file. Raises `DownloadFailed`; see `download_to`."""
        file = io.BytesIO()
        self.download_to(url, file, model, trace_id)
        return file.getvalue()

    def download_to(self, url: str, file: BinaryIO, model: str = "", trace_id: str = "") -> None:
        """Download a result, without the key, into an empty, seekable file.

        Raises `DownloadFailed`, or `ResultRefused` where trying again would not help.
        """
        downloader = Downloader(
            self._anonymous, self._timeout, self._is_private, self.max_file_bytes
        )
        downloader.download(url, file, Failure(model=model, trace_id=trace_id))

    def conceal(self, message: str) -> str:
        """Return a text of the service without the key."""
        return message.replace(self._key, "…") if self._key else message

    @cached_property
    def _is_private(self) -> bool:
        """Whether the API itself is on this machine or in a private network."""
        return not is_public(urlsplit(self.base_url).hostname or "")

    def _send(self, request: _Request, read: Read[T]) -> T:
        """Send a request, once; log it; turn whatever went wrong into a `RequestError`."""
        started, facts = time.monotonic(), Failure(model=request.model)
        outcome = "an exception"
        try:
            result, facts = self._exchange(request, read, started)
            outcome = "200"
        except RequestError as error:
            facts, outcome = error.failure, _outcome(error)
            raise
        else:
            return result
        finally:
            _LOG.debug(
                "%s %s for %s: %s, %.2f s, trace ID %s",
                request.method,
                request.path,
                request.model or "-",
                outcome,
                time.monotonic() - started,
                facts.trace_id or "-",
            )

    def _exchange(self, request: _Request, read: Read[T], started: float) -> tuple[T, Failure]:
        """Send a request and read its response, within its deadline."""
        connect, read_timeout = self._timeout
        if not request.body:
            read_timeout = min(read_timeout, LOOKUP_SECONDS)
        deadline = Deadline(connect + request.timeouts * read_timeout)
        try:
            with deadline, self._open(request, (connect, read_timeout)) as response:
                trace_id = trace_id_of(response.headers)
                facts = Failure("", response.status_code, None, request.model, trace_id)
                return read(response, facts, started), self._without_key(facts)
        except RequestError as error:
            # A connection that was cut within the headers looks like an empty response.
            error_class = ReadTimeout if deadline.is_over else type(error)
            raise error_class(self._without_key(error.failure)) from None
        except _CONNECTION_ERRORS as error:
            facts = self._without_key(Failure(reason_of(error), model=request.model))
            timed_out = deadline.is_over or isinstance(error, _TIMEOUTS)
            is_sent = timed_out if request.body is None else request.body.is_sent
            if not is_sent:
                raise not_connected(error, facts, urlsplit(self.base_url).hostname or "") from None
            raise (ReadTimeout if timed_out else ConnectionLost)(facts) from None

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
        self, response: requests.Response, facts: Failure, started: float
    ) -> JsonResponse:
        content = self._read_whole(response, facts).decode("utf-8", "replace")
        data = _parse_json(content, facts)
        plain = json.dumps(data, ensure_ascii=False) if "\\u" in content else content
        if self._key and self._key in plain:
            raise _bad(facts, text("response.contains_key"))
        if error := error_in_success(data):
            code, message = error
            says = text("response.says", message=message)
            raise BadAnswer(replace(facts, code=code, message=says))
        trace_id, seconds = self.conceal(facts.trace_id), time.monotonic() - started
        return JsonResponse(data, trace_id, seconds, facts.model)

    def _read_file(
        self, response: requests.Response, facts: Failure, started: float
    ) -> FileResponse:
        content = self._read_whole(response, facts)
        if self._key and self._key.encode() in content:
            raise _bad(facts, text("response.contains_key"))
        trace_id, seconds = self.conceal(facts.trace_id), time.monotonic() - started
        return FileResponse(content, _media_type(response), trace_id, seconds, facts.model)

    def _read_whole(self, response: requests.Response, facts: Failure) -> bytes:
        _raise_for_status(response, facts, self._timeout[1])
        try:
            return read_body(response, MAX_RESPONSE_BYTES, self._timeout[1])
        except BadBody as error:
            raise _bad(facts, error.text) from None

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
    return _Request("POST", path, _model_of(body), RequestBody(json_parts(body, images or {})))


def _model_of(body: Mapping[str, Any]) -> str:
    return str(body.get("model", ""))


def _media_type(response: requests.Response) -> str:
    return response.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _raise_for_status(response: requests.Response, facts: Failure, seconds: float) -> None:
    """Raise the error of a response that is not a 200."""
    status = response.status_code
    if status == 200:
        return
    try:
        body = read_start(response, MAX_ERROR_BYTES, seconds).decode("utf-8", "replace")
    except BadBody as error:
        # The status still tells the cause; of the headers only the trace ID is known to be sane.
        trace = {TRACE_HEADER: facts.trace_id}
        raise error_from_response(status, trace, str(error.text), facts.model) from None
    raise error_from_response(status, response.headers, body, facts.model)


def _stream(response: requests.Response, facts: Failure) -> Iterator[bytes]:
    try:
        yield from iter_body(response, MAX_RESPONSE_BYTES)
    except BadBody as error:
        raise _bad(facts, error.text) from None


def _parse_json(content: str, facts: Failure) -> Any:
    parts = sum(map(content.count, "{[")) + content.count(",") // _NUMBERS_PER_PART
    if parts > MAX_JSON_PARTS:
        raise _bad(facts, text("response.too_many_parts"))
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise _bad(facts, clean(content[:200]) or text("response.empty")) from None


def _bad(facts: Failure, message: str | Text) -> BadAnswer:
    return BadAnswer(replace(facts, message=message))


def _outcome(error: RequestError) -> str:
    """Return the name of an error with its HTTP status, for the log."""
    status = error.failure.status
    return f"{type(error).__name__} (HTTP {status})" if status else type(error).__name__
