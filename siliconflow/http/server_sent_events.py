"""Server-sent events, parsed from bytes that arrive in any pieces."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

MAX_LINE_BYTES = 1024 * 1024
_LINE_END = re.compile(rb"\r\n|\n|\r(?!\Z)")


class BadEvents(ValueError):
    """The bytes are not an event stream."""


def iter_events(chunks: Iterable[bytes], last: str = "") -> Iterator[str]:
    """Yield the data of each event; comments and other fields are skipped.

    A line that the end of the stream cuts off is dropped. `last` is the data of the final event:
    it is yielded as soon as its line is complete, and nothing after it is read. Raises `BadEvents`
    for a line of more than `MAX_LINE_BYTES`.
    """
    data: list[str] = []
    for line in _lines(chunks):
        if not line and data:
            yield "\n".join(data)
            data = []
        name, _, value = line.partition(":")
        if name == "data":
            data.append(value.removeprefix(" "))
        if last and data == [last]:
            break
    if data:
        yield "\n".join(data)


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    rest = b""
    for chunk in chunks:
        *lines, rest = _LINE_END.split(rest + chunk)
        for line in lines:
            yield line.decode("utf-8", "replace")
        if len(rest) > MAX_LINE_BYTES:
            raise BadEvents("a line without an end")
    if rest.endswith(b"\r"):
        yield rest[:-1].decode("utf-8", "replace")
