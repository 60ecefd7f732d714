"""Ways to break an exchange: each function here makes a breaker for the table of faults."""

from __future__ import annotations

import base64
import gzip
import json
import os
import socket
import struct
import threading
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from comfyui_siliconflow.tests.reliability.server import CLOSING, Breaker, Exchange, Reply

PIECE = b"x" * 65536
DRIP_SECONDS = 0.1
TAG = '"one"'

Change = Callable[[Reply], Reply]


# Before anything is known of a request


def close(*, reset: bool) -> Breaker:
    """Accept the connection, and close it at once; reset it when the client has begun to send.

    A reset before that may end the connecting itself, and then nothing was sent.
    """

    def breaker(exchange: Exchange) -> None:
        if reset:
            exchange.connection.recv(1, socket.MSG_PEEK)
        exchange.hang_up(reset=reset)

    return breaker


def say(data: bytes) -> Breaker:
    """Accept the connection, and say something before anything was asked."""

    def breaker(exchange: Exchange) -> None:
        exchange.connection.recv(1)
        exchange.send(data)
        exchange.hang_up()

    return breaker


def silent(exchange: Exchange) -> None:
    """Accept the connection, and say nothing."""
    exchange.hold()


# Before the simulator hears of a request


def close_unread(exchange: Exchange) -> None:
    """Close when the headers were read."""
    exchange.hang_up()


def reset_within_body(exchange: Exchange) -> None:
    """Reset when ten bytes of the body were read."""
    exchange.read(10)
    exchange.hang_up(reset=True)


def close_unpaid(exchange: Exchange) -> None:
    """Close when the request was read; nobody acts on it."""
    exchange.read()
    exchange.hang_up()


def silent_unpaid(exchange: Exchange) -> None:
    """Read the request, and never answer; nobody acts on it."""
    exchange.read()
    exchange.hold()


def instead(status: int, body: bytes | str = b"", *, made: bool = False, **headers: str) -> Breaker:
    """Answer with something else; with `made` the simulator makes and charges all the same."""
    content = body.encode() if isinstance(body, str) else body

    def breaker(exchange: Exchange) -> None:
        exchange.read()
        trace = dict(exchange.answer().headers) if made else {}
        trace_headers = {name: value for name, value in trace.items() if name.startswith("x-")}
        exchange.send(Reply(status, {**CLOSING, **trace_headers}, content).having(**headers).raw)

    return breaker


# When the simulator has made the image, and charged


def cut(place: float, *, reset: bool = False) -> Breaker:
    """Send only a part of the body: a fraction, or with -1 all but the last byte."""

    def breaker(exchange: Exchange) -> None:
        reply = exchange.answer()
        size = len(reply.body)
        exchange.send(reply.head + reply.body[: size - 1 if place < 0 else int(size * place)])
        exchange.hang_up(reset=reset)

    return breaker


def cut_head(fraction: float) -> Breaker:
    """Send only a part of the status line and the headers."""

    def breaker(exchange: Exchange) -> None:
        head = exchange.answer().head
        exchange.send(head[: int(len(head) * fraction)])
        exchange.hang_up()

    return breaker


def stop(fraction: float, *, head: bool = True) -> Breaker:
    """Send a part of the body, or nothing at all, and keep still."""

    def breaker(exchange: Exchange) -> None:
        reply = exchange.answer()
        part = reply.body[: int(len(reply.body) * fraction)]
        exchange.send(reply.head + part if head else b"")
        exchange.hold()

    return breaker


def drip(*, head: bool) -> Breaker:
    """Send the headers, or the body, byte by byte; all the rest as soon as it is mended."""

    def breaker(exchange: Exchange) -> None:
        reply = exchange.answer()
        at = 0 if head else len(reply.head)
        exchange.send(reply.raw[:at])
        while at < len(reply.raw) and not exchange.server.mended.wait(DRIP_SECONDS):
            exchange.send(reply.raw[at : at + 1])
            at += 1
        exchange.send(reply.raw[at:])

    return breaker


