"""Connections that end in time, and that reach only where they may.

`requests` bounds each wait for a byte, so that a response whose bytes drip lasts for ever; here a
whole exchange has a deadline. And an address is checked where the connection really leads, not
where its name led when somebody looked it up.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from http.cookiejar import DefaultCookiePolicy
from types import TracebackType
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

from .addresses import is_public

MAX_CONNECTIONS = 64
_of_thread = threading.local()

Authenticate = Callable[[requests.PreparedRequest], requests.PreparedRequest]


class PrivateAddress(urllib3.exceptions.HTTPError):
    """The connection led to an address that is not public."""


def open_session(
    authenticate: Authenticate, user_agent: str, *, public_only: Callable[[], bool], is_local: bool
) -> requests.Session:
    """Return a session with pooled connections; nothing is sent.

    `public_only` is asked at each new connection whether it may lead to public addresses only.
    With `is_local` no proxy is used.
    """
    session = _Session()
    session.auth = authenticate
    session.headers["User-Agent"] = user_agent
    session.headers["Accept-Encoding"] = "identity"
    # A proxy of the environment cannot reach this machine's loopback.
    session.trust_env = not is_local
    # Cookies would be shared state between threads, and the API needs none.
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    for scheme in ("http://", "https://"):
        session.mount(scheme, Adapter(public_only))
    return session


class Deadline:
    """Cuts the connection of this thread when its time is over, whatever it waits for."""

    def __init__(self, seconds: float) -> None:
        """Prepare a timer; entering the context starts it."""
        self.is_over = False
        self._connection: HTTPConnection | None = None
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    def __enter__(self) -> None:
        """Start the timer."""
        _of_thread.deadline = self
        self._timer.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the timer."""
        self._timer.cancel()
        _of_thread.deadline = None

    def watch_connection(self, connection: HTTPConnection) -> None:
        """Store the connection that this thread uses now."""
        self._connection = connection

    def watch_socket(self, used: socket.socket | None) -> None:
        """Store the socket of the response: its connection may let go of it early."""
        self._socket = used

    def _cut(self) -> None:
        self.is_over = True
        used = self._socket or getattr(self._connection, "sock", None)
        with contextlib.suppress(OSError):
            # Of the plain socket: TLS would forget its state under the reading thread.
            socket.socket.shutdown(used, socket.SHUT_RDWR) if used else None


class Adapter(HTTPAdapter):
    """An HTTP adapter of `requests` whose connections are watched."""

    def __init__(self, public_only: Callable[[], bool]) -> None:
        """Prepare a pool; for `public_only` see `open_session`."""
        self._public_only = public_only
        super().__init__(pool_maxsize=MAX_CONNECTIONS)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Make a pool manager of watched connections."""
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = _pools(self._public_only)

    def proxy_manager_for(self, *args: Any, **options: Any) -> Any:
        """Make a pool manager for a proxy, which decides itself where it connects to."""
        manager = super().proxy_manager_for(*args, **options)
        manager.pool_classes_by_scheme = _pools(lambda: False)
        return manager


class _Session(requests.Session):
    """A session that never looks at redirects: requests would read their whole body for that."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Return none: a download follows redirects itself, and the API has none."""
        del resp
        return None


class _Watched:
    """What both kinds of connection do besides connecting."""

    public_only: Callable[[], bool]

    def _new_conn(self) -> socket.socket:
        made: socket.socket = super()._new_conn()  # type: ignore[misc]
        through_proxy = getattr(self, "proxy", None)
        if self.public_only() and not through_proxy and not is_public(made.getpeername()[0]):
            made.close()
            raise PrivateAddress
        return made

    def putrequest(self, *args: Any, **options: Any) -> None:
        deadline: Deadline | None = getattr(_of_thread, "deadline", None)
        if deadline:
            deadline.watch_connection(self)  # type: ignore[arg-type]
        super().putrequest(*args, **options)  # type: ignore[misc]

    def getresponse(self, *args: Any, **options: Any) -> Any:
        deadline: Deadline | None = getattr(_of_thread, "deadline", None)
        if deadline:
            deadline.watch_socket(getattr(self, "sock", None))
        return super().getresponse(*args, **options)  # type: ignore[misc]


def _pools(public_only: Callable[[], bool]) -> dict[str, type]:
    namespace = {"public_only": staticmethod(public_only)}
    plain = type("_Plain", (_Watched, HTTPConnection), namespace)
    secure = type("_Secure", (_Watched, HTTPSConnection), namespace)
    return {
        "http": type("_PlainPool", (urllib3.HTTPConnectionPool,), {"ConnectionCls": plain}),
        "https": type("_SecurePool", (urllib3.HTTPSConnectionPool,), {"ConnectionCls": secure}),
    }
