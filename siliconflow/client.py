"""One HTTP call: authentication, timeouts, trace id, and errors that say what may have been paid.

Nothing is sent twice from here, except a download, which costs nothing.
"""

from __future__ import annotations

import json
import re
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.exceptions import MaxRetryError

from .addresses import is_public
from .bodies import OutOfBounds, read
from .download import Downloader
from .errors import (
    TRACE_HEADER,
    BadAnswer,
    ConnectionLost,
    Failure,
    NotConnected,
    ReadTimeout,
    RequestError,
    clean,
    from_response,
)

VERSION = "0.1.0"
MOST_ANSWER_BYTES = 64 * 1024 * 1024
MOST_ANSWER_PARTS = 100_000
"""Objects, lists and values of an answer: more would cost more memory than any answer is worth."""
_CONNECTIONS = 64
_OBJECT = re.compile(r"<[^<>]*>:?\s*|\w+\(host='[^']*', port=\d+\):\s*")


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
        self._api = _session(_Bearer(key), local=local)
        self._plain = _session(_Anonymous(), local=local)

    def __repr__(self) -> str:
        """Show the address, never the key."""
        return f"Client({self.base_url!r})"

    def post(self, path: str, body: Mapping[str, Any]) -> Answer:
        """Send `body` as JSON, once. Raises a `RequestError` of the cause."""
        return self._call("POST", path, str(body.get("model", "")), json=body)

    def get(self, path: str, params: Mapping[str, str] | None = None) -> Answer:
        """Ask for `path`. Raises a `RequestError` of the cause."""
        return self._call("GET", path, "", params=params)

    def download(self, url: str, model: str = "", trace_id: str = "") -> bytes:
        """Fetch a result, without the key; raises `DownloadFailed`. See `download`."""
        return self._downloader.fetch(url, Failure(model=model, trace_id=trace_id))

    @cached_property
    def _downloader(self) -> Downloader:
        private = not is_public(urlsplit(self.base_url).hostname or "")
        return Downloader(self._plain, self._timeout, private, self.most_bytes)

    def _call(self, method: str, path: str, model: str, **content: Any) -> Answer:
        started = time.monotonic()
        try:
            with self._api.request(
                method,
                f"{self.base_url}/{path}",
                timeout=self._timeout,
                stream=True,
                allow_redirects=False,
                **content,
            ) as response:
                return self._answer(response, model, started)
        except (requests.RequestException, urllib3.exceptions.HTTPError, zlib.error) as error:
            raise _from_connection(error, model) from None

    def _answer(self, response: requests.Response, model: str, started: float) -> Answer:
        trace_id = response.headers.get(TRACE_HEADER, "")
        known = Failure(status=response.status_code, model=model, trace_id=trace_id)
        try:
            text = read(response, MOST_ANSWER_BYTES, self._timeout[1]).decode("utf-8", "replace")
        except OutOfBounds as error:
            raise _unreadable(known, str(error)) from None
        if response.status_code != 200:
            hidden = text.replace(self._key, "…") if self._key else text
            raise from_response(response.status_code, response.headers, hidden, model)
        return Answer(_json(text, known), trace_id, time.monotonic() - started)


def _session(auth: requests.auth.AuthBase, *, local: bool) -> requests.Session:
    session = requests.Session()
    session.auth = auth
    session.headers["User-Agent"] = f"comfyui-siliconflow/{VERSION}"
    session.headers["Accept-Encoding"] = "identity"
    # A proxy of the environment cannot reach this machine's loopback.
    session.trust_env = not local
    # Cookies would be shared state between threads, and the API needs none.
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=_CONNECTIONS))
    return session


def _json(text: str, known: Failure) -> Any:
    if sum(map(text.count, "{[,")) > MOST_ANSWER_PARTS:
        raise BadAnswer(_told(known, "it has too many parts"))
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        start = clean(text[:200]) or "it is empty"
        raise BadAnswer(_told(known, start)) from None


def _unreadable(known: Failure, message: str) -> RequestError:
    """Give the error of a body that could not be read; its status alone says what is known."""
    if known.status == 200:
        return BadAnswer(_told(known, message))
    return from_response(known.status or 0, {TRACE_HEADER: known.trace_id}, message, known.model)


def _told(known: Failure, message: str) -> Failure:
    return replace(known, message=message)


def _from_connection(error: Exception, model: str) -> RequestError:
    failure = Failure(_reason(error), model=model)
    if isinstance(error, requests.ReadTimeout | urllib3.exceptions.ReadTimeoutError):
        return ReadTimeout(failure)
    return NotConnected(failure) if _never_connected(error) else ConnectionLost(failure)


def _never_connected(error: Exception) -> bool:
    """Tell whether not one byte of the request can have reached the service.

    urllib3 wraps what happens before a connection stands in `MaxRetryError`; what happens after
    it reaches us bare.
    """
    unusable = (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema)
    wrapped = bool(error.args) and isinstance(error.args[0], MaxRetryError)
    return wrapped or isinstance(error, unusable)


def _reason(error: Exception) -> str:
    inner = error.args[0] if error.args else error
    reason = inner.reason if isinstance(inner, MaxRetryError) else inner
    return clean(_OBJECT.sub("", str(reason))) or type(error).__name__
