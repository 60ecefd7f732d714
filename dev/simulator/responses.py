"""How a response is written: as it should be, as an error, or broken on the way.

The bodies of errors are in `data/bodies.json`, in every shape that the documents and clients show:
an object, a bare JSON string, text, HTML.
"""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from aiohttp import web

Kind = Literal["json", "text", "html", "empty"]
Ending = Literal["end", "close", "never"]
Delivery = tuple[tuple[bytes, ...], int | None, Ending]
"""What is put on the wire, its length if that is told, and how the response ends."""
Broken = Literal["cut", "short", "stall", "malformed", "error", "undone", "noise"]
WordPlace = Literal["generations", "pictures", "models", "info", "chat", "embeddings", "rerank"]
VideoPlace = Literal["video_submit", "video_status"]
SoundPlace = Literal["speech", "transcriptions", "voice_upload", "voice_list", "voice_deletion"]
Place = Literal[WordPlace, SoundPlace, VideoPlace]
PLACES: tuple[str, ...] = get_args(Place)
BROKEN: tuple[str, ...] = get_args(Broken)
TRACE_HEADER = "x-siliconcloud-trace-id"
JSON = "application/json"
BODIES: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parent / "data" / "bodies.json").read_text(encoding="utf-8")
)
LIMIT_CODES = {"T": 50602, "R": 50603, "I": 50604}
OVERLOADED = json.dumps(BODIES["overloaded-503"]["body"]).encode()
DONE = b"data: [DONE]\n\n"
AFTER, WATCH, ODD_PIECE = 2, 0.05, 7


@dataclass(frozen=True)
class Response:
    """One HTTP response that is sent whole."""

    status: int
    body: bytes = b""
    content_type: str = "text/plain"
    headers: dict[str, str] = field(default_factory=dict)


class Refused(Exception):
    """A request that the service refuses, with its response."""

    def __init__(self, response: Response) -> None:
        """Keep the response to send."""
        super().__init__(f"{response.status} {response.body[:200]!r}")
        self.response = response


def json_response(status: int, content: Any) -> Response:
    """Return a response with a JSON value: an object, or the bare string that some errors are."""
    return Response(status, json.dumps(content, ensure_ascii=False).encode(), JSON)


def named_response(name: str) -> Response:
    """Return an error of `bodies.json`."""
    entry = BODIES[name]
    return fault_response(entry["status"], entry["body"], entry.get("kind"), None, coded=False)


def bad_parameter(message: str, status: int = 400, code: int = 20015) -> Response:
    """Return the refusal of a field that the model does not take or cannot read."""
    return json_response(status, {"code": code, "message": message, "data": None})


def rate_limited(limit: str, *, coded: bool) -> Response:
    """Return a 429 that names the limit; before codes were usual, only IPM and IPD had one."""
    words = "Request was rejected due to rate limiting. Details:"
    message = f"{words}{' ' if coded else ''}{limit} limit reached."
    if coded or limit.startswith("I"):
        code = LIMIT_CODES.get(limit[:1], 50604)
        return json_response(429, {"code": code, "message": message, "data": None})
    return json_response(429, {"message": message, "data": ""})


def documented(status: int) -> Response:
    """Return what the documents show for a status; an empty body where they show nothing."""
    if status == 429:
        return rate_limited("TPM", coded=False)
    shown = {each["status"]: name for name, each in BODIES.items() if "documented" in each}
    return named_response(shown[status]) if status in shown else Response(status)


@dataclass(frozen=True)
class Reply:
    """A good response with status 200: its pieces, and how they travel."""

    pieces: tuple[bytes, ...]
    content_type: str = JSON
    chunked: bool = False
    events: bool = False
    pace: float = 0.0
    """Seconds that the pieces are spread over."""


def json_reply(content: Any) -> Reply:
    """Return a reply with a JSON value."""
    return Reply((json.dumps(content, ensure_ascii=False).encode(),))


def event_reply(events: Sequence[Mapping[str, Any]]) -> Reply:
    """Return a reply with server-sent events, `[DONE]` at their end."""
    shown = (json.dumps(event, ensure_ascii=False) for event in events)
    pieces = (*(f"data: {text}\n\n".encode() for text in shown), DONE)
    return Reply(pieces, "text/event-stream", chunked=True, events=True)


