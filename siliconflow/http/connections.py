"""Connections that end in time, that trust whom the system trusts, and that reach where they may.

`requests` bounds each wait for a byte, so that a response whose bytes drip lasts for ever; here a
whole exchange has a deadline, which begins again with each part of a body that leaves.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import lru_cache
from http.cookiejar import DefaultCookiePolicy
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.connection import HTTPConnection, HTTPSConnection

from ...strings.text import text
from ..errors import BadProxy, CertificateFailed, Failure
from .addresses import connect, look_up, without_credentials

MAX_CONNECTIONS = 64
CUT_AGAIN_SECONDS = 0.1
"""Until the next look at an exchange whose time is over: its socket may not have been there."""
BUNDLE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
"""Each names the certificates that are trusted, in place of the system's; the first that is set."""
_SOCKS = re.compile("^socks(4|5|)[ah]?://", re.IGNORECASE)
_SOCKS_SCHEMES = {"4": "socks4a://", "5": "socks5h://", "": "socks5h://"}
_LOG = logging.getLogger("siliconflow")
_of_thread = threading.local()
_spare_trust: deque[ssl.SSLContext] = deque(maxlen=16)
"""Contexts of `truststore` that no handshake uses now: to make one takes some 25 ms."""

Authenticate = Callable[[requests.PreparedRequest], requests.PreparedRequest]


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
    """Cuts the connection of this thread when its time is over, whatever it waits for.

    The time begins again with each part that is sent, so that a slow upload is no slow response.
    """

    def __init__(self, seconds: float, stall: float = 60.0) -> None:
        """Prepare a timer; entering the context starts it.

        `seconds` from the last byte sent to the end of the response; `stall` is the longest that
        one block of a body may take to leave.
        """
        self.is_over = False
        self.stall = stall
        self.seconds = seconds
        self.ends = 0.0
        self._finished = threading.Event()
        self.connection: Any = None
        """The connection on which this thread has begun a request."""
        self.socket: socket.socket | None = None
        """One that is being opened, or that of the response, which its connection may let go of."""

    def __enter__(self) -> None:
        """Start the timer."""
        _of_thread.deadline = self
        self.ends = time.monotonic() + self.seconds
        threading.Thread(target=self._watch, daemon=True).start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the timer."""
        self._finished.set()
        _of_thread.deadline = None

    def _watch(self) -> None:
        while not self._finished.wait(max(self.ends - time.monotonic(), CUT_AGAIN_SECONDS)):
            self.is_over = self.is_over or time.monotonic() >= self.ends
            used = self.socket or getattr(self.connection, "sock", None)
            if self.is_over and used:
                inner = getattr(used, "socket", used)  # where TLS runs within a proxy's TLS
                with contextlib.suppress(OSError):
                    # Of the plain socket: TLS would forget its state under the reading thread.
                    socket.socket.shutdown(inner, socket.SHUT_RDWR)


class Adapter(HTTPAdapter):
    """An HTTP adapter of `requests` whose connections are watched."""

    def __init__(self, public_only: Callable[[], bool]) -> None:
        """Prepare a pool; for `public_only` see `open_session`."""
        self._public_only = public_only
        super().__init__(pool_maxsize=MAX_CONNECTIONS)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Make a pool manager of watched connections."""
        super().init_poolmanager(*args, **options)
        kinds = (_Direct, HTTPConnection, HTTPSConnection)
        self.poolmanager.pool_classes_by_scheme = _pools(self._public_only, *kinds)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Make a pool manager for a proxy, which decides itself where it connects to.

        Raises `BadProxy` for a SOCKS proxy without PySocks.
        """
        # The proxy resolves names, however the system's setting writes it; socks:// is of desktops.
        proxy = _SOCKS.sub(lambda match: _SOCKS_SCHEMES[match.group(1)], proxy)
        if proxy in self.proxy_manager:
            return self.proxy_manager[proxy]
        kinds: tuple[type, ...] = (_Direct, HTTPConnection, HTTPSConnection)
        if proxy.lower().startswith("socks"):
            if not find_spec("socks"):
                shown = without_credentials(proxy)
                raise BadProxy(Failure(text("error.needs_pysocks", proxy=shown)))
            module = import_module("urllib3.contrib.socks")
            kinds = (_ThroughSocks, module.SOCKSConnection, module.SOCKSHTTPSConnection)
        manager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = _pools(lambda: False, *kinds)
        return manager

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Leave the trust to the connection."""
        super().cert_verify(conn, url, verify, cert)  # type: ignore[no-untyped-call]
        conn.ca_certs = None


