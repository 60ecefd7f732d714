"""Connections that end in time, and that reach only where they may.

`requests` bounds each wait for a byte, so that a response whose bytes drip lasts for ever; here a
whole exchange has a deadline. And an address is checked where the connection really leads, not
where its name led when somebody looked it up.
"""

from __future__ import annotations

import contextlib
import ipaddress
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

MAX_CONNECTIONS = 64
FAKE_IPS = ipaddress.ip_network("198.18.0.0/15")
"""Proxy tools that resolve every name to a made-up address use this range."""
NAT64 = ipaddress.ip_network("64:ff9b::/96")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
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


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is this machine."""
    try:
        address = ipaddress.ip_address(host)
        return (getattr(address, "ipv4_mapped", None) or address).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def is_public(host: str) -> bool:
    """Return whether every address of a host is public.

    A name that does not resolve here may resolve behind a proxy, and counts as public: the
    connection checks it again.
    """
    return all(_is_public(address) for address in _addresses(host))


def _addresses(host: str) -> list[str]:
    try:
        return [str(info[4][0]) for info in socket.getaddrinfo(host, None)]
    except (OSError, UnicodeError):
        return ["127.0.0.1"] if host.lower().rstrip(".") == "localhost" else []


def _is_public(text: str) -> bool:
    address = ipaddress.ip_address(text.partition("%")[0])
    return all(_is_directly_public(item) for item in (address, *_embedded(address)))


def _is_directly_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv4Address) and address in FAKE_IPS:
        return True
    is_local = address.is_multicast or getattr(address, "is_site_local", False)
    mapped = getattr(address, "ipv4_mapped", None)
    return (address.is_global or mapped is not None) and not is_local


def _embedded(address: Address) -> list[Address]:
    """Return the IPv4 addresses that an IPv6 address leads to."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    embedded = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in NAT64 or int(address) < 1 << 32:
        embedded.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return [item for item in embedded if item is not None]
