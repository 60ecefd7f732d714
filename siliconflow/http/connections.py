"""Connections that end in time, and that reach only where they may.

`requests` bounds each wait for a byte, so that an answer whose bytes drip lasts for ever; here a
whole exchange has an end. And a name is checked where the connection really leads, not where it
led when somebody looked it up.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

from .addresses import is_public

CONNECTIONS = 64
_running = threading.local()


class PrivateAddress(urllib3.exceptions.HTTPError):
    """The connection led to an address that is not public."""


class Deadline:
    """Cuts the connection of this thread when its time is over, whatever it waits for."""

    def __init__(self, seconds: float) -> None:
        """Start nothing yet."""
        self.is_over = False
        self._connection: HTTPConnection | None = None
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    def __enter__(self) -> None:
        """Start the clock."""
        _running.deadline = self
        self._timer.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the clock."""
        self._timer.cancel()
        _running.deadline = None

    def watch(self, connection: HTTPConnection) -> None:
        """Note the connection that this thread uses now."""
        self._connection = connection

    def hold(self, used: socket.socket | None) -> None:
        """Note the socket that an answer comes from: its connection may let go of it early."""
        self._socket = used

    def _cut(self) -> None:
        self.is_over = True
        found = self._socket or getattr(self._connection, "sock", None)
        with contextlib.suppress(OSError):
            # Of the plain socket: TLS would forget its state under the reading thread.
            socket.socket.shutdown(found, socket.SHUT_RDWR) if found else None


class _Watched:
    """What both kinds of connection do besides connecting."""

    public_only: Callable[[], bool]

    def _new_conn(self) -> socket.socket:
        made: socket.socket = super()._new_conn()  # type: ignore[misc]
        through_proxy = getattr(self, "proxy", None)
        if self.public_only() and not through_proxy and not is_public(made.getpeername()[0]):
            made.close()
            raise PrivateAddress("its URL is not on a public address")
        return made

    def putrequest(self, *args: Any, **options: Any) -> None:
        deadline: Deadline | None = getattr(_running, "deadline", None)
        if deadline:
            deadline.watch(self)  # type: ignore[arg-type]
        super().putrequest(*args, **options)  # type: ignore[misc]

    def getresponse(self, *args: Any, **options: Any) -> Any:
        deadline: Deadline | None = getattr(_running, "deadline", None)
        if deadline:
            deadline.hold(getattr(self, "sock", None))
        return super().getresponse(*args, **options)  # type: ignore[misc]


class Adapter(HTTPAdapter):
    """An HTTP adapter of `requests` whose connections are watched."""

    def __init__(self, public_only: Callable[[], bool]) -> None:
        """Ask `public_only` at each new connection whether only public addresses are good."""
        self._public_only = public_only
        super().__init__(pool_maxsize=CONNECTIONS)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Make a pool manager of watched connections."""
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = _pools(self._public_only)

    def proxy_manager_for(self, *args: Any, **options: Any) -> Any:
        """Make one for a proxy: it decides itself where it connects to."""
        manager = super().proxy_manager_for(*args, **options)
        manager.pool_classes_by_scheme = _pools(lambda: False)
        return manager


def _pools(public_only: Callable[[], bool]) -> dict[str, type]:
    kinds = {"public_only": staticmethod(public_only)}
    plain = type("_Plain", (_Watched, HTTPConnection), kinds)
    secure = type("_Secure", (_Watched, HTTPSConnection), kinds)
    return {
        "http": type("_PlainPool", (urllib3.HTTPConnectionPool,), {"ConnectionCls": plain}),
        "https": type("_SecurePool", (urllib3.HTTPSConnectionPool,), {"ConnectionCls": secure}),
    }
