"""An HTTP server on raw sockets in front of the simulator, which breaks where it is told to.

One port speaks HTTP, HTTPS and, as a proxy does, CONNECT. Each connection and each request is
handed to a breaker; without one the simulator's answer goes through as it is.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.tests.siliconflow.network import Proxy

HERE = Path(__file__).parent
CERTIFICATE = HERE / "trusted.pem"
PUBLIC_HOST = "siliconflow.test"
LONGEST_HOLD = 30.0
CLOSING = {"Connection": "close"}
"""What a breaker's whole answer says, for the connection is closed behind it."""
_RESET = struct.pack("ii", 1, 0)
_TLS_HELLO = 0x16
_ONLY_HERE = {"connection", "transfer-encoding", "content-length", "host"}
_GONE = (OSError, http.client.HTTPException, ValueError)

PAID = frozenset(
    {
        "images/generations",
        "chat/completions",
        "audio/speech",
        "audio/transcriptions",
        "uploads/audio/voice",
        "embeddings",
        "rerank",
    }
)
"""The addresses whose answers are charged, or make something that is there to stay."""

Where = Literal["connect", "send", "download", "info"]
Transport = Literal["plain", "tls", "public", "socks"]
"""`public` and `socks`: at a public address, through an HTTP proxy, or a SOCKS one."""


@dataclass(frozen=True)
class Reply:
    """An HTTP answer, with its length unless the headers name one."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def head(self) -> bytes:
        """The status line and the headers, with the empty line."""
        given = {name.lower() for name in self.headers}
        length = {} if {"content-length", "transfer-encoding"} & given else self._length
        lines = [f"{name}: {value}" for name, value in {**self.headers, **length}.items()]
        first = f"HTTP/1.1 {self.status} Any"
        return "\r\n".join([first, *lines, "", ""]).encode("latin-1", "replace")

    @property
    def raw(self) -> bytes:
        """All of its bytes."""
        return self.head + self.body

    @property
    def _length(self) -> dict[str, str]:
        return {"Content-Length": str(len(self.body))}

    def having(self, **headers: str) -> Reply:
        """Return the same answer with more headers; `_` in a name stands for `-`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return replace(self, headers={**self.headers, **named})


class Exchange:
    """One connection, or one request on it, for a breaker to play with."""

    def __init__(self, server: FaultServer, connection: socket.socket, head: bytes = b"") -> None:
        """Read no body yet."""
        self.server = server
        self.connection = connection
        self.head = head
        self.body = b""
        self.reply: Reply | None = None
        self._left = _length_of(head)

    @property
    def path(self) -> str:
        """The path that is requested."""
        return self.head.split(b" ", 2)[1].decode("latin-1")

    @property
    def wanted_range(self) -> int | None:
        """Where a Range request begins, if this is one."""
        found = _header(self.head, b"range")
        return int(found.removeprefix("bytes=").partition("-")[0]) if found else None

    def read(self, most: int | None = None) -> None:
        """Read the request's body, or its first `most` bytes."""
        wanted = self._left if most is None else min(most, self._left)
        while wanted:
            data = self.connection.recv(min(wanted, 65536)) or _gone()
            self.body += data
            self._left -= len(data)
            wanted -= len(data)

    def answer(self, *, closing: bool = True) -> Reply:
        """Return the simulator's answer; whatever it charges is charged now."""
        if self.reply is None:
            self.read()
            self.reply = self.server.forward(self.head, self.body)
        return self.reply.having(**CLOSING) if closing else self.reply

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.connection.sendall(data)

    def hang_up(self, *, reset: bool = False) -> None:
        """Close the connection, politely or with a reset."""
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        else:
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_WR)
        self.connection.close()

    def hold(self, seconds: float = LONGEST_HOLD) -> None:
        """Keep still until the server is mended."""
        self.server.holding.set()
        self.server.mended.wait(seconds)


Breaker = Callable[[Exchange], None]


@dataclass
class Break:
    """A breaker that waits for its next `times` chances."""

    breaker: Breaker
    where: Where
    times: int


