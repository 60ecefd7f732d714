"""A server that answers with exactly the bytes a test wants, or breaks where it wants."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from comfyui_siliconflow.tests.waiting import LONGEST

Script = Callable[[socket.socket, bytes], None]
DRIP_SECONDS = 0.05


def stay_silent(connection: socket.socket, _request: bytes) -> None:
    """Say nothing until the client hangs up."""
    connection.recv(1)


def drip(head: bytes, piece: bytes) -> Script:
    """Make a script that sends a head, then a piece again and again until the client hangs up."""

    def script(connection: socket.socket, _request: bytes) -> None:
        connection.sendall(head)
        for _ in range(int(LONGEST / DRIP_SECONDS)):
            connection.sendall(piece)
            time.sleep(DRIP_SECONDS)
        raise TimeoutError

    return script


class Server:
    """Plays one script a connection; the last one again and again. Keeps what it was sent.

    `outlasted` tells that a client waited until the server gave up.
    """

    def __init__(self, *scripts: Script) -> None:
        self._scripts = list(scripts)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.requests: list[bytes] = []
        self.outlasted = False
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
                connection.settimeout(LONGEST)
                request = _whole(connection)
                self.requests.append(request)
                number = min(len(self.requests), len(self._scripts)) - 1
                try:
                    self._scripts[number](connection, request)
                except TimeoutError:
                    self.outlasted = True


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
    assert not any(server.outlasted for server in started)


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