class _Session(requests.Session):
    """A session that never looks at redirects: requests would read their whole body for that."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Return none: a download follows redirects itself, and the API has none."""
        del resp
        return None

    def merge_environment_settings(self, *args: Any, **options: Any) -> Any:
        """Leave the variables that name certificates to the connection, and OpenSSL's own, too."""
        return {**super().merge_environment_settings(*args, **options), "verify": True}


class _Watched:
    """What every kind of connection does besides connecting."""

    proxy_config: Any
    sock: socket.socket | None
    ssl_context: ssl.SSLContext | None

    def connect(self) -> None:
        deadline = _deadline()
        if deadline:
            deadline.socket = None
        try:
            with contextlib.ExitStack() as lent:
                if getattr(self, "cert_reqs", None):
                    self.ssl_context = lent.enter_context(_trust())
                    if self.proxy_config:  # a proxy may be behind TLS of its own
                        options = {"ssl_context": self.ssl_context}
                        self.proxy_config = self.proxy_config._replace(**options)
                super().connect()  # type: ignore[misc]
        except (OSError, urllib3.exceptions.HTTPError) as error:
            if deadline and deadline.is_over:  # a cut looks like a proxy or a host that hangs up
                raise urllib3.exceptions.ConnectTimeoutError("timed out") from error
            raise
        finally:
            if deadline and deadline.socket:
                deadline.socket.close()
                deadline.socket = None

    def _new_conn(self) -> socket.socket:
        try:
            made = self._open()
        except OSError as error:
            this: Any = self
            cause = getattr(error, "socket_err", None) or error
            if isinstance(cause, TimeoutError):
                raise urllib3.exceptions.ConnectTimeoutError(str(cause)) from error
            raise urllib3.exceptions.NewConnectionError(this, str(cause)) from error
        if deadline := _deadline():  # TLS, which is still to come, takes the socket away
            deadline.socket = made.dup()
        return made

    def _open(self) -> socket.socket:
        raise NotImplementedError

    def _tunnel(self) -> None:
        super()._tunnel()  # type: ignore[misc]
        if (deadline := _deadline()) and deadline.is_over:  # a cut within the headers ends them
            raise TimeoutError("timed out")

    def putrequest(self, *args: Any, **options: Any) -> None:
        deadline = _deadline()
        if deadline:
            deadline.connection = self
        super().putrequest(*args, **options)  # type: ignore[misc]

    def send(self, data: Any) -> None:
        deadline = _deadline()
        if deadline and deadline.connection is self and self.sock:  # not what opens a tunnel
            self.sock.settimeout(deadline.stall)
        super().send(data)  # type: ignore[misc]
        if deadline:
            deadline.ends = time.monotonic() + deadline.seconds

    def getresponse(self, *args: Any, **options: Any) -> Any:
        deadline = _deadline()
        if deadline:
            deadline.socket = self.sock
        return super().getresponse(*args, **options)  # type: ignore[misc]


class _Direct(_Watched):
    """A connection to the host itself, or to an HTTP proxy."""

    public_only: Callable[[], bool]

    def _open(self) -> socket.socket:
        this: Any = self
        return connect(
            this._dns_host,  # noqa: SLF001 - the name with its final dot
            this.port,
            this.timeout,
            this.socket_options or (),
            public_only=self.public_only(),
        )