async def send(
    request: web.Request, reply: Reply, fault: Fault | None, trace_id: str
) -> web.StreamResponse:
    """Send a reply, broken on the way if a fault says so; stop as soon as the client is gone."""
    pieces, length = reply.pieces, None if reply.chunked else sum(map(len, reply.pieces))
    ending: Ending = "end"
    if fault and fault.broken:
        breaks = _broken_stream if reply.events else _broken_body
        pieces, length, ending = breaks(reply, fault)
    headers = {"Content-Type": reply.content_type, TRACE_HEADER: trace_id}
    response = web.StreamResponse(headers=headers)
    if length is None:
        response.enable_chunked_encoding()
    else:
        response.content_length = length
    try:
        await response.prepare(request)
        for piece in pieces:
            await asyncio.sleep(reply.pace / len(pieces))
            await response.write(piece)
    except ConnectionResetError:
        return response
    if ending == "never":
        # aiohttp tells a handler of a closed connection only when it writes.
        while not is_gone(request):  # noqa: ASYNC110
            await asyncio.sleep(WATCH)
    if ending == "close" and request.transport is not None:
        # What was written still goes out; what was announced never comes.
        request.transport.close()
    return response


def is_gone(request: web.Request) -> bool:
    """Return whether the connection of a request is closed."""
    return request.transport is None or request.transport.is_closing()


@dataclass
class Fault:
    """A response that the next `times` requests at one place get instead of their own.

    With `broken` they get their own, broken on the way.
    """

    response: Response
    times: int = 1
    model: str | None = None
    made: bool = False
    on: Place = "generations"
    broken: Broken | None = None
    after: int = AFTER

    def __post_init__(self) -> None:
        """Raise ValueError for a fault that cannot be."""
        if self.times < 1:
            raise ValueError(f"times must be 1 or more, not {self.times}")
        if self.broken not in {None, *BROKEN}:
            raise ValueError(f"broken must be one of {', '.join(BROKEN)}")


def fault_response(
    status: int | None, body: Any, kind: Kind | None, limit: str | None, *, coded: bool
) -> Response:
    """Return the response of a fault: a named body, a rate limit, the documented or a given one."""
    if isinstance(body, str) and kind is None and body in BODIES:
        named = named_response(body)
        return named if status is None else replace(named, status=status)
    status = 503 if status is None else status
    if limit is not None:
        return replace(rate_limited(limit, coded=coded), status=status)
    if isinstance(body, bytes):
        return Response(status, body, "application/octet-stream")
    if body is None and kind is None:
        return documented(status)
    if kind in {None, "json"}:
        return json_response(status, body)
    text = "" if kind == "empty" or body is None else str(body)
    return Response(status, text.encode(), "text/html" if kind == "html" else "text/plain")


def _broken_stream(reply: Reply, fault: Fault) -> Delivery:
    """Break a stream after some of its events."""
    pieces, broken = reply.pieces, fault.broken
    after = min(fault.after, len(pieces) - 1)
    before, piece, rest = pieces[:after], pieces[after], pieces[after + 1 :]
    if broken == "cut":
        return (*before, piece[: len(piece) // 2]), None, "close"
    if broken == "stall":
        return before, None, "never"
    if broken == "malformed":
        before = (*before, piece.rstrip()[:-2] + b"\n\n", *rest)
    elif broken == "error":
        before = (*before, b"data: " + OVERLOADED + b"\n\n")
    elif broken == "undone":
        before = pieces[:-1]
    elif broken == "noise":
        # What a reader of events must bear: comments, other line ends, characters cut in two.
        comment = (b": keep-alive\n\n", b"event: message\r\nid: 1\r\nretry: 10\r\n\r\n")
        noisy = b"".join((*comment, *before, *comment, piece, *rest))
        noisy = noisy.replace(b"data: ", b"data:").replace(b"\n\n", b"\r\n\r\n")
        before = tuple(noisy[at : at + ODD_PIECE] for at in range(0, len(noisy), ODD_PIECE))
    return before, None, "end"


def _broken_body(reply: Reply, fault: Fault) -> Delivery:
    broken, body = fault.broken, b"".join(reply.pieces)
    half, length = body[: len(body) // 2], None if reply.chunked else len(body)
    if broken == "cut":
        return (half,), length, "close"
    if broken == "stall":
        return (half,), length, "never"
    if broken in {"short", "malformed"}:
        return (half,), length and len(half), "end"
    if broken == "error":
        return (OVERLOADED,), len(OVERLOADED), "end"
    if broken == "noise" and body[36:40] == b"LIST":
        # A WAV that is made while it is sent: two chunks before the sound, and no length.
        unknown = struct.pack("<I", 0xFFFFFFFF)
        at = 44 + int.from_bytes(body[40:44], "little")
        foreign = struct.pack("<4sI4s", b"junk", 4, b"junk")
        body = body[:4] + unknown + body[8:at] + foreign + b"data" + unknown + body[at + 8 :]
        return (body,), None, "end"
    return reply.pieces, length, "end"
