"""Fetches a result: resumed where it broke, bounded, and only from where a result may come from.

No key is sent, whatever the URL. An address on this machine or in a private network is refused,
through redirects too, unless the API itself is there: an answer must not make ComfyUI reach into
its own network.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from .addresses import is_loopback, is_public
from .bodies import chunks
from .errors import DownloadFailed, Failure

MOST_REDIRECTS = 5
WAITS = (0.5, 1.0, 2.0)
"""Seconds to wait after each failed try before the next one."""
_RANGE = re.compile(r"bytes (\d+)-\d*/(\d+|\*)")


@dataclass
class Partial:
    """What has arrived of a file, and by which tag its rest is known to be of the same file."""

    content: bytearray
    tag: str = ""
    total: int | None = None


class Broken(Exception):
    """A try that ended early; what has arrived is kept."""


@dataclass(frozen=True)
class Downloader:
    """Downloads through one session. `private` allows loopback and private addresses."""

    session: requests.Session
    timeout: tuple[float, float]
    private: bool
    most_bytes: int

    def fetch(self, url: str, known: Failure) -> bytes:
        """Give the whole file; raises `DownloadFailed` after the last try."""
        partial = Partial(bytearray())
        for wait in (*WAITS, None):
            try:
                self._continue(url, partial, known)
                return bytes(partial.content)
            except (Broken, requests.RequestException, urllib3.exceptions.HTTPError) as error:
                if wait is None:
                    raise failed(known, str(error) or type(error).__name__) from None
                time.sleep(wait)
        raise AssertionError  # the last try returns or raises

    def _continue(self, url: str, partial: Partial, known: Failure) -> None:
        with self._open(url, partial, known) as response:
            self._prepare(response, partial, known)
            self._read(response, partial, known)
        if partial.total is not None and len(partial.content) != partial.total:
            raise Broken(f"{len(partial.content)} of {partial.total} bytes came")

    def _open(self, url: str, partial: Partial, known: Failure) -> requests.Response:
        for _ in range(MOST_REDIRECTS + 1):
            check_address(url, known, private=self.private)
            response = self.session.get(
                url,
                headers=_headers(partial),
                timeout=self.timeout,
                stream=True,
                allow_redirects=False,
            )
            if not response.is_redirect:
                return response
            response.close()
            url = _joined(url, response.headers["Location"], known)
        raise failed(known, f"more than {MOST_REDIRECTS} redirects")

    def _prepare(self, response: requests.Response, partial: Partial, known: Failure) -> None:
        """Decide whether this answer goes on where the last one broke, or begins anew."""
        status = response.status_code
        if status == 416:
            partial.content.clear()
        if status in {408, 416, 429} or status >= 500:
            raise Broken(f"HTTP {status}")
        if status not in {200, 206}:
            raise failed(known, f"HTTP {status}")
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise failed(known, "it is compressed, which was not asked for")
        if status == 200 or not _goes_on(response, partial):
            _begin(response, partial)
        if partial.total is not None and partial.total > self.most_bytes:
            raise failed(known, f"it is larger than {self.most_bytes >> 20} MiB")

    def _read(self, response: requests.Response, partial: Partial, known: Failure) -> None:
        ends = time.monotonic() + self.timeout[1]
        for chunk in chunks(response):
            partial.content += chunk
            if len(partial.content) > self.most_bytes:
                raise failed(known, f"it is larger than {self.most_bytes >> 20} MiB")
            if time.monotonic() > ends:
                raise failed(known, "it comes too slowly")


def check_address(url: str, known: Failure, *, private: bool) -> None:
    """Raise `DownloadFailed` unless `url` is https on a public address.

    With `private`, http on this machine and private addresses are good too.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        raise failed(known, "its URL is none") from None
    if parts.scheme != "https" and not (private and parts.scheme == "http" and is_loopback(host)):
        raise failed(known, "its URL is not https")
    if not host or parts.username or not (private or is_public(host)):
        raise failed(known, "its URL is not on a public address")


def _joined(url: str, location: str, known: Failure) -> str:
    try:
        return urljoin(url, location)
    except ValueError:
        raise failed(known, "its redirect leads nowhere") from None


def failed(known: Failure, message: str) -> DownloadFailed:
    """Build the error of a download of the request that `known` tells about."""
    return DownloadFailed(Failure(message, None, None, known.model, known.trace_id))


def _headers(partial: Partial) -> Mapping[str, str]:
    """Ask for the bytes as they are, and for the rest alone if it is surely of the same file."""
    plain = {"Accept-Encoding": "identity"}
    if not (partial.content and partial.tag):
        return plain
    return {**plain, "Range": f"bytes={len(partial.content)}-", "If-Range": partial.tag}


def _goes_on(response: requests.Response, partial: Partial) -> bool:
    """Tell whether a 206 is the rest of what is here; if it is not, the next try begins anew."""
    found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
    here, total = len(partial.content), str(partial.total)
    if found and int(found.group(1)) == here and found.group(2) in {"*", total}:
        return True
    partial.content.clear()
    raise Broken("the server sent another part than was asked for")


def _begin(response: requests.Response, partial: Partial) -> None:
    length = response.headers.get("Content-Length", "")
    tag = response.headers.get("ETag", "")
    partial.content.clear()
    partial.total = int(length) if length.isdecimal() else None
    partial.tag = "" if tag.startswith("W/") else tag or response.headers.get("Last-Modified", "")
