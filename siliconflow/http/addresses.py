"""Which hosts are this machine, and which are public."""

from __future__ import annotations

import ipaddress
import socket

FAKE_IPS = ipaddress.ip_network("198.18.0.0/15")
"""Proxy tools that resolve every name to a made-up address use this range."""

NAT64 = ipaddress.ip_network("64:ff9b::/96")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


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
