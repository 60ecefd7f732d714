"""The hops to the service, one after the other: which one fails, and what to do.

All requests are free. The first two of them tell of every hop to the API: one without the key, and
the list of models, which is how clients test a key now.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Literal
from urllib.parse import urlsplit

from ..siliconflow.client import Client
from ..siliconflow.errors import (
    CertificateFailed,
    Forbidden,
    HostNotFound,
    InvalidKey,
    ProxyFailed,
    RequestError,
)
from ..siliconflow.http.addresses import RESULT_HOSTS
from ..siliconflow.http.connections import trust_variable
from ..siliconflow.resources.models import list_models
from ..storage.settings import BASE_URLS
from ..strings.text import Text, text

MOST_SKEW = 300
"""Seconds that the clock may be off: certificates and the links of results have hours."""
HopName = Literal["name", "proxy", "tls", "api", "key", "results", "clock"]
_AT: tuple[tuple[type[RequestError], HopName], ...] = (
    (HostNotFound, "name"),
    (ProxyFailed, "proxy"),
    (CertificateFailed, "tls"),
    (InvalidKey, "key"),
    (Forbidden, "key"),
)
"""At which hop an error says that the way ends; any other: at the API."""


@dataclass(frozen=True)
class Hop:
    """One hop: whether it is passed, and what was found there; `None`: it was not tried."""

    name: HopName
    is_good: bool | None
    text: Text

    @property
    def label(self) -> Text:
        """The hop's name, as it is shown."""
        return text(f"hop.{self.name}.label")


def walk(client: Client) -> Iterator[Hop]:
    """Yield the hops in order. Every one is there, also those behind one that fails."""
    error, models, date = None, 0, None
    try:
        date = client.reach(f"{client.base_url}/models")
        models = len(list_models(client))
    except RequestError as failed:
        error = failed.for_free_call()
    ends_at = next((hop for kind, hop in _AT if isinstance(error, kind)), "api") if error else None
    host, proxy, variable = urlsplit(client.base_url).hostname, client.proxy, trust_variable()
    passed: dict[HopName, Text] = {
        "name": text("hop.name.by_proxy" if proxy else "hop.name.good", host=host),
        "proxy": text("hop.proxy.good" if proxy else "hop.proxy.none", proxy=proxy),
        "tls": text("hop.tls.named" if variable else "hop.tls.good", variable=variable),
        "api": text("hop.api.good", url=client.base_url),
        "key": text("hop.key.good", n=models),
    }
    if client.base_url.startswith("http://"):
        passed["tls"] = text("hop.tls.none")
    elif date is None and ends_at == "api":  # no answer of any kind: nobody knows
        del passed["tls"]
    if ends_at == "proxy" or (ends_at == "tls" and proxy.startswith("https:")):
        # The proxy was to resolve the name, and the TLS that failed may be its own.
        del passed["name"], passed["proxy"]
    is_behind = False
    for name in ("name", "proxy", "tls", "api", "key"):
        if name == ends_at and error:
            is_behind = True
            yield Hop(name, False, error.text)
        elif is_behind or name not in passed:
            yield Hop(name, None, text("hop.untried_text"))
        else:
            yield Hop(name, True, passed[name])
    # Where no connection leads anywhere, no image would be generated either.
    yield Hop("results", None, text("hop.untried_text")) if date is None else _results(client)
    yield _clock(date)


def _results(client: Client) -> Hop:
    """Try the host of the results; which one a gateway has, nobody knows."""
    if client.base_url not in BASE_URLS.values():
        return Hop("results", None, text("hop.results.unknown"))
    host = urlsplit(RESULT_HOSTS["probe"]).hostname
    try:
        client.reach(RESULT_HOSTS["probe"])
    except RequestError as error:
        says = text("hop.results.bad", host=host, reason=error.failure.message)
        return Hop("results", False, says)
    return Hop("results", True, text("hop.results.good", host=host))


def _clock(date: str | None) -> Hop:
    """Compare the service's clock with this computer's."""
    try:
        skew = time.time() - parsedate_to_datetime(date or "").timestamp()
    except (ValueError, TypeError):
        return Hop("clock", None, text("hop.untried_text"))
    if abs(skew) <= MOST_SKEW:
        return Hop("clock", True, text("hop.clock.good"))
    key = "hop.clock.ahead" if skew > 0 else "hop.clock.behind"
    return Hop("clock", False, text(key, minutes=round(abs(skew) / 60)))
