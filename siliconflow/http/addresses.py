"""Which hosts are this machine, and which are public."""

from __future__ import annotations

import ipaddress
import socket

FAKE_IPS = ipaddress.ip_network("198.18.0.0/15")
"""Proxy tools that answer every name with an address of their own use this range."""

NAT64 = ipaddress.ip_network("64:ff9b::/96")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address is this machine itself."""
    try:
        found = ipaddress.ip_address(host)
        return (getattr(found, "ipv4_mapped", None) or found).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def is_public(host: str) -> bool:
    """Tell whether every address of a host is a public one.

    A name that does not resolve here may do so behind a proxy, and is left to the connection.
    """
    return all(_is_public(address) for address in _addresses(host))


def _addresses(host: str) -> list[str]:
    try:
        return [str(info[4][0]) for info in socket.getaddrinfo(host, None)]
    except (OSError, UnicodeError):
        return ["127.0.0.1"] if host.lower().rstrip(".") == "localhost" else []


def _is_public(address: str) -> bool:
    found = ipaddress.ip_address(address.partition("%")[0])
    return all(_is_plainly_public(item) for item in (found, *_inside(found)))


def _is_plainly_public(found: Address) -> bool:
    if isinstance(found, ipaddress.IPv4Address) and found in FAKE_IPS:
        return True
    local = found.is_multicast or getattr(found, "is_site_local", False)
    mapped = getattr(found, "ipv4_mapped", None)
    return (found.is_global or mapped is not None) and not local


def _inside(found: Address) -> list[Address]:
    """Give the IPv4 addresses that an IPv6 address stands for."""
    if isinstance(found, ipaddress.IPv4Address):
        return []
    hidden = [found.ipv4_mapped, found.sixtofour, *(found.teredo or ())]
    if found in NAT64 or int(found) < 1 << 32:
        hidden.append(ipaddress.IPv4Address(int(found) & 0xFFFFFFFF))
    return [item for item in hidden if item is not None]
