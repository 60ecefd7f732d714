"""Where a connection leads: its proxy, the addresses of its name, and the first that answers.

A result must not make ComfyUI reach into its own network, so an address is checked before anything
is sent to it, where the connection really leads. Behind a proxy, which resolves names itself, none
is resolved here.
"""

from __future__ import annotations

import contextlib
import ipaddress
import itertools
import json
import os
import re
import selectors
import socket
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any

import urllib3
from requests.utils import get_environ_proxies, select_proxy

RESULT_HOSTS: dict[str, Any] = json.loads(
    Path(__file__).parent.with_name("service.json").read_text(encoding="utf-8")
)["result_hosts"]
VARIABLE = "SILICONFLOW_RESULT_HOSTS"
"""More such names, separated by commas: each stands for itself and the names below it."""
HEAD_START = 0.25
"""Seconds that an address has before the next one is tried as well (RFC 8305)."""
FAKE_IPS = ipaddress.ip_network("198.18.0.0/15")
"""Proxy tools that resolve every name to a made-up address use this range, which no network has."""
NAT64 = ipaddress.ip_network("64:ff9b::/96")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_CREDENTIALS = re.compile(r"((?:^|\s)(?:\w+://)?|//)\S*@")
_winners: dict[str, str] = {}
"""By host, the address that answered where the resolver's first one did not."""


class PrivateAddress(urllib3.exceptions.HTTPError):
    """The connection would lead to an address that is not public."""


class SlowLookup(socket.gaierror):
    """A name was still being looked up after so many seconds."""

    def __init__(self, seconds: float) -> None:
        """Say so as the resolver would."""
        super().__init__(socket.EAI_AGAIN, f"name lookup took longer than {seconds:g} s")
        self.seconds = seconds


def proxy_of(url: str) -> str:
    """Return the proxy of the environment or the system for a URL, as it may be shown, or ''."""
    proxy = select_proxy(url, get_environ_proxies(url))
    return without_credentials(proxy) if proxy else ""


def without_credentials(message: str) -> str:
    """Return a text without the user names and passwords of URLs in it."""
    return _CREDENTIALS.sub(r"\1", message)


def literal_address(host: str) -> str:
    """Return the address that a host is, however it is written, or '' for a name. Asks nobody."""
    with contextlib.suppress(OSError, UnicodeError):
        return str(socket.getaddrinfo(host, None, flags=socket.AI_NUMERICHOST)[0][4][0])
    name = host.lower().rstrip(".")
    return "127.0.0.1" if name == "localhost" or name.endswith(".localhost") else ""


def is_inside(host: str, timeout: float, *, proxied: bool) -> bool:
    """Return whether a host is on this machine or in a private network."""
    if address := literal_address(host):
        return not is_public(address)
    if not proxied:
        with contextlib.suppress(OSError, UnicodeError):
            infos = look_up(host, None, timeout)
            return not all(may_lead_to(host, str(info[4][0])) for info in infos)
    return False


def may_lead_to(host: str, address: str) -> bool:
    """Return whether a result of this host may be fetched from this address.

    Any public one. A name may resolve to a made-up one, and one of the service's or the operator's
    to any: its certificate proves whom it leads to.
    """
    if is_public(address):
        return True
    if literal_address(host):
        return False
    return _is_listed(host) or _parsed(address) in FAKE_IPS


def is_public(address: str) -> bool:
    """Return whether an address, and any IPv4 address within it, is public."""
    parsed = _parsed(address)
    return all(_is_directly_public(item) for item in (parsed, *_embedded(parsed)))


def connect(
    host: str,
    port: int,
    timeout: float,
    options: Iterable[tuple[int, int, int | bytes]],
    *,
    public_only: bool,
) -> socket.socket:
    """Return a connection to the first address of a host that answers.

    Within so many seconds once the name is looked up, which may take as many. The addresses of
    both families are tried in turn, each with a head start. Raises `OSError`, or
    `PrivateAddress`, with `public_only`, if no address may be connected to.
    """
    families: dict[int, list[Any]] = {}
    for info in look_up(host.strip("[]"), port, timeout):
        if not public_only or may_lead_to(host, str(info[4][0])):
            families.setdefault(info[0], []).append(info)
    if not families:
        raise PrivateAddress
    rounds = itertools.zip_longest(*families.values())
    order = [info for each in rounds for info in each if info]
    order.sort(key=lambda info: info[4][0] != _winners.get(host))
    made, winner = _race(order, timeout, options)
    if winner is not order[0]:
        _winners[host] = winner[4][0]
    return made


def look_up(host: str, port: int | None, timeout: float) -> list[Any]:
    """Return what the resolver says of a host within so many seconds; raise its error.

    Nothing can cut a resolver that hangs: it goes on in a thread that holds up nobody. Raises
    `SlowLookup` then.
    """
    lookup: Future[list[Any]] = Future()

    def run() -> None:
        try:
            lookup.set_result(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except Exception as error:  # noqa: BLE001 - raised where the lookup is waited for
            lookup.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    if not wait([lookup], timeout).done:
        raise SlowLookup(timeout)
    return lookup.result()


def _race(
    order: Sequence[Any], timeout: float, options: Iterable[tuple[int, int, int | bytes]]
) -> tuple[socket.socket, Any]:
    """Connect to each address, all at once by the end; return the first socket that is connected.

    Raises the `OSError` of the last that failed, or `TimeoutError`.
    """
    waiting, next_start = list(order), 0.0
    ends = time.monotonic() + timeout
    error = OSError("no address")
    with selectors.DefaultSelector() as selector, contextlib.ExitStack() as losers:
        while waiting or selector.get_map():
            now = time.monotonic()
            if now >= ends:
                raise TimeoutError("timed out")
            if waiting and now >= next_start:
                info = waiting.pop(0)
                try:
                    trying = losers.enter_context(socket.socket(*info[:3]))
                    for option in options:
                        trying.setsockopt(*option)
                    trying.setblocking(False)
                    with contextlib.suppress(BlockingIOError):
                        trying.connect(info[4])
                except OSError as failed:
                    error = failed
                    continue
                selector.register(trying, selectors.EVENT_WRITE, info)
                next_start = now + HEAD_START
            until = min(ends, next_start) if waiting else ends
            for key, _ in selector.select(max(0.0, until - time.monotonic())):
                made: socket.socket = key.fileobj  # type: ignore[assignment]
                selector.unregister(made)
                code = made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if not code:
                    family, kind, protocol = key.data[:3]
                    first = socket.socket(family, kind, protocol, fileno=made.detach())
                    first.settimeout(timeout)
                    return first, key.data
                words: dict[int, str] = getattr(socket, "errorTab", {})  # Windows
                error, next_start = OSError(code, words.get(code) or os.strerror(code)), 0.0
    raise error


def _is_listed(host: str) -> bool:
    """Return whether a name is one of the service's result hosts, or of the operator's."""
    operator = (name.strip() for name in os.environ.get(VARIABLE, "").lower().split(","))
    names = [name for name in (*RESULT_HOSTS["names"], *operator) if name]
    name = host.lower().rstrip(".")
    return any(name == listed or name.endswith(f".{listed}") for listed in names)


def _parsed(address: str) -> Address:
    return ipaddress.ip_address(address.partition("%")[0])


def _is_directly_public(address: Address) -> bool:
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
