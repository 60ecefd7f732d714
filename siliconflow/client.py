"""One HTTP call: authentication, timeouts, trace id, and errors that say what may have been paid.

Nothing is sent twice from here, except a download, which costs nothing.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import MaxRetryError

from .errors import (
    TRACE_HEADER,
    BadAnswer,
    ConnectionLost,
    DownloadFailed,
    Failure,
    NotConnected,
    ReadTimeout,
    RequestError,
    clean,
    from_response,
)

VERSION = "0.1.0"
MOST_ANSWER_BYTES = 256 * 1024 * 1024
MOST_PICTURE_BYTES = 64 * 1024 * 1024
_CHUNK = 256 * 1024
_CONNECTIONS = 64
_DOWNLOAD_WAITS = (0.5, 1.0)
"""Seconds to wait after a download that failed, before the last try."""
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
        self, key: str, base_url: str, *, connect_timeout: float = 10, read_timeout: float = 300
    ) -> None:
        """Prepare pooled connections; nothing is sent yet. Timeouts in seconds."""
        self.base_url = base_url.rstrip("/")
        self._key = key
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
        """Fetch a result, without the key, in up to three tries; raises `DownloadFailed`.

        At most 64 MiB are read. The URL must be https, unless the API itself is on loopback.
        """
        known = Failure(model=model, trace_id=trace_id)
        if urlsplit(url).scheme not in {"https", urlsplit(self.base_url).scheme}:
            raise DownloadFailed(_told(known, "the URL is not https"))
        for wait in _DOWNLOAD_WAITS:
            try:
                return self._fetch(url, known)
            except requests.RequestException:
                time.sleep(wait)
        try:
            return self._fetch(url, known)
        except requests.RequestException as error:
            raise DownloadFailed(_told(known, _reason(error))) from None

    def _fetch(self, url: str, known: Failure) -> bytes:
        with self._plain.get(url, timeout=self._timeout, stream=True) as response:
            if response.status_code >= 500:
                response.raise_for_status()
            if response.status_code != 200:
                raise DownloadFailed(_told(known, f"HTTP {response.status_code}"))
            return _read(response, MOST_PICTURE_BYTES, known)

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
        except requests.RequestException as error:
            raise _from_connection(error, model) from None

    def _answer(self, response: requests.Response, model: str, started: float) -> Answer:
        trace_id = response.headers.get(TRACE_HEADER, "")
        known = Failure(status=response.status_code, model=model, trace_id=trace_id)
        content = _read(response, MOST_ANSWER_BYTES, known)
        text = content.decode("utf-8", errors="replace")
        if response.status_code != 200:
            hidden = text.replace(self._key, "…") if self._key else text
            raise from_response(response.status_code, response.headers, hidden, model)
        return Answer(_json(text, known), trace_id, time.monotonic() - started)


def _session(auth: requests.auth.AuthBase, *, local: bool) -> requests.Session:
    session = requests.Session()
    session.auth = auth
    session.headers["User-Agent"] = f"comfyui-siliconflow/{VERSION}"
    # A proxy of the environment cannot reach this machine's loopback.
    session.trust_env = not local
    # Cookies would be shared state between threads, and the API needs none.
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=_CONNECTIONS))
    return session


def _read(response: requests.Response, most: int, known: Failure) -> bytes:
    content = bytearray()
    for chunk in response.iter_content(_CHUNK):
        content += chunk
        if len(content) > most:
            raise BadAnswer(_told(known, f"it is larger than {most >> 20} MiB"))
    return bytes(content)


def _json(text: str, known: Failure) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        start = clean(text[:200]) or "it is empty"
        raise BadAnswer(_told(known, start)) from None


def _told(known: Failure, message: str) -> Failure:
    return Failure(message, known.status, known.code, known.model, known.trace_id)


def _from_connection(error: requests.RequestException, model: str) -> RequestError:
    failure = Failure(_reason(error), model=model)
    if isinstance(error, requests.ReadTimeout):
        return ReadTimeout(failure)
    return NotConnected(failure) if _never_connected(error) else ConnectionLost(failure)


def _never_connected(error: requests.RequestException) -> bool:
    """Tell whether not one byte of the request can have reached the service.

    urllib3 wraps what happens before a connection stands in `MaxRetryError`; what happens after
    it reaches us bare.
    """
    before = (requests.ConnectTimeout, requests.exceptions.ProxyError, requests.exceptions.SSLError)
    wrapped = bool(error.args) and isinstance(error.args[0], MaxRetryError)
    local = (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema)
    return isinstance(error, local) or (
        wrapped and isinstance(error, (*before, requests.ConnectionError))
    )


def _reason(error: requests.RequestException) -> str:
    inner = error.args[0] if error.args else error
    reason = inner.reason if isinstance(inner, MaxRetryError) else inner
    return clean(_OBJECT.sub("", str(reason))) or type(error).__name__
