"""Whether a request comes from this ComfyUI's own page, or from another origin.

A browser lets any site send requests to this machine. The `Origin` header says which site it is,
but an attacker can point a domain of theirs at this machine (DNS rebinding); their page then has
the same origin as this server. So a request that arrives on a loopback address must name a host
that no other site can have.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
from urllib.parse import SplitResult, urlsplit

from ..storage.settings import is_loopback
from ..strings.text import text
from .page_http import OtherSite

VARIABLE = "SILICONFLOW_HOSTS"
"""Host names, separated by commas, by which a proxy on this machine calls ComfyUI; `*`: any."""
TUNNELS = (
    "trycloudflare.com",
    "ngrok.io",
    "ngrok.app",
    "ngrok.dev",
    "ngrok-free.app",
    "ngrok-free.dev",
    "googleusercontent.com",
    "colab.dev",
    "ts.net",
    "gradio.live",
    "loca.lt",
    "lhr.life",
    "serveo.net",
    "devtunnels.ms",
    "app.github.dev",
    "proxy.runpod.net",
)
"""Domains of tunnels (as of 2026-11). Their operators resolve every name below them to their own
servers, so nobody can point one at this machine."""
_DEFAULT_PORTS = {"http": 80, "https": 443}


def check_host(host: str, local_address: str) -> None:
    """Raise `OtherSite` if a request to a loopback address names a host of another site."""
    name = (_parse(f"//{host}").hostname or "").rstrip(".")
    if is_loopback(local_address) and not _is_own_name(name):
        raise OtherSite(text("server.unknown_host", name=name[:100], variable=VARIABLE))


def check_origin(origin: str | None, host: str) -> None:
    """Raise `OtherSite` if the origin is not this server's. Programs send no origin."""
    if origin is None:
        return
    sender, server = _parse(origin), _parse(f"//{host}")
    default_port = _DEFAULT_PORTS.get(sender.scheme)
    ports = {sender.port or default_port, server.port or default_port}
    # Some proxies leave the port out of `Host`.
    is_same_port = len(ports) == 1 or _is_listed(str(sender.hostname))
    if default_port is None or sender.hostname != server.hostname or not is_same_port:
        raise OtherSite(text("server.other_origin"))


def _parse(url: str) -> SplitResult:
    with contextlib.suppress(ValueError):
        parts = urlsplit(url)
        if parts.hostname and parts.port != 0:  # `port` raises `ValueError` if it is no number
            return parts
    raise OtherSite(text("server.other_origin"))


def _is_own_name(name: str) -> bool:
    with contextlib.suppress(ValueError):
        return bool(ipaddress.ip_address(name))
    own = {"localhost", socket.gethostname().lower()}
    below = (".localhost", *(f".{domain}" for domain in TUNNELS))
    return name in own or name.endswith(below) or _is_listed(name)


def _is_listed(name: str) -> bool:
    names = {item.strip().lower() for item in os.environ.get(VARIABLE, "").split(",")}
    return name in names or "*" in names
