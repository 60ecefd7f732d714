"""A server that answers with exactly the bytes a test wants, or breaks where it wants."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

Script = Callable[[socket.socket, bytes], None]


class Server:
    """Plays one script a connection; the last one again and again. Keeps what it was sent."""

    def __init__(self, *scripts: Script) -> None:
        self._scripts = list(scripts)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.requests: list[bytes] = []
        self.address = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):  # the client may hang up at any time
                request = _whole(connection)
                self.requests.append(request)
                number = min(len(self.requests), len(self._scripts)) - 1
                self._scripts[number](connection, request)


def _whole(connection: socket.socket) -> bytes:
    """Read one request with its body."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536) or _gone()
    head, _, body = data.partition(b"\r\n\r\n")
    wanted = next(
        (
            int(line[15:])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length:")
        ),
        0,
    )
    while len(body) < wanted:
        body += connection.recv(65536) or _gone()
    return head + b"\r\n\r\n" + body


def _gone() -> bytes:
    raise ConnectionError


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Start servers, and close them after the test."""
    started: list[Server] = []

    def start(*scripts: Script) -> Server:
        started.append(Server(*scripts))
        return started[-1]

    yield start
    for server in started:
        server.close()


@pytest.fixture
def answer() -> Callable[..., Script]:
    """Make a script that sends a whole HTTP answer."""

    def make(
        status: int = 200, body: bytes = b"{}", headers: str = "", length: int | None = None
    ) -> Script:
        size = len(body) if length is None else length
        head = (
            f"HTTP/1.1 {status} Any\r\nContent-Length: {size}\r\nConnection: close\r\n{headers}\r\n"
        )

        def script(connection: socket.socket, _request: bytes) -> None:
            connection.sendall(head.encode() + body)

        return script

    return make