class FaultServer:
    """Stands before a simulator. Safe for many connections at once."""

    def __init__(self, simulator: Simulator) -> None:
        """Listen on a free port of the loopback address."""
        self.simulator = simulator
        self.transport: Transport = "plain"
        self.mended = threading.Event()
        self.holding = threading.Event()
        self.choose: Callable[[Where, str], Breaker | None] = self._next_break
        self.heads: list[bytes] = []
        self._breaks: list[Break] = []
        self._lock = threading.Lock()
        self._under_way = 0
        self._fillers: list[socket.socket] = []
        self._socks: Proxy | None = None
        self._open: list[socket.socket] = []
        self._good, self._bad = (_context(HERE / f"{name}trusted.pem") for name in ("", "un"))
        self._context = self._good
        self.port = 0
        self._socket: socket.socket | None = None
        self.listen()

    # Where it is

    @property
    def origin(self) -> str:
        """What the images' URLs begin with."""
        plain = f"127.0.0.1:{self.port}"
        return {
            "plain": f"http://{plain}",
            "tls": f"https://{plain}",
            "public": f"https://{PUBLIC_HOST}",
            "socks": f"https://{PUBLIC_HOST}",
        }[self.transport]

    def environment(self) -> dict[str, str]:
        """Return the variables with which the pack talks to this server."""
        if self.transport == "socks" and not self._socks:
            self._socks = Proxy(self.port)
        through = {"public": {"HTTPS_PROXY": f"http://127.0.0.1:{self.port}"}}
        if self._socks:
            through["socks"] = {"ALL_PROXY": f"socks5h://{self._socks.address}"}
        return {
            "SILICONFLOW_API_KEY": self.simulator.key,
            "SILICONFLOW_BASE_URL": f"{self.origin}/v1",
            "REQUESTS_CA_BUNDLE": str(CERTIFICATE),
            **through.get(self.transport, {}),
        }

    # What is broken

    def break_next(self, breaker: Breaker, where: Where, times: int) -> None:
        """Let the next `times` connections or requests meet a breaker."""
        self.mended.clear()
        self.holding.clear()
        self._breaks.append(Break(breaker, where, times))

    def mend(self) -> None:
        """Break nothing any more, and let go of what is held."""
        self._breaks.clear()
        self._context = self._good
        self.mended.set()
        self.listen()

    def drop_idle(self) -> None:
        """Close the connections that clients keep for later, and wait until no one serves them."""
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        until(lambda: not self._open, 5)

    def distrusted(self) -> None:
        """Show a certificate that no client trusts until the server is mended."""
        self._context = self._bad

    def _next_break(self, where: Where, _path: str) -> Breaker | None:
        with self._lock:
            for item in self._breaks:
                if item.where == where and item.times:
                    item.times -= 1
                    return item.breaker
        return None

    # What arrived

    @property
    def posts(self) -> int:
        """How many requests for images arrived."""
        return sum(head.startswith(b"POST ") for head in self.heads)

    def stray_keys(self) -> list[str]:
        """Return the requests that carried the key to anything but the API."""
        key = self.simulator.key.encode()
        return [
            head.split(b"\r\n")[0].decode("latin-1")
            for head in self.heads
            if key in head and b" /v1/" not in head.split(b"\r\n")[0]
        ]

    def quiet(self, seconds: float = 10.0) -> bool:
        """Wait until no request is under way; returns whether it did."""
        return until(lambda: not self._under_way, seconds)

    # Listening

    def listen(self) -> None:
        """Accept connections, if it does not already."""
        self._close_fillers()
        if self._socket and self._socket.fileno() >= 0:
            return
        self._socket = self._bound(128)
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._socket,), daemon=True).start()

    def refuse(self) -> None:
        """Refuse connections until `listen`."""
        if self._socket:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()

    def deafen(self) -> None:
        """Let connections neither succeed nor fail until the server is mended."""
        self.refuse()
        self._socket = self._bound(0)
        for _ in range(2):
            filler = socket.socket()
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect(("127.0.0.1", self.port))
            self._fillers.append(filler)

    def close(self) -> None:
        """Stop listening, and let go of what is held."""
        self.mended.set()
        self._close_fillers()
        self.refuse()
        if self._socks:
            self._socks.close()

    def _bound(self, backlog: int) -> socket.socket:
        """Bind the port, which may be busy for a moment after it was closed."""
        for _ in range(200):
            try:
                return socket.create_server(("127.0.0.1", self.port), backlog=backlog)
            except OSError:
                time.sleep(0.01)
        raise ConnectionError(f"port {self.port} stays busy")

    def _close_fillers(self) -> None:
        if self._fillers and self._socket:
            self._socket.close()
        for filler in self._fillers:
            filler.close()
        self._fillers.clear()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    # Serving

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(*_GONE), connection:
            connection.settimeout(LONGEST_HOLD)
            with self._busy():
                breaker = self.choose("connect", "")
                if breaker:
                    breaker(Exchange(self, connection))
                    return
            self._talk(connection)

    def _talk(self, connection: socket.socket) -> None:
        """Answer one request after the other; a TLS hello or a CONNECT begins a new talk."""
        first = connection.recv(1, socket.MSG_PEEK)
        if first and first[0] == _TLS_HELLO:
            with self._context.wrap_socket(connection, server_side=True) as safe:
                self._requests(safe)
        elif first:
            self._requests(connection)

    def _requests(self, connection: socket.socket) -> None:
        with self._kept_open(connection):
            self._answer_all(connection)

    def _answer_all(self, connection: socket.socket) -> None:
        while head := _read_head(connection):
            if head.startswith(b"CONNECT "):
                connection.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
                self._talk(connection)
                return
            with self._busy():
                self._one(Exchange(self, connection, head))
            if connection.fileno() < 0:
                return

    def _one(self, exchange: Exchange) -> None:
        self.heads.append(exchange.head)
        breaker = self.choose(_where(exchange.path), exchange.path)
        if breaker is None:
            exchange.send(exchange.answer(closing=False).raw)
        else:
            breaker(exchange)
            exchange.connection.close()

    @contextlib.contextmanager
    def _kept_open(self, connection: socket.socket) -> Iterator[None]:
        self._open.append(connection)
        try:
            yield
        finally:
            self._open.remove(connection)

    @contextlib.contextmanager
    def _busy(self) -> Iterator[None]:
        with self._lock:
            self._under_way += 1
        try:
            yield
        finally:
            with self._lock:
                self._under_way -= 1

    def forward(self, head: bytes, body: bytes) -> Reply:
        """Ask the simulator, and let its answer name this server instead."""
        first, *lines = head.decode("latin-1").split("\r\n")
        method, path, _ = first.split(" ")
        pairs = (line.partition(": ")[::2] for line in lines if line)
        headers = {name: value for name, value in pairs if name.lower() not in _ONLY_HERE}
        headers.pop("Range", None)
        status, given, content = self._forward(method, path, body, headers)
        passed_on = {name: value for name, value in given.items() if name.lower() not in _ONLY_HERE}
        here = content.replace(self.simulator.origin.encode(), self.origin.encode())
        return Reply(status, passed_on, here)

    def _forward(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        link = http.client.HTTPConnection("127.0.0.1", self.simulator.port, timeout=30)
        try:
            link.request(method, path, body or None, dict(headers))
            response = link.getresponse()
            return response.status, dict(response.getheaders()), response.read()
        finally:
            link.close()


def until(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait until something is so; returns whether it was in time."""
    for _ in range(int(seconds / 0.005)):
        if condition():
            return True
        time.sleep(0.005)
    return condition()


def _where(path: str) -> Where:
    if path.removeprefix("/v1/") in PAID:
        return "send"
    return "download" if path.startswith("/pictures/") else "info"


def _context(file: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def _read_head(connection: socket.socket) -> bytes:
    """Read to the end of the headers and not a byte further; empty when the client is gone."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        data = connection.recv(1)
        if not data:
            return b""
        head += data
    return head


def _header(head: bytes, name: bytes) -> str:
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.strip().lower() == name:
            return value.strip().decode("latin-1")
    return ""


def _length_of(head: bytes) -> int:
    return int(_header(head, b"content-length") or 0)


def _gone() -> bytes:
    raise ConnectionError
