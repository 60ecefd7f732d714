"""Reads the body of an answer within bounds of size and time, compressed or not."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator

import requests

CHUNK = 256 * 1024
_SMALL_CHUNK = 4 * 1024
_WINDOW_BITS = {"gzip": 31, "deflate": 15}


class OutOfBounds(Exception):
    """The body is too large, too slow, or compressed in a way that was not asked for."""

    def __init__(self, en: str, zh: str) -> None:
        """Say which, in English and Chinese."""
        super().__init__(en)
        self.en = en
        self.zh = zh


def read(response: requests.Response, most: int, seconds: float) -> bytes:
    """Give the body; raises `OutOfBounds` beyond `most` bytes, compressed or not, or `seconds`.

    Decompression is done here because urllib3 would unpack a whole chunk, however large it
    becomes, before anyone can stop it.
    """
    content = bytearray()
    ends = time.monotonic() + seconds
    unpack = _unpacker(response.headers.get("Content-Encoding", ""))
    for chunk in chunks(response):
        content += unpack(chunk, most - len(content) + 1)
        if len(content) > most:
            raise OutOfBounds(f"it is larger than {most >> 20} MiB", f"超过 {most >> 20} MiB")
        if time.monotonic() > ends:
            raise OutOfBounds("it comes too slowly", "传输过慢")
    return bytes(content)


def beginning(response: requests.Response, most: int, seconds: float) -> bytes:
    """Give the first bytes of a body of which no more is wanted; the rest is not read."""
    content = bytearray()
    ends = time.monotonic() + seconds
    unpack = _unpacker(response.headers.get("Content-Encoding", ""))
    for chunk in chunks(response):
        content += unpack(chunk, most)
        if len(content) >= most or time.monotonic() > ends:
            break
    return bytes(content[:most])


def running(response: requests.Response, most: int) -> Iterator[bytes]:
    """Give the parts of a body while it comes; raises `OutOfBounds` beyond `most` bytes.

    Its time is bounded by whoever reads: each wait by the timeout, the whole by the deadline.
    """
    size = 0
    unpack = _unpacker(response.headers.get("Content-Encoding", ""))
    for chunk in chunks(response):
        part = unpack(chunk, most - size + 1)
        size += len(part)
        if size > most:
            raise OutOfBounds(f"it is larger than {most >> 20} MiB", f"超过 {most >> 20} MiB")
        yield part


def chunks(response: requests.Response) -> Iterator[bytes]:
    """Give the bytes of a body as they come: never waiting for a whole chunk to be full."""
    read_some = getattr(response.raw, "read1", None)
    if read_some is None:  # urllib3 1.26
        yield from response.raw.stream(_SMALL_CHUNK, decode_content=False)
        return
    while chunk := read_some(CHUNK, decode_content=False):
        yield chunk


def _unpacker(encoding: str) -> Callable[[bytes, int], bytes]:
    if encoding in {"", "identity"}:
        return lambda chunk, _most: chunk
    bits = _WINDOW_BITS.get(encoding.lower())
    if bits is None:
        raise OutOfBounds("it is packed in a way that was not asked for", "采用了未知的压缩方式")
    return zlib.decompressobj(bits).decompress
