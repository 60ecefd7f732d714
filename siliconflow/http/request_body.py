"""Request bodies in pieces: nothing copies the megabytes of an image, nor waits for all of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_BLOCK_BYTES = 256 * 1024
"""Bytes handed over at a time: the timeout for sending starts again with each block."""


class RequestBody:
    """A body that knows whether any of it was sent: before that, nothing can be charged."""

    def __init__(self, parts: Sequence[bytes], media_type: str = "application/json") -> None:
        """Store the parts, which are sent one after the other."""
        self._parts = parts
        self.media_type = media_type
        self.is_sent = False

    def __len__(self) -> int:
        """Return the number of bytes, for the Content-Length."""
        return sum(map(len, self._parts))

    def __iter__(self) -> Iterator[bytes]:
        """Yield the body in blocks."""
        for part in self._parts:
            for start in range(0, len(part), _BLOCK_BYTES):
                self.is_sent = True
                yield part[start : start + _BLOCK_BYTES]


def json_parts(body: Mapping[str, Any], images: Mapping[str, bytes]) -> list[bytes]:
    """Return a JSON object in parts. `images` are more fields: data URLs, which stay as they are.

    Raises `ValueError` for a number that JSON has no way to write.
    """
    parts = [json.dumps(body, allow_nan=False).encode()[:-1]]
    for name, url in images.items():
        comma = b", " if len(parts) > 1 or body else b""
        parts += [comma + json.dumps(name).encode() + b': "', url, b'"']
    return [*parts, b"}"]
