"""Server-sent events, read from bytes that come in any pieces."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

MOST_LINE = 1024 * 1024
_END = re.compile(rb"\r\n|\n|\r(?!\Z)")


class BadEvents(ValueError):
    """What comes is no stream of events."""


def events(chunks: Iterable[bytes], last: str = "") -> Iterator[str]:
    """Give the data of each event; comments and other fields are passed over.

    A line that the end of the stream cuts off is not given. `last` is what an event says with
    which everything is said: it is given as soon as its line is there, and nothing after it.
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
        *lines, rest = _END.split(rest + chunk)
        for line in lines:
            yield line.decode("utf-8", "replace")
        if len(rest) > MOST_LINE:
            raise BadEvents("a line without an end")
    if rest.endswith(b"\r"):
        yield rest[:-1].decode("utf-8", "replace")
