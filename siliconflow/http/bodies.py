"""Bodies of requests and responses: sent in pieces, read within bounds, and the values in them.

Decompression is done here because urllib3 would unpack a whole chunk, however large it becomes,
before anyone can stop it. Of the values in a JSON response what is missing or odd becomes `None`,
or empty: no endpoint promises any of them.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import requests
from urllib3.filepost import encode_multipart_formdata

from ...strings.text import Text, text

_BLOCK_BYTES = 64 * 1024
"""Bytes handed over at a time: the timeout for sending starts again with each block."""
CHUNK_BYTES = 256 * 1024
_SMALL_CHUNK_BYTES = 4 * 1024
_WINDOW_BITS = {"gzip": 31, "deflate": 15}
TRACE_HEADER = "x-siliconcloud-trace-id"
_MAX_TRACE_ID = 100
_NOT_OF_TRACE_ID = re.compile(r"[^\w.:/+=-]")
MAX_NUMBER = 2**53
"""Larger numbers are no seeds and no seconds, and neither JSON nor the ledger holds them."""
_MAX_FLOAT32 = 1e30


class RequestBody:
    """A body that knows how much of it was sent: before all of it, nothing can be charged."""

    def __init__(self, parts: Sequence[bytes], media_type: str = "application/json") -> None:
        """Store the parts, which are sent one after the other."""
        self._parts = parts
        self.media_type = media_type
        self.sent = 0
        """Bytes that were handed to the connection."""

    @property
    def is_complete(self) -> bool:
        """Whether the last byte was handed over: a JSON object or form without it is none."""
        return self.sent == len(self)

    def __len__(self) -> int:
        """Return the number of bytes, for the Content-Length."""
        return sum(map(len, self._parts))

    def __iter__(self) -> Iterator[bytes]:
        """Yield the body in blocks; a small one is a single block."""
        block = bytearray()
        for part in self._parts:
            for start in range(0, len(part), _BLOCK_BYTES):
                block += part[start : start + _BLOCK_BYTES]
                if len(block) >= _BLOCK_BYTES:
                    self.sent += len(block)
                    yield bytes(block)
                    block.clear()
        if block:
            self.sent += len(block)
            yield bytes(block)


def json_parts(body: Mapping[str, Any], images: Mapping[str, bytes]) -> list[bytes]:
    """Return a JSON object in parts. `images` are more fields: data URLs, which stay as they are.

    Raises `ValueError` for a number that JSON has no way to write.
    """
    parts = [json.dumps(body, allow_nan=False).encode()[:-1]]
    for name, url in images.items():
        comma = b", " if len(parts) > 1 or body else b""
        parts += [comma + json.dumps(name).encode() + b': "', url, b'"']
    return [*parts, b"}"]


@dataclass(frozen=True)
class File:
    """A file in a form. Its content is never shown in a repr."""

    name: str
    media_type: str
    content: bytes = field(repr=False)
    digest: str = ""
    """What names what is in it however that is encoded; '': its bytes do."""

    @cached_property
    def content_digest(self) -> str:
        """The SHA-256 of the content, which stands for the file in a fingerprint."""
        return f"sha256:{hashlib.sha256(self.content).hexdigest()}"


def encode_form(fields: Mapping[str, str | File]) -> tuple[bytes, str]:
    """Return the body of a form, and its media type with the boundary."""
    return encode_multipart_formdata(
        {
            name: (value.name, value.content, value.media_type)
            if isinstance(value, File)
            else value
            for name, value in fields.items()
        }
    )


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
    decompress = _decompressor(response)
    for chunk in iter_raw(response):
        body += decompress(chunk, max_bytes - len(body) + 1)
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
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
            raise _too_large(max_bytes)
        yield part


def iter_raw(response: requests.Response) -> Iterator[bytes]:
    """Yield the bytes of a body as they arrive, without waiting for a chunk to be full."""
    read_some = getattr(response.raw, "read1", None)
    if read_some is None:  # urllib3 1.26
        yield from response.raw.stream(_SMALL_CHUNK_BYTES, decode_content=False)
        return
    while chunk := read_some(CHUNK_BYTES, decode_content=False):
        yield chunk


def _too_large(max_bytes: int) -> BadBody:
    return BadBody(text("response.too_large", mib=max_bytes >> 20))


def _decompressor(response: requests.Response) -> Callable[[bytes, int], bytes]:
    """Return the function that unpacks a chunk to at most so many bytes."""
    encoding = response.headers.get("Content-Encoding", "").lower()
    if encoding in {"", "identity"}:
        return lambda chunk, _max_bytes: chunk
    if encoding not in _WINDOW_BITS:
        raise BadBody(text("response.unknown_compression"))
    return zlib.decompressobj(_WINDOW_BITS[encoding]).decompress


def trace_id_of(headers: Mapping[str, str]) -> str:
    """Return the trace ID of a response, without what cannot be part of one."""
    return _NOT_OF_TRACE_ID.sub("", headers.get(TRACE_HEADER, ""))[:_MAX_TRACE_ID]


def read_object(value: object) -> Mapping[str, Any]:
    """Return a JSON object, an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def read_list(value: object) -> list[Any]:
    """Return a JSON list, an empty one for anything else."""
    return value if isinstance(value, list) else []


def read_integer(value: object) -> int | None:
    """Return a whole number from 0 to `MAX_NUMBER`, else `None`."""
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value < MAX_NUMBER else None


def read_number(value: object) -> float | None:
    """Return a number from 0 to `MAX_NUMBER`, else `None`."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < MAX_NUMBER else None


def read_text(value: object) -> str:
    """Return a text, empty for anything else. A lone surrogate becomes a question mark."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def fits_float32(value: object) -> bool:
    """Return whether this is a number that a float32 tensor holds."""
    return isinstance(value, int | float) and abs(value) < _MAX_FLOAT32
