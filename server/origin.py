"""Whose page a request comes from: this ComfyUI's own, or one of another site.

A browser lets a page of any site send requests to this machine. It says whose page it is, but a
site may let its name point here (DNS rebinding), and then passes for the page of this very server.
So whatever arrives on this machine's own address must call it by a name that no other site has.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
from urllib.parse import SplitResult, urlsplit

from ..siliconflow.http.addresses import is_loopback
from ..strings.text import Text
from .answers import OtherSite

VARIABLE = "SILICONFLOW_HOSTS"
"""Names, with commas between, by which a proxy on this machine calls ComfyUI; `*`: any."""
_PORTS = {"http": 80, "https": 443}
_OTHER_SITE = Text(
    "The request comes from a page of another site. Nothing was changed.",
    "请求来自其他网站的页面，未作任何修改。",
)
_UNKNOWN = Text(
    'This ComfyUI does not know itself by the name "{name}". If a proxy or tunnel of yours calls it'
    f" so, add the name to the environment variable {VARIABLE} where ComfyUI is started.",
    "这个 ComfyUI 不认识“{name}”这个主机名。如果这是你的反向代理或隧道的域名，"
    f"请在启动 ComfyUI 的环境变量 {VARIABLE} 中加上它。",
)


def check_host(host: str, arrived_at: str) -> None:
    """Refuse what arrives on a loopback address under a name that another site may have."""
    name = _parts(f"//{host}").hostname or ""
    if is_loopback(arrived_at) and not _is_ours(name.rstrip(".")):
        raise OtherSite(_UNKNOWN.format(name=host[:100]))


def check_origin(origin: str | None, host: str) -> None:
    """Refuse what a page of another site sends: a browser always says whose page it is."""
    if origin is None:
        return
    theirs, ours = _parts(origin), _parts(f"//{host}")
    usual = _PORTS.get(theirs.scheme)
    ports = {theirs.port or usual, ours.port or usual}
    one_port = len(ports) == 1 or _is_listed(str(theirs.hostname))  # a proxy may leave it out
    if usual is None or theirs.hostname != ours.hostname or not one_port:
        raise OtherSite(_OTHER_SITE)


def _parts(url: str) -> SplitResult:
    with contextlib.suppress(ValueError):
        parts = urlsplit(url)
        if parts.hostname and parts.port != 0:  # a port that is no number raises
            return parts
    raise OtherSite(_OTHER_SITE)


def _is_ours(name: str) -> bool:
    with contextlib.suppress(ValueError):
        return bool(ipaddress.ip_address(name))
    own = {"localhost", socket.gethostname().lower()}
    return name in own or name.endswith(".localhost") or _is_listed(name)


def _is_listed(name: str) -> bool:
    known = {item.strip().lower() for item in os.environ.get(VARIABLE, "").split(",")}
    return name in known or "*" in known
