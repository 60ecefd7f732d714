"""A network on loopback: a service behind TLS with a CA of its own, and a proxy of every kind."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct
import sys
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any

import pytest
import trustme
from comfyui_siliconflow.tests.waiting import LONGEST

API, RESULTS = "api.siliconflow.cn", "s3.siliconflow.cn"
REPLY = b'{"images": [], "data": []}'
DRIP_SECONDS = 0.05
LOOK_SECONDS = 0.02
"""How often a server looks whether it shall end."""


class Service:
    """Serves HTTPS under the names of the service, and keeps the requests that came."""

    def __init__(self, folder: Path) -> None:
        """Make a CA, write its certificate to `ca_file`, and serve with one that it issued."""
        self._authority = trustme.CA()
        self.ca_file = folder / "company ca.pem"
        self._authority.cert_pem.write_to_path(str(self.ca_file))
        context = self.tls_of(API, RESULTS, "elsewhere.example")
        self.requests: list[str] = []
        self.status = 200
        self.drips = False
        """Whether a response is headers without end, a few bytes at a time."""
        self.skew = 0.0
        """Seconds that the service's clock is ahead."""
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                service.requests.append(f"{self.command} {self.headers['Host']}{self.path}")
                for _ in range(int(LONGEST / DRIP_SECONDS) if service.drips else 0):
                    self.wfile.write(b"X")
                    time.sleep(DRIP_SECONDS)
                is_api = self.path.startswith("/v1/")
                is_known = "Authorization" in self.headers or not is_api
                self.send_response(service.status if is_known else 401)
                self.send_header("Content-Length", str(len(REPLY)))
                self.end_headers()
                self.wfile.write(REPLY)

            do_POST = do_GET  # noqa: N815 - the name is the library's

            def date_time_string(self, timestamp: float | None = None) -> str:
                return super().date_time_string((timestamp or time.time()) + service.skew)

            def log_message(self, *_: object) -> None:
                """Print nothing."""

        class Secure(ThreadingHTTPServer):
            def finish_request(self, request: Any, client_address: Any) -> None:
                request.settimeout(LONGEST)
                with contextlib.suppress(OSError):
                    safe = context.wrap_socket(request, server_side=True)
                    with safe:
                        super().finish_request(safe, client_address)

        self._server = Secure(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        threading.Thread(
            target=self._server.serve_forever, args=(LOOK_SECONDS,), daemon=True
        ).start()

    def tls_of(self, *names: str) -> ssl.SSLContext:
        """Return the TLS of a server with these names, whose certificate the CA has issued.

        It is valid for two months: macOS accepts none that is for more than 825 days.
        """
        now, month = datetime.now(timezone.utc), timedelta(days=30)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        issued = self._authority.issue_cert(*names, not_before=now - month, not_after=now + month)
        issued.configure_cert(context)
        return context

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()


class Proxy:
    """Speaks SOCKS 4, 4a and 5, and HTTP's CONNECT, and leads whoever asks to one port.

    `asked` holds what it was asked for, as `host:port`, of which it hangs up on what is `refused`.
    With `user` it wants a name and a password; with `tls` it is an https:// proxy.
    """

    def __init__(self, port: int, user: str = "", tls: ssl.SSLContext | None = None) -> None:
        """Listen on a free port."""
        self._target, self._user, self.tls = port, user, tls
        self.asked: list[str] = []
        self.refused: set[str] = set()
        proxy = self

        class Handler(BaseRequestHandler):
            def handle(self) -> None:
                proxy._talk(self.request)

        self._server = ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(
            target=self._server.serve_forever, args=(LOOK_SECONDS,), daemon=True
        ).start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def _talk(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError), contextlib.ExitStack() as stack, client:
            client.settimeout(LONGEST)
            if self.tls:
                client = stack.enter_context(self.tls.wrap_socket(client, server_side=True))
            stream = client.makefile("rb", buffering=0)
            first = _read(stream, 1)
            ways = {b"\x05": self._socks5, b"\x04": self._socks4}
            greeting = ways.get(first, self._connect)(client, stream)
            with socket.create_connection(("127.0.0.1", self._target), LONGEST) as target:
                client.sendall(greeting)
                _relay(client, target)

    def _socks5(self, client: socket.socket, stream: object) -> bytes:
        methods = _read(stream, _read(stream, 1)[0])
        if self._user:
            assert 2 in methods
            client.sendall(b"\x05\x02")
            _read(stream, 1)
            words = [_read(stream, _read(stream, 1)[0]).decode() for _ in range(2)]
            client.sendall(b"\x01\x00" if ":".join(words) == self._user else b"\x01\x01")
        else:
            client.sendall(b"\x05\x00")
        kind = _read(stream, 4)[3]
        if kind == 3:
            host = _read(stream, _read(stream, 1)[0]).decode()
        else:
            family = socket.AF_INET if kind == 1 else socket.AF_INET6
            host = socket.inet_ntop(family, _read(stream, 4 if kind == 1 else 16))
        self._ask(host, *struct.unpack(">H", _read(stream, 2)))
        return b"\x05\x00\x00\x01" + bytes(6)

    def _socks4(self, _client: socket.socket, stream: object) -> bytes:
        _read(stream, 1)
        [port] = struct.unpack(">H", _read(stream, 2))
        address = _read(stream, 4)
        _until(stream, b"\0")
        is_name = address[:3] == bytes(3)
        host = _until(stream, b"\0").decode() if is_name else socket.inet_ntoa(address)
        self._ask(host, port)
        return b"\x00\x5a" + bytes(6)

    def _connect(self, _client: socket.socket, stream: object) -> bytes:
        target = _until(stream, b"\r\n\r\n").split()[1].decode()
        host, _, port = target.rpartition(":")
        self._ask(host, int(port))
        return b"HTTP/1.1 200 Connected\r\n\r\n"

    def _ask(self, host: str, port: int) -> None:
        self.asked.append(f"{host}:{port}")
        if host in self.refused:
            raise EOFError


def _read(stream: object, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part: bytes = stream.read(size - len(data))  # type: ignore[attr-defined]
        if not part:
            raise EOFError
        data += part
    return data


def _until(stream: object, end: bytes) -> bytes:
    data = b""
    while not data.endswith(end):
        data += _read(stream, 1)
    return data[: -len(end)]


def _relay(client: socket.socket, target: socket.socket) -> None:
    """Pass on what each says until one hangs up: in one thread, for TLS is not made for two."""
    other = {client: target, target: client}
    while True:
        decrypted = isinstance(client, ssl.SSLSocket) and client.pending()
        for source in [client] if decrypted else select.select(list(other), [], [], LONGEST)[0]:
            data = source.recv(65536)
            if not data:
                return
            other[source].sendall(data)


@contextlib.contextmanager
def deaf(host: str, port: int) -> Iterator[None]:
    """Let connections to an address neither succeed nor fail; skip the test where none does."""
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux lets a connection wait where nobody accepts any")
    with contextlib.ExitStack() as stack:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=0)
        stack.enter_context(listener)
        for _ in range(3):
            filler = stack.enter_context(socket.socket(family))
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect(listener.getsockname())
        yield
