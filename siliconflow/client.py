"""One HTTP call: authentication, timeouts, trace id, and errors that say what may have been paid.

Nothing is sent twice from here, except a download, which costs nothing.
"""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3

from .addresses import is_public
from .bodies import OutOfBounds, beginning, read
from .connections import Adapter, Deadline
from .download import Downloader
from .errors import (
    BadAnswer,
    ConnectionLost,
    Failure,
    NotConnected,
    ReadTimeout,
    RequestError,
)
from .responses import TRACE_HEADER, clean, from_response, reason_of, trace_of
from .texts import Text

VERSION = "0.1.0"
MOST_ANSWER_BYTES = 64 * 1024 * 1024
MOST_REFUSAL_BYTES = 64 * 1024
"""Of a refusal no more is read: its words stand at the beginning."""
MOST_ANSWER_PARTS = 100_000
"""Objects, lists and values of an answer: more would cost more memory than any answer is worth."""
_BLOCK = 256 * 1024
"""Bytes handed over at a time: the timeout for sending holds for each of them anew."""
_CONNECTION_ERRORS = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    zlib.error,
    OSError,
    ValueError,
)
_TIMEOUTS = (requests.ReadTimeout, urllib3.exceptions.ReadTimeoutError)


@dataclass(frozen=True)
class Answer:
    """A 200 of the API: its JSON, its trace id, and how long it took in seconds."""

    data: Any
    trace_id: str
    seconds: float


class _Bearer(requests.auth.AuthBase):
    """The key, as an `auth` object: it beats a .netrc entry and is dropped on other hosts."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._key}"
        return request


class _Anonymous(requests.auth.AuthBase):
    """No authentication at all, not even from a .netrc."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


class Client:
    """Calls one host for one account. Safe to use from many threads at once."""

    def __init__(
        self,
        key: str,
        base_url: str,
        *,
        connect_timeout: float = 10,
        read_timeout: float = 300,
        most_bytes: int = 64 << 20,
    ) -> None:
        """Prepare pooled connections; nothing is sent yet.

        Timeouts in seconds. `most_bytes` is the largest picture that is downloaded.
        """
        self.base_url = base_url.rstrip("/")
        self._key = key
        self.most_bytes = most_bytes
        self._timeout = (connect_timeout, read_timeout)
        local = self.base_url.startswith("http://")
        self._api = _session(_Bearer(key), Adapter(lambda: False), local=local)
        self._plain = _session(_Anonymous(), Adapter(lambda: not self._is_private), local=local)

    def __repr__(self) -> str:
        """Show the address, never the key."""
        return f"Client({self.base_url!r})"

    def post(
        self, path: str, body: Mapping[str, Any], pictures: Mapping[str, bytes] | None = None
    ) -> Answer:
        """Send `body` as JSON, once. Raises a `RequestError` of the cause.

        `pictures` are more fields of it: data URLs, which need no escaping in JSON.
        """
        sent = _Body(json_parts(body, pictures or {}))
        return self._call("POST", path, str(body.get("model", "")), sent)

    def get(self, path: str, params: Mapping[str, str] | None = None) -> Answer:
        """Ask for `path`. Raises a `RequestError` of the cause."""
        return self._call("GET", path, "", None, params=params)

    def download(self, url: str, model: str = "", trace_id: str = "") -> bytes:
        """Fetch a result, without the key; raises `DownloadFailed`. See `download`."""
        return self._downloader.fetch(url, Failure(model=model, trace_id=trace_id))

    @cached_property
    def _is_private(self) -> bool:
        """Whether the API itself is on this machine or in a private network."""
        return not is_public(urlsplit(self.base_url).hostname or "")

    @property
    def _downloader(self) -> Downloader:
        return Downloader(self._plain, self._timeout, self._is_private, self.most_bytes)

    def _call(
        self, method: str, path: str, model: str, body: _Body | None, **options: Any
    ) -> Answer:
        deadline = Deadline(sum(self._timeout))
        try:
            with deadline:
                return self._send(method, path, model, body, **options)
        except RequestError as error:
            # A connection that was cut within the headers looks like an empty answer.
            kind = ReadTimeout if deadline.is_over else type(error)
            raise kind(self._hidden(error.failure)) from None
        except _CONNECTION_ERRORS as error:
            failure = self._hidden(Failure(reason_of(error), model=model))
            if not (body and body.left):
                raise NotConnected(failure) from None
            late = deadline.is_over or isinstance(error, _TIMEOUTS)
            raise (ReadTimeout if late else ConnectionLost)(failure) from None

    def _send(
        self, method: str, path: str, model: str, body: _Body | None, **options: Any
    ) -> Answer:
        started = time.monotonic()
        with self._api.request(
            method,
            f"{self.base_url}/{path}",
            data=body,
            headers={"Content-Type": "application/json"} if body else {},
            timeout=self._timeout,
            stream=True,
            allow_redirects=False,
            **options,
        ) as response:
            return self._answer(response, model, started)

    def _answer(self, response: requests.Response, model: str, started: float) -> Answer:
        known = Failure("", response.status_code, None, model, trace_of(response.headers))
        refused = response.status_code != 200
        how_much, most = (beginning, MOST_REFUSAL_BYTES) if refused else (read, MOST_ANSWER_BYTES)
        try:
            text = how_much(response, most, self._timeout[1]).decode("utf-8", "replace")
        except OutOfBounds as error:
            raise _unreadable(known, Text(error.en, error.zh)) from None
        if refused:
            raise from_response(response.status_code, response.headers, text, model)
        data = _json(text, known)
        if self._key in (json.dumps(data, ensure_ascii=False) if "\\u" in text else text):
            raise BadAnswer(_told(known, Text("it holds the API key", "其中含有 API 密钥")))
        return Answer(data, self._hidden(known).trace_id, time.monotonic() - started)

    def _hidden(self, failure: Failure) -> Failure:
        """Take the key out of what the service said, for it goes into messages and the ledger."""
        trace_id = failure.trace_id.replace(self._key, "…") if self._key else failure.trace_id
        message = failure.message
        if isinstance(message, str) and self._key:
            message = clean(message.replace(self._key, "…"))
        return replace(failure, message=message, trace_id=trace_id)


