"""How an answer goes out: whole or as a stream, on time, and broken on the way when asked for."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from aiohttp import web

from .answers import OVERLOADED, TRACE_HEADER

Broken = Literal["cut", "short", "stall", "malformed", "error", "undone", "noise"]
BROKEN: tuple[str, ...] = get_args(Broken)
DONE = b"data: [DONE]\n\n"
WATCH = 0.05
WAV_HEAD = 44
ODD_PIECE = 7


@dataclass(frozen=True)
class Reply:
    """A good answer: its pieces, and how they travel."""

    pieces: tuple[bytes, ...]
    content_type: str = "application/json"
    chunked: bool = False
    events: bool = False
    pace: float = 0.0
    """Seconds that the pieces are spread over."""


@dataclass(frozen=True)
class Delivery:
    """What is put on the wire, and how it ends: well, by closing the connection, or never."""

    pieces: tuple[bytes, ...]
    length: int | None
    ending: Literal["end", "close", "never"] = "end"


def reply_json(content: Any) -> Reply:
    """Answer with a JSON value."""
    return Reply((json.dumps(content, ensure_ascii=False).encode(),))


def reply_events(events: Sequence[Mapping[str, Any]]) -> Reply:
    """Answer with server-sent events, `[DONE]` at their end."""
    shown = [json.dumps(event, ensure_ascii=False) for event in events]
    pieces = (*(f"data: {text}\n\n".encode() for text in shown), DONE)
    return Reply(pieces, "text/event-stream", chunked=True, events=True)


def whole(reply: Reply) -> Delivery:
    """Deliver an answer as it should be."""
    return Delivery(reply.pieces, None if reply.chunked else sum(map(len, reply.pieces)))


def spoil(reply: Reply, broken: Broken, after: int) -> Delivery:
    """Deliver an answer broken in one of the ways of `Broken`, after some events of a stream."""
    if not reply.events:
        return _BODIES[broken](reply)
    return Delivery(*_STREAMS[broken](reply.pieces, min(after, len(reply.pieces) - 1)))


# Streams of events

_Spoilt = tuple[tuple[bytes, ...], None, Literal["end", "close", "never"]]


def _cut(pieces: tuple[bytes, ...], after: int) -> _Spoilt:
    piece = pieces[after]
    return (*pieces[:after], piece[: len(piece) // 2]), None, "close"


def _malform(pieces: tuple[bytes, ...], after: int) -> _Spoilt:
    broken = pieces[after].rstrip()[:-2] + b"\n\n"
    return (*pieces[:after], broken, *pieces[after + 1 :]), None, "end"


def _fail(pieces: tuple[bytes, ...], after: int) -> _Spoilt:
    return (*pieces[:after], f"data: {json.dumps(OVERLOADED)}\n\n".encode()), None, "end"


def _disguise(pieces: tuple[bytes, ...], after: int) -> _Spoilt:
    """Send what a reader of events must bear: comments, other line ends, characters cut in two."""
    comment = (b": keep-alive\n\n", b"event: message\r\nid: 1\r\nretry: 10\r\n\r\n")
    noisy = b"".join((*comment, *pieces[:after], *comment, *pieces[after:]))
    noisy = noisy.replace(b"data: ", b"data:").replace(b"\n\n", b"\r\n\r\n")
    return tuple(noisy[at : at + ODD_PIECE] for at in range(0, len(noisy), ODD_PIECE)), None, "end"


_STREAMS: dict[str, Callable[[tuple[bytes, ...], int], _Spoilt]] = {
    "cut": _cut,
    "short": lambda pieces, after: (pieces[:after], None, "end"),
    "stall": lambda pieces, after: (pieces[:after], None, "never"),
    "malformed": _malform,
    "error": _fail,
    "undone": lambda pieces, _: (pieces[:-1], None, "end"),
    "noise": _disguise,
}


# Bodies


def _half(reply: Reply) -> bytes:
    body = b"".join(reply.pieces)
    return body[: len(body) // 2]


def _lost(reply: Reply) -> Delivery:
    return replace(whole(reply), pieces=(_half(reply),), ending="close")


def _shortened(reply: Reply) -> Delivery:
    half = _half(reply)
    return Delivery((half,), None if reply.chunked else len(half))


def _error_as_good(_: Reply) -> Delivery:
    body = json.dumps(OVERLOADED).encode()
    return Delivery((body,), len(body))


def _unsized(reply: Reply) -> Delivery:
    """Write a WAV as one that is made while it is sent: with a foreign chunk, and no length."""
    body = b"".join(reply.pieces)
    if body[:4] != b"RIFF":
        return whole(reply)
    foreign = struct.pack("<4sI4s", b"LIST", 4, b"INFO")
    unknown = struct.pack("<I", 0xFFFFFFFF)
    head = body[:4] + unknown + body[8:36] + foreign + b"data" + unknown
    return Delivery((head + body[WAV_HEAD:],), None)


_BODIES: dict[str, Callable[[Reply], Delivery]] = {
    "cut": _lost,
    "short": _shortened,
    "stall": lambda reply: replace(_lost(reply), ending="never"),
    "malformed": _shortened,
    "error": _error_as_good,
    "undone": whole,
    "noise": _unsized,
}


async def send(
    request: web.Request, reply: Reply, delivery: Delivery, trace_id: str
) -> web.StreamResponse:
    """Put a delivery on the wire; stop as soon as the client is gone."""
    response = web.StreamResponse(
        headers={"Content-Type": reply.content_type, TRACE_HEADER: trace_id}
    )
    if delivery.length is None:
        response.enable_chunked_encoding()
    else:
        response.content_length = delivery.length
    try:
        await response.prepare(request)
        for piece in delivery.pieces:
            await asyncio.sleep(reply.pace / len(delivery.pieces))
            await response.write(piece)
        await _end(request, delivery)
    except ConnectionResetError:
        return response
    return response


async def _end(request: web.Request, delivery: Delivery) -> None:
    if delivery.ending == "never":
        await _until_gone(request)
    if delivery.ending == "close" and request.transport is not None:
        # What was written still goes out; what was announced never comes.
        request.transport.close()


async def _until_gone(request: web.Request) -> None:
    # aiohttp tells a handler of a closed connection only when it writes.
    while not is_gone(request):  # noqa: ASYNC110
        await asyncio.sleep(WATCH)


def is_gone(request: web.Request) -> bool:
    """Tell whether the connection of a request is closed."""
    return request.transport is None or request.transport.is_closing()