def changed(change: Change) -> Breaker:
    """Send the answer, changed."""
    return lambda exchange: exchange.send(change(exchange.answer()).raw)


def raw(write: Callable[[Reply], bytes], *, hold: bool = False) -> Breaker:
    """Send bytes made from the answer, which need not be HTTP."""

    def breaker(exchange: Exchange) -> None:
        exchange.send(write(exchange.answer()))
        if hold:
            exchange.hold()

    return breaker


def paid(breaker: Breaker) -> Breaker:
    """Let the simulator make and charge the image first."""

    def with_charge(exchange: Exchange) -> None:
        exchange.answer()
        breaker(exchange)

    return with_charge


def endless(head: bytes, most: int, piece: bytes = PIECE) -> Breaker:
    """Send headers and up to `most` bytes of pieces, for as long as somebody takes them."""

    def breaker(exchange: Exchange) -> None:
        exchange.read()
        exchange.send(head)
        for _ in range(most // len(piece)):
            exchange.send(piece)

    return breaker


def no_tls(data: bytes) -> Breaker:
    """Send bytes on a TLS connection that are no TLS, or only the start of some."""

    def breaker(exchange: Exchange) -> None:
        exchange.answer()
        plain = exchange.connection.detach()
        os.write(plain, data)
        os.close(plain)

    return breaker


# Changes of an answer


def with_length(length: int | str) -> Change:
    """Name a wrong length; a number is added to the right one."""

    def change(reply: Reply) -> Reply:
        stated = length if isinstance(length, str) else str(len(reply.body) + length)
        return reply.having(Content_Length=stated)

    return change


def with_body(body: bytes | str) -> Change:
    """Put another body in place of the answer's."""
    content = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body
    return lambda reply: replace(reply, body=content)


def with_headers(**headers: str) -> Change:
    """Add headers."""
    return lambda reply: reply.having(**headers)


def with_status(status: int) -> Change:
    """Say another status."""
    return lambda reply: replace(reply, status=status)


def with_json(**values: Any) -> Change:
    """Put other values into the JSON."""

    def change(reply: Reply) -> Reply:
        return with_body(json.dumps({**json.loads(reply.body), **values}))(reply)

    return change


def with_text(old: str, new: str) -> Change:
    """Put one text in place of another, for JSON that `json` would not write."""
    return lambda reply: replace(reply, body=reply.body.replace(old.encode(), new.encode()))


def with_entry(entry: Mapping[str, Any] | Callable[[str], Any]) -> Change:
    """Put another image into the list: a value, or one made from the right URL."""

    def change(reply: Reply) -> Reply:
        url = json.loads(reply.body)["images"][0]["url"]
        return with_json(images=[entry(url) if callable(entry) else entry])(reply)

    return change


def with_url(url: str) -> Change:
    """Put another URL in place of the image's; `{url}` and `{port}` stand for the right ones."""

    def named(right: str) -> dict[str, str]:
        port = right.split("/")[2].rpartition(":")[2]
        return {"url": url.replace("{url}", right).replace("{port}", port)}

    return with_entry(named)


def twice(reply: Reply) -> Reply:
    """Name the same image twice."""
    return with_json(images=json.loads(reply.body)["images"] * 2)(reply)


def gzipped(reply: Reply) -> Reply:
    """Pack the body, which nobody requested."""
    return replace(reply.having(Content_Encoding="gzip"), body=gzip.compress(reply.body))


def gzipped_in_part(reply: Reply) -> Reply:
    """Pack the body, and lose the second half."""
    packed = gzipped(reply)
    return replace(packed, body=packed.body[: len(packed.body) // 2])


def packed_as(name: str, packed: bytes) -> Change:
    """Put another body in its place, and say how it is packed."""
    return lambda reply: replace(reply.having(Content_Encoding=name), body=packed)


def bomb(size: int) -> bytes:
    """Return gzip that becomes `size` zeros."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    piece = bytes(1 << 20)
    packed = [packer.compress(piece) for _ in range(size >> 20)]
    return b"".join([*packed, packer.flush()])


def chunked(reply: Reply, *, end: bytes = b"0\r\n\r\n") -> bytes:
    """Write the answer in two chunks."""
    half = len(reply.body) // 2
    parts = [reply.body[:half], reply.body[half:]]
    head = reply.having(Transfer_Encoding="chunked").head
    return head + b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + end


# Downloads


def with_ranges(place: float, *, tag: str = TAG, other: str = TAG) -> Breaker:
    """Cut a file, and continue it where a Range request asks; `other` is its tag by then."""

    def breaker(exchange: Exchange) -> None:
        body, begins = exchange.answer().body, exchange.wanted_range
        is_same_file = exchange.head.lower().find(f"if-range: {other}".encode()) >= 0
        if begins is None or not is_same_file:
            end = int(len(body) * place) if begins is None else len(body)
            reply = Reply(200, {**CLOSING, "ETag": tag if begins is None else other}, body)
            exchange.send(reply.head + body[:end])
        else:
            span = f"bytes {begins}-{len(body) - 1}/{len(body)}"
            exchange.send(
                Reply(206, {**CLOSING, "Content-Range": span, "ETag": other}, body[begins:]).raw
            )

    return breaker


def wrong_range(span: str) -> Breaker:
    """Cut a file, and continue it with another part than was requested."""

    def breaker(exchange: Exchange) -> None:
        body = exchange.answer().body
        if exchange.wanted_range is None:
            exchange.send(Reply(200, {"ETag": TAG}, body).head + body[: len(body) // 2])
        else:
            stated = span.format(begins=exchange.wanted_range, size=len(body))
            exchange.send(Reply(206, {**CLOSING, "Content-Range": stated}, body[:100]).raw)

    return breaker


def redirect(location: str, *, status: int = 302) -> Breaker:
    """Send to another URL; `{path}` stands for the one that was requested."""

    def breaker(exchange: Exchange) -> None:
        exchange.read()
        place = location.format(path=exchange.path, port=exchange.server.port)
        exchange.send(Reply(status, {**CLOSING, "Location": place}).raw)

    return breaker


def turn_once(status: int) -> Breaker:
    """Send to the same image under another name, which is there."""

    def breaker(exchange: Exchange) -> None:
        if "?" in exchange.path:
            exchange.send(exchange.answer().raw)
        else:
            redirect("{path}?again", status=status)(exchange)

    return breaker


def png(width: int, height: int, data: bytes = b"", extra: bytes = b"") -> bytes:
    """Write a PNG of any size, whether its data fits or not."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [chunk(b"IHDR", header), extra, chunk(b"IDAT", zlib.compress(data)), chunk(b"IEND", b"")]
    )


def chunk(name: bytes, content: bytes) -> bytes:
    """Write one part of a PNG."""
    return struct.pack(">I", len(content)) + name + content + _crc(name + content)


def _crc(content: bytes) -> bytes:
    return struct.pack(">I", zlib.crc32(content))


def flipped(reply: Reply) -> Reply:
    """Change one byte in the middle."""
    middle = len(reply.body) // 2
    other = bytes([reply.body[middle] ^ 0xFF])
    return replace(reply, body=reply.body[:middle] + other + reply.body[middle + 1 :])


def halved(reply: Reply) -> Reply:
    """Lose the second half, and say that this is all."""
    return replace(reply, body=reply.body[: len(reply.body) // 2])


def base64_of(content: bytes) -> str:
    """Write bytes as an answer carries them."""
    return base64.b64encode(content).decode()


# Of the server itself


def refused_for(seconds: float) -> Callable[[Any], None]:
    """Refuse connections, for a while."""

    def begin(server: Any) -> None:
        server.refuse()
        threading.Timer(seconds, server.listen).start()

    return begin


def drop_tls_hello(exchange: Exchange) -> None:
    """Read the TLS hello, and close."""
    exchange.connection.recv(65536)
    exchange.hang_up()
