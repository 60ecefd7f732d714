"""Fetches a result: resumed where it broke, bounded, and only from where a result may come from.

No key is sent, whatever the URL. An address on this machine or in a private network is refused,
through redirects too, unless the API itself is there: an answer must not make ComfyUI reach into
its own network.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from ...strings.text import Text
from ..error_parsing import reason_of
from ..errors import DownloadFailed, Failure, ResultRefused
from .addresses import is_loopback, is_public
from .bodies import chunks
from .connections import Deadline, PrivateAddress

MOST_REDIRECTS = 5
WAITS = (0.5, 1.0, 2.0)
"""Seconds to wait after each failed try before the next one."""
_LONGEST_LENGTH = 16
_RANGE = re.compile(r"bytes (\d+)-\d*/(\d+|\*)")


@dataclass
class Partial:
    """What has arrived of a file, and by which tag its rest is known to be of the same file."""

    content: bytearray
    tag: str = ""
    total: int | None = None


class Broken(Exception):
    """A try that ended early; what has arrived is kept."""


_CONNECTION_ERRORS = (
    Broken,
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    OSError,
    ValueError,
)


@dataclass(frozen=True)
class Downloader:
    """Downloads through one session. `private` allows loopback and private addresses."""

    session: requests.Session
    timeout: tuple[float, float]
    private: bool
    most_bytes: int

    def fetch(self, url: str, known: Failure) -> bytes:
        """Give the whole file; raises `DownloadFailed` after the last try,
        or `ResultRefused` for what no further try would mend."""
        partial = Partial(bytearray())
        for wait in (*WAITS, None):
            try:
                self._continue(url, partial, known)
                return bytes(partial.content)
            except PrivateAddress:
                raise _not_public(known) from None
            except _CONNECTION_ERRORS as error:
                if wait is None:
                    raise DownloadFailed(replace(known, message=reason_of(error))) from None
                time.sleep(wait)
        raise AssertionError  # the last try returns or raises

    def _continue(self, url: str, partial: Partial, known: Failure) -> None:
        deadline = Deadline(sum(self.timeout))
        with deadline, self._open(url, partial, known) as response:
            self._prepare(response, partial, known)
            self._read(response, partial, known)
        if deadline.is_over:
            raise Broken("it comes too slowly")
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
        raise refused(known, "it is redirected again and again", "链接一再跳转")

    def _prepare(self, response: requests.Response, partial: Partial, known: Failure) -> None:
        """Decide whether this answer goes on where the last one broke, or begins anew."""
        status = response.status_code
        if status == 416:
            partial.content.clear()
        if status in {408, 416, 429} or status >= 500:
            raise Broken(f"HTTP {status}")
        if status not in {200, 206}:
            raise refused(known, f"HTTP {status}", f"HTTP {status}")
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise refused(known, "it is packed, which was not asked for", "内容被压缩")
        if status == 200 or not _goes_on(response, partial):
            _begin(response, partial)
        if partial.total is not None and partial.total > self.most_bytes:
            raise _too_large(known, self.most_bytes)

    def _read(self, response: requests.Response, partial: Partial, known: Failure) -> None:
        for chunk in chunks(response):
            partial.content += chunk
            if len(partial.content) > self.most_bytes:
                raise _too_large(known, self.most_bytes)


def check_address(url: str, known: Failure, *, private: bool) -> None:
    """Raise `ResultRefused` unless `url` is https on a public address.

    With `private`, http on this machine and private addresses are good too.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        raise refused(known, "its URL is none", "链接无效") from None
    if parts.scheme != "https" and not (private and parts.scheme == "http" and is_loopback(host)):
        raise refused(known, "its URL is not https", "链接不是 https")
    if not host or parts.username or not (private or is_public(host)):
        raise _not_public(known)


def _joined(url: str, location: str, known: Failure) -> str:
    try:
        return urljoin(url, location)
    except ValueError:
        raise refused(known, "its redirect leads nowhere", "跳转地址无效") from None


def refused(known: Failure, en: str, zh: str) -> ResultRefused:
    """Build the error of a result that is not taken, now or later."""
    return ResultRefused(replace(known, message=Text(en, zh)))


def _not_public(known: Failure) -> ResultRefused:
    return refused(known, "its URL is not on a public address", "链接不在公网地址上")


def _too_large(known: Failure, most_bytes: int) -> ResultRefused:
    most = most_bytes >> 20
    return refused(known, f"it is larger than {most} MiB", f"超过 {most} MiB")


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
    partial.total = int(length) if length.isdecimal() and len(length) < _LONGEST_LENGTH else None
    partial.tag = "" if tag.startswith("W/") else tag or response.headers.get("Last-Modified", "")