class _ThroughSocks(_Watched):
    """A connection through a SOCKS proxy, which PySocks would open where no deadline sees it."""

    def _open(self) -> socket.socket:
        this: Any = self
        proxy, socks = this._socks_options, import_module("socks")  # noqa: SLF001 - of urllib3
        host, port = proxy["proxy_host"].strip("[]"), proxy["proxy_port"]
        failed: OSError = OSError("no address")
        for info in look_up(host, port, this.timeout):
            made: socket.socket = socks.socksocket(*info[:3])
            try:
                if deadline := _deadline():
                    deadline.socket = made
                for option in this.socket_options or ():
                    made.setsockopt(*option)
                made.settimeout(this.timeout)
                made.set_proxy(  # type: ignore[attr-defined]
                    proxy["socks_version"],
                    info[4][0],
                    port,
                    proxy["rdns"],
                    proxy["username"],
                    proxy["password"],
                )
                made.connect((this.host.strip("[]"), this.port))
            except OSError as error:
                made.close()
                failed = error
            else:
                return made
        raise failed


def _deadline() -> Deadline | None:
    """Return the deadline of this thread's exchange."""
    return getattr(_of_thread, "deadline", None)


def trust_variable() -> str:
    """Return the name of the variable that says which certificates are trusted, or ''."""
    return next((name for name in BUNDLE_VARIABLES if os.environ.get(name)), "")


@contextlib.contextmanager
def _trust() -> Iterator[ssl.SSLContext]:
    """Lend a context for one handshake: it trusts what a variable names, else the system's store.

    Those of `truststore`, which judges by the system's own rules, are locked during a handshake:
    none is lent to two connections at a time. Raises `CertificateFailed` if what a variable names
    cannot be read.
    """
    variable = trust_variable()
    path = os.environ.get(variable, "")
    if path or not find_spec("truststore"):
        try:
            context = _shared_trust(path, Path(path).stat().st_mtime if path else 0)
        except OSError as error:
            if not path:
                raise
            names = {"variable": variable, "file": path, "reason": error.strerror}
            raise CertificateFailed(Failure(text("error.no_bundle", **names))) from error
        yield context
        return
    try:
        context = _spare_trust.pop()
    except IndexError:
        context = import_module("truststore").SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)
    yield context
    _spare_trust.append(context)


@lru_cache(maxsize=2)
def _shared_trust(path: str, _changed: float) -> ssl.SSLContext:
    """Return a context for all connections that trusts what a file or folder holds.

    Without a path, whom the system or certifi trusts. urllib3's own would be strict about the form
    of a CA, as those of many companies are not.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if not path:
        try:
            context.load_default_certs()
        except ssl.SSLError as error:  # one damaged certificate in Windows' store is enough
            _LOG.warning("the system's certificates cannot be read: %s", error)
    path = path or DEFAULT_CA_BUNDLE_PATH
    context.load_verify_locations(**{"capath" if Path(path).is_dir() else "cafile": path})
    # urllib3 would set it again for each connection, while other threads read it.
    context.set_alpn_protocols(["http/1.1"])
    context.set_alpn_protocols = lambda alpn_protocols: None  # type: ignore[method-assign]  # noqa: ARG005
    return context


def _pools(
    public_only: Callable[[], bool], watched: type, plain: type, secure: type
) -> dict[str, type]:
    namespace = {"public_only": staticmethod(public_only)}
    http = type("_Plain", (watched, plain), namespace)
    https = type("_Secure", (watched, secure), namespace)
    return {
        "http": type("_PlainPool", (urllib3.HTTPConnectionPool,), {"ConnectionCls": http}),
        "https": type("_SecurePool", (urllib3.HTTPSConnectionPool,), {"ConnectionCls": https}),
    }