class _Body:
    """A body that knows whether any of it has left: before that, nothing can be paid."""

    def __init__(self, parts: Sequence[bytes]) -> None:
        self._parts = parts
        self.left = False

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def __iter__(self) -> Iterator[bytes]:
        for part in self._parts:
            for start in range(0, len(part), _BLOCK):
                self.left = True
                yield part[start : start + _BLOCK]


def json_parts(body: Mapping[str, Any], pictures: Mapping[str, bytes]) -> list[bytes]:
    """Give a JSON object in pieces, with every data URL as it is: nothing copies or reads it."""
    parts = [json.dumps(body, allow_nan=False).encode()[:-1]]
    for name, url in pictures.items():
        comma = b", " if len(parts) > 1 or body else b""
        parts += [comma + json.dumps(name).encode() + b': "', url, b'"']
    return [*parts, b"}"]


class _Session(requests.Session):
    """A session that never looks at redirects: requests would read their whole body for that."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Give none: the download looks at them itself, and a call has none."""
        del resp
        return None


def _session(auth: requests.auth.AuthBase, adapter: Adapter, *, local: bool) -> requests.Session:
    session = _Session()
    session.auth = auth
    session.headers["User-Agent"] = f"comfyui-siliconflow/{VERSION}"
    session.headers["Accept-Encoding"] = "identity"
    # A proxy of the environment cannot reach this machine's loopback.
    session.trust_env = not local
    # Cookies would be shared state between threads, and the API needs none.
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    for scheme in ("http://", "https://"):
        session.mount(scheme, adapter)
    return session


def _json(text: str, known: Failure) -> Any:
    if sum(map(text.count, "{[,")) > MOST_ANSWER_PARTS:
        raise BadAnswer(_told(known, Text("it has too many parts", "内容过多")))
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        start = clean(text[:200]) or Text("it is empty", "内容为空")
        raise BadAnswer(_told(known, start)) from None


def _unreadable(known: Failure, message: Text) -> RequestError:
    """Give the error of a body that could not be read; its status alone says what is known."""
    if known.status == 200:
        return BadAnswer(_told(known, message))
    headers = {TRACE_HEADER: known.trace_id}
    return from_response(known.status or 0, headers, str(message), known.model)


def _told(known: Failure, message: str | Text) -> Failure:
    return replace(known, message=message)
