"""Downloads a result: resumed where it broke, bounded, and only from where a result may come from.

No key is sent, whatever the URL. An address on this machine or in a private network is refused,
through redirects too, unless the API itself is there: a response must not make ComfyUI reach into
its own network.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import BinaryIO
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from ...strings.text import Text, text
from ..error_parsing import not_connected, reason_of
from ..errors import DownloadFailed, Failure, NotConnected, ResultRefused
from .addresses import VARIABLE, PrivateAddress, is_public, literal_address, proxy_of
from .bodies import iter_raw
from .connections import Deadline

MAX_REDIRECTS = 5
WAITS = (0.5, 1.0, 2.0)
"""Seconds to wait after each failed attempt before the next one."""
_MAX_LENGTH_DIGITS = 15
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d*/(\d+|\*)")
_LOOPBACK = re.compile(r"localhost|::1|(::ffff:)?127(\.\d+){3}")
logger = logging.getLogger("siliconflow")


class IncompleteDownload(Exception):
    """An attempt that ended early; what has arrived is kept for the next one."""

    def __init__(self, reason: Text) -> None:
        """`reason` is shown to the user after the last attempt."""
        super().__init__(str(reason))
        self.reason = reason


class NotWritten(Exception):
    """The file that is written into takes no more: no fault of the connection."""

    def __init__(self, reason: OSError) -> None:
        """Keep why."""
        super().__init__(str(reason))
        self.reason = reason


_CONNECTION_ERRORS = (
    IncompleteDownload,
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    OSError,
    ValueError,
)


@dataclass
class _Partial:
    """The part of a file that has arrived, and the tag by which the rest is known to match it."""

    file: BinaryIO
    size: int = 0
    tag: str = ""
    total: int | None = None

    def restart(self) -> None:
        self.file.seek(0)
        self.file.truncate()
        self.size = 0


@dataclass(frozen=True)
class Downloader:
    """Downloads through one session. `private` allows loopback and private addresses."""

    session: requests.Session
    timeout: tuple[float, float]
    private: bool
    max_bytes: int

    def download(self, url: str, into: BinaryIO, failure: Failure) -> None:
        """Write the whole file into an empty, seekable one. `facts` names model and trace ID.

        Raises `DownloadFailed` after the last attempt, or at once for an HTTP status that stays;
        `ResultRefused` for what no further attempt would mend; `NotWritten`.
        """
        partial = _Partial(into)
        for wait in (*WAITS, None):
            started, outcome = time.monotonic(), "refused"
            try:
                self._transfer(url, partial, failure)
            except PrivateAddress:
                raise refused(failure, "response.private_name", variable=VARIABLE) from None
            except NotConnected as error:  # a proxy or a certificate setting that cannot be used
                raise DownloadFailed(replace(failure, message=error.failure.message)) from None
            except _CONNECTION_ERRORS as error:
                outcome = type(error).__name__
                if wait is None:
                    reason = self._reason(error, url)
                    raise DownloadFailed(replace(failure, message=reason)) from None
                time.sleep(wait)
            else:
                outcome = "complete"
                return
            finally:
                logger.debug(
                    "download for %s: %s, %d bytes, %.2f s, trace ID %s",
                    failure.model or "-",
                    outcome,
                    partial.size,
                    time.monotonic() - started,
                    failure.trace_id or "-",
                )

    def _reason(self, error: Exception, url: str) -> Text | str:
        """Return what went wrong in the last attempt, with the host or the proxy that it was at."""
        if isinstance(error, IncompleteDownload):
            return error.reason
        host, proxy = urlsplit(url).hostname or "", proxy_of(url) if self.session.trust_env else ""
        reason = reason_of(error)
        cause = not_connected(error, Failure(reason), host, proxy, began=False)
        if type(cause) is NotConnected:
            return text("response.host", host=host, reason=reason)
        return cause.failure.message

    def _transfer(self, url: str, partial: _Partial, failure: Failure) -> None:
        """Continue a download where it broke."""
        deadline = Deadline(sum(self.timeout))
        with deadline, self._open(url, partial, failure) as response:
            self._check_response(response, partial, failure)
            self._write(response, partial, failure)
        if deadline.is_over:
            raise IncompleteDownload(text("response.too_slow"))
        if partial.total is not None and partial.size != partial.total:
            raise IncompleteDownload(
                text("response.incomplete", size=partial.size, total=partial.total)
            )

    def _open(self, url: str, partial: _Partial, failure: Failure) -> requests.Response:
        """Return the response, after redirects whose every address was checked."""
        for _ in range(MAX_REDIRECTS + 1):
            check_url(url, failure, private=self.private)
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
            try:
                url = urljoin(url, response.headers["Location"])
            except ValueError:
                raise refused(failure, "response.bad_redirect") from None
        raise refused(failure, "response.too_many_redirects")

    def _check_response(
        self, response: requests.Response, partial: _Partial, failure: Failure
    ) -> None:
        """Decide whether a response continues where the last one broke, or starts the file."""
        status = response.status_code
        if status == 416:
            partial.restart()
        if status in {408, 416, 429} or status >= 500:
            raise IncompleteDownload(Text(f"HTTP {status}"))
        if status not in {200, 206}:
            raise DownloadFailed(replace(failure, message=Text(f"HTTP {status}")))
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise refused(failure, "response.compressed")
        if status == 200:
            _start(response, partial)
        elif not _continues(response, partial):
            partial.restart()
            raise IncompleteDownload(text("response.other_part"))
        if partial.total is not None and partial.total > self.max_bytes:
            raise self._too_large(failure)

    def _write(self, response: requests.Response, partial: _Partial, failure: Failure) -> None:
        for chunk in iter_raw(response):
            try:
                partial.file.write(chunk)
            except OSError as error:
                raise NotWritten(error) from None
            partial.size += len(chunk)
            if partial.size > self.max_bytes:
                raise self._too_large(failure)

    def _too_large(self, failure: Failure) -> ResultRefused:
        message = text("response.too_large", mib=self.max_bytes >> 20)
        advice = text("error.ResultRefused.too_large", setting="most_picture_mib")
        return ResultRefused(replace(failure, message=message), advice)


def check_url(url: str, failure: Failure, *, private: bool) -> None:
    """Raise `ResultRefused` unless `url` is https, and on a public address if it names one.

    With `private`, http on this machine and private addresses are accepted too. Where a name leads
    is checked by the connection.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        raise refused(failure, "response.bad_url") from None
    if not url.isprintable():  # a line break is dropped by `urlsplit`: it would be another address
        raise refused(failure, "response.bad_url")
    is_local = private and parts.scheme == "http" and _LOOPBACK.fullmatch(host.lower())
    if parts.scheme != "https" and not is_local:
        raise refused(failure, "response.not_https")
    address = "" if private else literal_address(host)
    if not host or parts.username or (address and not is_public(address)):
        raise refused(failure, "response.not_public")


def refused(failure: Failure, key: str, **values: object) -> ResultRefused:
    """Return the error of a result that will not be accepted, with the reason of this key."""
    return ResultRefused(replace(failure, message=text(key, **values)))


def _headers(partial: _Partial) -> Mapping[str, str]:
    """Ask for plain bytes, and for the rest alone if it is surely of the same file."""
    headers = {"Accept-Encoding": "identity"}
    if partial.size and partial.tag:
        headers |= {"Range": f"bytes={partial.size}-", "If-Range": partial.tag}
    return headers


def _start(response: requests.Response, partial: _Partial) -> None:
    length = response.headers.get("Content-Length", "")
    tag = response.headers.get("ETag", "")
    is_number = length.isdecimal() and len(length) <= _MAX_LENGTH_DIGITS
    partial.restart()
    partial.total = int(length) if is_number else None
    partial.tag = "" if tag.startswith("W/") else tag or response.headers.get("Last-Modified", "")


def _continues(response: requests.Response, partial: _Partial) -> bool:
    """Return whether a 206 is the rest of the file of which a part is here."""
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    return bool(
        match
        and int(match.group(1)) == partial.size
        and match.group(2) in {"*", str(partial.total)}
    )
