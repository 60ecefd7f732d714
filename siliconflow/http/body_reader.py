"""Reads the body of a response within bounds of size and time, compressed or not.

Decompression is done here because urllib3 would unpack a whole chunk, however large it becomes,
before anyone can stop it.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator

import requests

from ...strings.text import Text, text

CHUNK_BYTES = 256 * 1024
_SMALL_CHUNK_BYTES = 4 * 1024
_WINDOW_BITS = {"gzip": 31, "deflate": 15}


class BadBody(Exception):
    """The body is too large, too slow, or compressed in a way that was not requested."""

    def __init__(self, text: Text) -> None:
        """Store the reason."""
        super().__init__(text)
        self.text = text


def read_body(response: requests.Response, max_bytes: int, seconds: float) -> bytes:
    """Return the whole body. Raises `BadBody` beyond `max_bytes` or `seconds`."""
    ends = time.monotonic() + seconds
    body = bytearray()
    for part in iter_body(response, max_bytes):
        body += part
        if time.monotonic() > ends:
            raise BadBody(text("response.too_slow"))
    return bytes(body)


def read_start(response: requests.Response, max_bytes: int, seconds: float) -> bytes:
    """Return at most `max_bytes` from the start of a body; the rest is not read."""
    ends = time.monotonic() + seconds
    body = bytearray()
    decompress = _decompressor(response)
    for chunk in iter_raw(response):
        body += decompress(chunk, max_bytes)
        if len(body) >= max_bytes or time.monotonic() > ends:
            break
    return bytes(body[:max_bytes])


def iter_body(response: requests.Response, max_bytes: int) -> Iterator[bytes]:
    """Yield the parts of a body as they arrive. Raises `BadBody` beyond `max_bytes`.

    Its time is bounded by the caller: each wait by the read timeout, the whole by a deadline.
    """
    size = 0
    decompress = _decompressor(response)
    for chunk in iter_raw(response):
        part = decompress(chunk, max_bytes - size + 1)
        size += len(part)
        if size > max_bytes:
            raise BadBody(text("response.too_large", mib=max_bytes >> 20))
        yield part


def iter_raw(response: requests.Response) -> Iterator[bytes]:
    """Yield the bytes of a body as they arrive, without waiting for a chunk to be full."""
    read_some = getattr(response.raw, "read1", None)
    if read_some is None:  # urllib3 1.26
        yield from response.raw.stream(_SMALL_CHUNK_BYTES, decode_content=False)
        return
    while chunk := read_some(CHUNK_BYTES, decode_content=False):
        yield chunk


def _decompressor(response: requests.Response) -> Callable[[bytes, int], bytes]:
    """Return the function that unpacks a chunk to at most so many bytes."""
    encoding = response.headers.get("Content-Encoding", "").lower()
    if encoding in {"", "identity"}:
        return lambda chunk, _max_bytes: chunk
    if encoding not in _WINDOW_BITS:
        raise BadBody(text("response.unknown_compression"))
    return zlib.decompressobj(_WINDOW_BITS[encoding]).decompress
