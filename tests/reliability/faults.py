"""The table of faults: what breaks, what the user is to see, and what the next queue does.

Each fault strikes a whole run of a node; before the same inputs are queued again all is mended.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from comfyui_siliconflow.siliconflow import errors
from comfyui_siliconflow.tests.reliability import breakers as b
from comfyui_siliconflow.tests.reliability.server import (
    Breaker,
    FaultServer,
    Reply,
    Transport,
    Where,
)

ALWAYS = 1000
KEY = "sk-canary-7f3a9c2e5b8d1046"
Kind = type[errors.RequestError] | None


@dataclass(frozen=True)
class Again:
    """What queueing the same once more does: its requests, its charges, and what comes of it."""

    story: str
    requests: int = 0
    charged: int = 0
    origin: str = ""
    """The origin that the info names; empty: no image comes."""
    has_warning: bool = False
    """Whether the info says that the first request may have been charged as well."""


FREE = Again("free, from disk", origin="reused")
FETCHED = Again("free, only downloaded", origin="downloaded")
PAID = Again("paid now", 1, 1, "paid")
UNSURE = Again("paid now, with a note about the first", 1, 1, "paid", has_warning=True)
NOTHING = Again("nothing is sent: what was paid has no usable URL")


@dataclass(frozen=True)
class Fault:
    """One way to break. `kind` is the error that the user sees; `None`: the images come."""

    name: str
    where: Where
    breaker: Breaker | None
    kind: Kind
    charged: int
    again: Again
    times: int = ALWAYS
    transport: Transport = "plain"
    settings: Mapping[str, Any] = field(default_factory=dict)
    before: Callable[[FaultServer], None] | None = None
    images: int = 1
    note: str = ""
    """What the notes of a run that succeeds say."""
    inputs: Mapping[str, Any] = field(default_factory=dict)
    """What the node is requested besides."""

    @property
    def delivered(self) -> bool:
        """Whether the images come at once."""
        return self.kind is None


def _all() -> list[Fault]:
    return [
        *_connecting(),
        *_through_socks(),
        *_unpaid(),
        *_statuses(),
        *_answers_lost(),
        *_answers_odd(),
        *_answers_unreadable(),
        *_echoes(),
        *_downloads_mended(),
        *_downloads_failed(),
        *_bad_images(),
        *_bad_addresses(),
    ]


def ok(name: str, breaker: Breaker, where: Where = "send", **more: Any) -> Fault:
    """Name what the user does not even notice."""
    return Fault(name, where, breaker, None, 1, FREE, **more)


def _free(name: str, breaker: Breaker | None, kind: Kind, **more: Any) -> Fault:
    """Name what was surely not paid."""
    return Fault(name, more.pop("where", "send"), breaker, kind, 0, PAID, **more)


def unsure(name: str, breaker: Breaker, kind: Kind, charged: int = 1, **more: Any) -> Fault:
    """Name what may have been paid, as far as the client can know."""
    return Fault(name, more.pop("where", "send"), breaker, kind, charged, UNSURE, **more)


PROXIES: dict[str, Transport] = {"HTTP proxy": "public", "SOCKS proxy": "socks"}


def _through_socks() -> list[Fault]:
    lost = errors.ConnectionLost
    socks: dict[str, Any] = {"transport": "socks"}
    return [
        ok("through SOCKS: 503 once", b.instead(503), times=1, **socks),
        ok("through SOCKS: download cut once", b.cut(0.5), "download", times=1, **socks),
        unsure("through SOCKS: paid, closed within the body", b.cut(0.5), lost, **socks),
        _failed("through SOCKS, cut without end", b.cut(0.5), **socks),
    ]


def _connecting() -> list[Fault]:
    never, lost = errors.NotConnected, errors.ConnectionLost
    at: dict[str, Any] = {"where": "connect"}
    public: dict[str, Any] = {"transport": "public", **at}
    refused = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
    return [
        _free("connections refused", None, never, before=FaultServer.refuse),
        Fault(
            "connections refused, then accepted",
            "send",
            None,
            None,
            1,
            FREE,
            before=b.refused_for(0.05),
        ),
        _free(
            "connections neither accepted nor refused",
            None,
            never,
            before=FaultServer.deafen,
            settings={"connect_timeout": 0.2},
        ),
        _free(
            "a certificate that nobody trusts",
            None,
            errors.CertificateFailed,
            before=FaultServer.distrusted,
            transport="tls",
        ),
        _free("no TLS where TLS should be", b.say(b"220 mail\r\n"), never, transport="tls", **at),
        _free("closed within the TLS handshake", b.drop_tls_hello, never, transport="tls", **at),
        _free("the proxy refuses", b.say(refused), errors.ProxyFailed, **public),
        _free("the proxy hangs up", b.close(reset=False), errors.ProxyFailed, **public),
        *[
            _free(f"the {name} is not there", None, errors.ProxyFailed, before=FaultServer.refuse,
                  transport=transport)
            for name, transport in PROXIES.items()
        ],
        *[
            _free(f"a certificate that nobody trusts, behind the {name}", None,
                  errors.CertificateFailed, before=FaultServer.distrusted, transport=transport)
            for name, transport in PROXIES.items()
        ],
        unsure("closed when accepted", b.close(reset=False), lost, 0, **at),
        unsure("reset when accepted", b.close(reset=True), lost, 0, **at),
        unsure(
            "silent when accepted",
            b.silent,
            errors.ReadTimeout,
            0,
            settings={"read_timeout": 0.3},
            **at,
        ),
    ]  # fmt: skip


def _unpaid() -> list[Fault]:
    lost = errors.ConnectionLost
    return [
        unsure("closed before the body was read", b.close_unread, lost, 0),
        unsure("reset within the body", b.reset_within_body, lost, 0),
        unsure("closed when all was read", b.close_unpaid, lost, 0),
        unsure(
            "silent when all was read",
            b.silent_unpaid,
            errors.ReadTimeout,
            0,
            settings={"read_timeout": 0.3},
        ),
    ]


SHAPES: dict[str, tuple[str, str]] = {
    "object": ("application/json", '{"code": 20099, "message": "It went wrong.", "data": null}'),
    "JSON string": ("application/json", '"It went wrong."'),
    "text": ("text/plain", "It went wrong."),
    "HTML": ("text/html", "<html><body><h1>It went wrong.</h1></body></html>"),
    "empty": ("text/plain", ""),
}
REFUSALS: dict[int, type[errors.RequestError]] = {
    400: errors.BadRequest,
    401: errors.InvalidKey,
    403: errors.Forbidden,
    404: errors.WrongAddress,
    402: errors.InsufficientBalance,
    410: errors.RetiredCall,
    413: errors.UploadTooLarge,
}
DOUBTFUL: dict[int, type[errors.RequestError]] = {
    500: errors.ServerError,
    502: errors.ServerError,
    504: errors.GatewayTimeout,
    520: errors.ServerError,
}
PASSING = (429, 503)
MOVED = b"HTTP/1.1 302 Moved\r\nLocation: /pictures/elsewhere\r\n\r\n"


def _shaped(status: int, shape: str, *, made: bool = False) -> Breaker:
    media_type, body = SHAPES[shape]
    return b.instead(status, body, made=made, Content_Type=media_type)


def _statuses() -> list[Fault]:
    return [*_statuses_by_shape(), *_statuses_paid(), *_limits(), *_redirects()]


def _statuses_by_shape() -> list[Fault]:
    refused = [
        _free(f"{status}, {shape}", _shaped(status, shape), kind)
        for status, kind in REFUSALS.items()
        for shape in SHAPES
    ]
    doubtful = [
        unsure(f"{status}, {shape}", _shaped(status, shape), kind, 0)
        for status, kind in DOUBTFUL.items()
        for shape in SHAPES
    ]
    passing = [
        ok(f"{status} once, {shape}", _shaped(status, shape), times=1)
        for status in PASSING
        for shape in SHAPES
    ]
    return [*refused, *doubtful, *passing]


def _statuses_paid() -> list[Fault]:
    return [
        unsure(f"{status} although the image was made", _shaped(status, "HTML", made=True), kind)
        for status, kind in DOUBTFUL.items()
    ]


def _limits() -> list[Fault]:
    overloaded = '{"code":50505,"message":"Model service overloaded.","data":null}'
    today = '{"code":50604,"message":"Request was rejected. Details:IPD limit reached."}'
    balance = '{"code":30001,"message":"Sorry, your account balance is insufficient"}'
    disabled = '{"code":30003,"message":"Model disabled.","data":null}'
    unknown = '{"code":20012,"message":"Model does not exist.","data":null}'
    wait = {"settings": {"longest_wait": 0.3}}
    bad = errors.BadRequest
    return [
        _free("503 without end", b.instead(503, overloaded), errors.Overloaded),
        _free("429 without end", _shaped(429, "object"), errors.WaitTooLong, **wait),
        _free("429 for the day", b.instead(429, today), errors.DailyLimit),
        _free("403, balance used up", b.instead(403, balance), errors.InsufficientBalance),
        _free("403, model switched off", b.instead(403, disabled), errors.ModelDisabled),
        _free("400, unknown model", b.instead(400, unknown), errors.ModelNotFound),
        ok("429 with Retry-After", b.instead(429, Retry_After="0.05"), times=1),
        ok("503 with Retry-After", b.instead(503, Retry_After="0.05"), times=1),
        ok("503 with Retry-After: a date", b.instead(503, Retry_After="Mon, 1 Jan"), times=1),
        ok("503 with Retry-After: nan", b.instead(503, Retry_After="nan"), times=1),
        ok("503 with Retry-After: -5", b.instead(503, Retry_After="-5"), times=1),
        *[
            _free(f"400, {name}", b.endless(b"HTTP/1.1 400 No\r\n\r\n", 60_000_000, piece), bad)
            for name, piece in {
                "60 MB of <": b"<" * 60_000,
                "60 MB of <script": b"<script" * 10_000,
                "20 million objects": b"[{}," + b"{}," * 20_000,
                "60 MB of base64": b"QUJD" * 15_000,
            }.items()
        ],
        _free("503 with Retry-After: a year", b.instead(503, Retry_After="1e9"), errors.Overloaded),
    ]


def _redirects() -> list[Fault]:
    return [
        _free(f"{status} to another address", b.redirect("/elsewhere", status=status), kind)
        for status, kind in dict.fromkeys((301, 302, 307, 308), errors.WrongAddress).items()
    ] + [_free("302 with a body of 60 MB", b.endless(MOVED, 60_000_000), errors.WrongAddress)]


def _answers_lost() -> list[Fault]:
    lost, timeout, bad = errors.ConnectionLost, errors.ReadTimeout, errors.BadAnswer
    soon: dict[str, Any] = {"settings": {"read_timeout": 0.3}}
    tls: dict[str, Any] = {"transport": "tls"}
    return [
        unsure("paid, closed before the status line", b.cut_head(0), lost),
        unsure("paid, closed within the status line", b.cut_head(0.05), lost),
        unsure("paid, closed within the headers", b.cut_head(0.5), bad),
        unsure("paid, closed behind the headers", b.cut(0), lost),
        unsure("paid, closed within the body", b.cut(0.5), lost),
        unsure("paid, closed before the last byte", b.cut(-1), lost),
        unsure("paid, reset behind the headers", b.cut(0, reset=True), lost),
        unsure("paid, reset within the body", b.cut(0.5, reset=True), lost),
        unsure("paid, TLS closed without a word", b.no_tls(b""), lost, **tls),
        unsure("paid, then no TLS on the TLS connection", b.no_tls(b"HTTP/1.1 2"), lost, **tls),
        unsure("paid, a TLS record cut", b.no_tls(b"\x17\x03\x03\x00\x50abc"), lost, **tls),
        unsure("paid, a forged TLS record", b.no_tls(b"\x17\x03\x03\x00\x20" + b"a" * 32), lost,
                **tls),
        unsure("paid, silent", b.stop(0, head=False), timeout, **soon),
        unsure("paid, silent behind the headers", b.stop(0), timeout, **soon),
        unsure("paid, silent within the body", b.stop(0.5), timeout, **soon),
        unsure("paid, the headers drip", b.drip(head=True), timeout, **soon),
        unsure("paid, the body drips", b.drip(head=False), bad, settings={"read_timeout": 0.7}),
    ]  # fmt: skip


def _answers_odd() -> list[Fault]:
    """Answers whose HTTP is odd, or broken."""
    lost, bad, timeout = errors.ConnectionLost, errors.BadAnswer, errors.ReadTimeout
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    old = b"HTTP/1.0 200 OK\r\n\r\n"
    many = {f"X-{number}": "x" for number in range(200)}
    hold: dict[str, Any] = {"settings": {"read_timeout": 0.3}}
    return [
        ok("a closing HTTP/1.0 without a length", b.raw(lambda r: old + r.body)),
        ok("chunks", b.raw(b.chunked)),
        ok("100 Continue before the answer", b.raw(lambda r: b"HTTP/1.1 100 Go\r\n\r\n" + r.raw)),
        ok("gzip that nobody requested", b.changed(b.gzipped)),
        ok("a second answer behind the first", b.raw(lambda r: r.raw + Reply(500).raw)),
        unsure("103 Early Hints before the answer", b.raw(lambda r: early + r.raw), bad),
        unsure("chunks without an end", b.raw(lambda r: b.chunked(r, end=b"")), lost),
        unsure("chunks of no size", b.raw(lambda r: b.chunked(r, end=b"zz\r\n")), lost),
        unsure("gzip in part", b.changed(b.gzipped_in_part), bad),
        unsure("gzip that is none", b.changed(b.with_headers(Content_Encoding="gzip")), lost),
        unsure("an unknown packing", b.changed(b.with_headers(Content_Encoding="br")), bad),
        unsure("a length too short", b.changed(b.with_length(-20)), bad),
        unsure("a length too long", b.changed(b.with_length(20)), lost),
        unsure("a length too long, kept open", b.raw(lambda r: b.with_length(9)(r).raw, hold=True),
                timeout, **hold),
        ok("a length that is no number", b.changed(b.with_length("many"))),
        ok("a length below zero", b.changed(b.with_length("-5"))),
        unsure("a status line that is none", b.raw(lambda _: b"SSH-2.0-OpenSSH\r\n\r\n"), lost),
        unsure("a header without end", b.raw(lambda _: b"HTTP/1.1 200 OK\r\nA: " + b"a" * 70000),
                lost),
        unsure("200 headers", b.changed(b.with_headers(**many)), lost),
        *[
            unsure(f"{status} with the image", b.changed(b.with_status(status)), bad)
            for status in (201, 202, 206)
        ],
        unsure("204", b.instead(204, made=True), bad),
    ]  # fmt: skip


UNREADABLE: dict[str, str] = {
    "empty": "",
    "text": "It is on its way.",
    "HTML": "<html><body>Please log in</body></html>",
    "JSON cut": '{"images": [{"url": "https://',
    "UTF-16": "\ufeff{}",
    "null": "null",
    "a number": "42",
    "a string": '"done"',
    "a list": "[]",
    "an error object": '{"code": 50505, "message": "Model service overloaded.", "data": null}',
    "no images": "{}",
    "images null": '{"images": null}',
    "images empty": '{"images": []}',
    "images a string": '{"images": "https://x/y"}',
    "images of null": '{"images": [null]}',
    "images of lists": '{"images": [[["https://x/y"]]]}',
    "an image without url": '{"images": [{"uri": "https://x/y"}]}',
    "url a number": '{"images": [{"url": 42}]}',
    "url empty": '{"images": [{"url": ""}]}',
    "base64 that is none": '{"images": [{"b64_json": "*** no base64 ***"}]}',
    "base64 of half a character": '{"images": [{"b64_json": "\\ud800"}]}',
    "a data URL that is none": '{"images": [{"url": "data:image/png;base64,%%%"}]}',
    "65 images": json.dumps({"images": [{"url": "https://x/y"}] * 65}),
    "a million images": '{"images": [' + ",".join(['{"url":"x"}'] * 1_000_000) + "]}",
    "a million keys": json.dumps({f"k{number}": 0 for number in range(1_000_000)}),
    "100,000 lists in each other": "[" * 100_000 + "]" * 100_000,
    "99,000 objects in each other": '{"a":' * 99_000 + "1" + "}" * 99_000,
    "a number of a million digits": '{"seed": ' + "9" * 1_000_000 + "}",
}


def _answers_unreadable() -> list[Fault]:
    bad = errors.BadAnswer
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
    packed = b.bomb(1 << 30)

    def timed(seconds: float) -> b.Change:
        return b.with_json(timings={"inference": seconds})

    no_image = b.with_entry({"b64_json": b.base64_of(b"<html>no image</html>")})
    return [
        *[unsure(f"200, {name}", b.changed(b.with_body(body)), bad)
          for name, body in UNREADABLE.items()],
        unsure("200, 100 MB", b.paid(b.endless(head, 100_000_000)), bad),
        unsure("200, a gibibyte of zeros in gzip",
                b.changed(b.packed_as("gzip", packed)), bad),
        unsure("200, base64 of a page", b.changed(no_image), bad),
        ok("200, the image twice", b.changed(b.twice), images=2,
           note="returned 2 images instead of 1"),
        ok("200, the seed a string", b.changed(b.with_json(seed="7"))),
        ok("200, the seed null", b.changed(b.with_json(seed=None))),
        ok("200, the seed of 30 digits", b.changed(b.with_json(seed=10**29))),
        ok("200, the seed below zero", b.changed(b.with_json(seed=-1))),
        ok("200, timings a list", b.changed(b.with_json(timings=[1]))),
        ok("200, the time not a number", b.changed(timed(float("nan")))),
        ok("200, the time of 400 digits", b.changed(timed(10**400))),
        ok("200, everything null besides", b.changed(b.with_json(timings=None, data=None))),
        ok("200, a trace id of 60,000 letters",
            b.changed(b.with_headers(**{"x-siliconcloud-trace-id": "t" * 60_000}))),
    ]  # fmt: skip


def _echoes() -> list[Fault]:
    """Answers that say the key: it must not come out anywhere."""
    lost, bad = errors.ConnectionLost, errors.BadAnswer
    escaped = KEY.replace("s", "\\u0073", 1)
    entity = KEY.replace("s", "&#115;", 1)
    trace: dict[str, Any] = {"x-siliconcloud-trace-id": KEY}
    return [
        unsure("echo: status line", b.raw(lambda _: f"HTTP/9 {KEY}\r\n\r\n".encode()), lost),
        unsure("echo: text of a 200", b.changed(b.with_body(f"Hello {KEY}")), bad),
        unsure("echo: packing", b.changed(b.with_headers(Content_Encoding=KEY)), bad),
        unsure("echo: chunk size", b.raw(lambda r: b.chunked(r, end=f"{KEY}\r\n".encode())), lost),
        unsure("echo: trace id of a 500", b.instead(500, "no", **trace), errors.ServerError, 0),
        ok("echo: trace id of the image", b.changed(b.with_headers(**trace))),
        _free("echo: 401", b.instead(401, f'"Invalid token {KEY}"'), errors.InvalidKey),
        _free("echo: 400, escaped", b.instead(400, f'{{"message": "{escaped}"}}'),
              errors.BadRequest),
        _free("echo: 400, HTML", b.instead(400, f"<p>{entity}</p>"), errors.BadRequest),
        _free("echo: redirect", b.redirect(f"/elsewhere?key={KEY}"), errors.WrongAddress),
    ]  # fmt: skip


def _downloads_mended() -> list[Fault]:
    """Broken downloads that the user does not even notice."""
    once: dict[str, Any] = {"where": "download", "times": 1}
    always: dict[str, Any] = {"where": "download"}
    soon: dict[str, Any] = {"settings": {"read_timeout": 0.7}}
    return [
        *[ok(f"download: {status} once", b.instead(status, "no"), **once)
          for status in (408, 429, 500, 502, 503, 504)],
        ok("download: closed before the headers", b.cut_head(0), **once),
        ok("download: closed behind the headers", b.cut(0), **once),
        ok("download: cut at the first byte, no ranges", b.cut(0.001), **once),
        ok("download: cut in the middle, no ranges", b.cut(0.5), **once),
        ok("download: cut before the last byte, no ranges", b.cut(-1), **once),
        ok("download: reset in the middle", b.cut(0.5, reset=True), **once),
        ok("download: cut at the first byte, ranges", b.with_ranges(0.001), **always),
        ok("download: cut in the middle, ranges", b.with_ranges(0.5), **always),
        ok("download: cut, another file by then", b.with_ranges(0.5, other='"two"'), **always),
        ok("download: silent within the body", b.stop(0.5), **once, **soon),
        ok("download: damaged once", b.changed(b.flipped), **once),
        ok("download: half of it, once", b.changed(b.halved), **once),
        ok("download: a page, once", b.instead(200, "<html>wait</html>"), **once),
        ok("download: empty, once", b.instead(200), **once),
        ok("download: a length too long, once", b.changed(b.with_length(10)), **once),
        ok("download: chunks", b.raw(b.chunked), **always),
        ok("download: no length", b.raw(lambda r: b"HTTP/1.0 200 OK\r\n\r\n" + r.body), **always),
        ok("download: a type that is no image's",
            b.changed(b.with_headers(**{"Content-Type": "text/html"})), **always),
        *[ok(f"download: {status} to where it is", b.turn_once(status), **always)
          for status in (301, 302, 303, 307, 308)],
    ]  # fmt: skip


def _failed(name: str, breaker: Breaker, kind: Kind = errors.DownloadFailed, **more: Any) -> Fault:
    """Name a download that fails as long as it is broken."""
    again = more.pop("again", FETCHED)
    return Fault(f"download: {name}", "download", breaker, kind, 1, again, **more)


def _downloads_failed() -> list[Fault]:
    small: dict[str, Any] = {"settings": {"most_picture_mib": 1.0}}
    soon: dict[str, Any] = {"settings": {"read_timeout": 0.7}}
    at_once: dict[str, Any] = {"settings": {"connect_timeout": 0.2, "read_timeout": 0.3}}
    head = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n\r\n"
    never = errors.ResultRefused
    return [
        _failed("500 without end", b.instead(500, "no")),
        _failed("401 without end", b.instead(401, "no")),
        _failed("404 without end", b.instead(404, "no")),
        _failed("403, the URL has expired", b.instead(403, "This URL has expired")),
        _failed("206 that nobody requested", b.changed(b.with_status(206))),
        _failed("204", b.instead(204)),
        _failed("cut without end", b.cut(0.5)),
        _failed("another range than requested", b.wrong_range("bytes 0-99/{size}")),
        _failed("a range of another file", b.wrong_range("bytes {begins}-9/77")),
        _failed("a range that is none", b.wrong_range("all of it")),
        _failed("a length too short", b.changed(b.with_length("100")), errors.BadPicture),
        _failed("silent without end", b.stop(0.5), **soon),
        _failed("drips", b.drip(head=False), **at_once),
        _failed("packed, which nobody requested", b.changed(b.gzipped), never),
        _failed("a file without end", b.endless(head, 8 << 20), never, **small),
        _failed("a length of a tebibyte", b.changed(b.with_length(str(1 << 40))), never),
        _failed("redirects without end", b.redirect("{path}"), never),
        _failed("redirects with bodies of 60 MB", b.endless(MOVED, 60_000_000), never),
        _failed("redirect to a file", b.redirect("file:///etc/passwd"), never),
        _failed("redirect to another scheme", b.redirect("ftp://127.0.0.1/x"), never),
        _failed("redirect to a URL that is none", b.redirect("http://[::1/"), never),
        _failed("redirect to the network within", b.redirect("https://10.0.0.1/x"), never,
                transport="public"),
        _failed("redirect to this machine", b.redirect("https://127.0.0.1:{port}/x"), never,
                transport="public"),
        _failed("redirect to plain HTTP", b.redirect("http://siliconflow.test/x"), never,
                transport="public"),
    ]  # fmt: skip


def _bad_images() -> list[Fault]:
    """Files that are no images, or dangerous ones."""
    svg = '<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'
    text = b.chunk(b"zTXt", b"a\x00\x00" + zlib.compress(bytes(80 << 20), 9))
    files: dict[str, bytes | str] = {
        "a page": "<html>Not here</html>",
        "SVG": svg,
        "JSON": '{"message": "not here"}',
        "empty": "",
        "random bytes": bytes(range(256)) * 8,
        "PNG of 1 x 1,000,000,000": b.png(1, 1_000_000_000),
        "PNG of 65,000 x 65,000": b.png(65_000, 65_000, bytes(1 << 20)),
        "PNG of 10,000 x 10,000": b.png(10_000, 10_000, bytes(1 << 20)),
        "PNG of 0 x 0": b.png(0, 0),
        "PNG without its lines": b.png(64, 64, b""),
        "PNG with a text of 80 MB": b.png(8, 8, bytes(72), text),
        "EPS": "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "TIFF": b"II*\x00\x08\x00\x00\x00\x00\x00",
        "WebP cut": b"RIFF\xff\xff\x00\x00WEBPVP8L\x00\x00",
    }
    bad = errors.BadPicture
    return [
        *[_failed(name, b.instead(200, body), bad) for name, body in files.items()],
        _failed("damaged without end", b.changed(b.flipped), bad),
        _failed("half of it without end", b.changed(b.halved), bad),
    ]


BAD_URLS: dict[str, str] = {
    "a file": "file:///etc/passwd",
    "FTP": "ftp://127.0.0.1/x.png",
    "script": "javascript:alert(1)",
    "no scheme": "//127.0.0.1/x.png",
    "a path": "/pictures/x.png",
    "a word": "soon",
    "a blank": " ",
    "no host": "http:///x.png",
    "plain HTTP elsewhere": "http://192.0.2.1/x.png",
    "a name and a password": "http://name:word@127.0.0.1:{port}/x.png",
    "an open bracket": "http://[::1/x.png",
    "a zero byte": "http://127.0.0.1\x00/x.png",
    "a line break": "http://127.0.0.1:{port}/x\r\nX-Evil: 1",
}
INNER_URLS: dict[str, str] = {
    "this machine": "https://127.0.0.1:{port}/x.png",
    "this machine by name": "https://localhost/x.png",
    "this machine, IPv6": "https://[::1]/x.png",
    "this machine as a number": "https://2130706433/x.png",
    "this machine, mapped": "https://[::ffff:127.0.0.1]/x.png",
    "the network within": "https://192.168.0.1/x.png",
    "a cloud's metadata": "https://169.254.169.254/latest/meta-data",
    "nowhere": "https://0.0.0.0/x.png",
    "plain HTTP": "http://siliconflow.test/x.png",
}
UNREADABLE_URLS: dict[str, str] = {
    "half a character": "http://127.0.0.1:{port}/x\ud800",
    "a million letters": "http://127.0.0.1:{port}/" + "x" * 1_000_000,
}


def _bad_addresses() -> list[Fault]:
    kind = errors.ResultRefused
    here = [
        Fault(f"URL: {name}", "send", b.changed(b.with_url(url)), kind, 1, NOTHING)
        for name, url in BAD_URLS.items()
    ]
    no_port = b.changed(b.with_url("http://127.0.0.1:99999/x.png"))
    here.append(Fault("URL: port 99999", "send", no_port, errors.DownloadFailed, 1, NOTHING))
    within = [
        Fault(
            f"URL: {name}",
            "send",
            b.changed(b.with_url(url)),
            kind,
            1,
            NOTHING,
            transport="public",
        )
        for name, url in INNER_URLS.items()
    ]
    unreadable = [
        unsure(f"URL: {name}", b.changed(b.with_url(url)), errors.BadAnswer)
        for name, url in UNREADABLE_URLS.items()
    ]
    return [*here, *within, *unreadable]


FAULTS = _all()


def common() -> list[Fault]:
    """Return the faults that need not be read: of connections and refusals, one of each kind."""
    by_shape = [fault for fault in _statuses_by_shape() if fault.name.endswith(", object")]
    limits = [
        fault for fault in _limits() if "60 MB" not in fault.name and "million" not in fault.name
    ]
    return [*_connecting(), *_unpaid(), *by_shape, *_statuses_paid(), *limits, *_redirects()[:1]]


def exchanges() -> list[Fault]:
    """Return the faults of an exchange, whatever its answer is."""
    return [*_answers_lost(), *_answers_odd()]
