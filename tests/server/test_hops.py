"""Each hop to the service: which one fails, and what to do, on the command line and the page."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from comfyui_siliconflow.__main__ import main
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.siliconflow.http.connections import BUNDLE_VARIABLES
from comfyui_siliconflow.tests.server.conftest import Page
from comfyui_siliconflow.tests.siliconflow.network import API, RESULTS, Proxy, Service

HOPS = ["name", "proxy", "tls", "api", "key", "results", "clock"]
Way = tuple[Service, Proxy, pytest.MonkeyPatch]


@pytest.fixture
def way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address_of_the_site: None
) -> Iterator[Way]:
    """Lead to the service's own address, through a proxy that ends at a service on loopback."""
    del address_of_the_site
    for name in BUNDLE_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    service = Service(tmp_path)
    proxy = Proxy(service.port)
    monkeypatch.setenv("SILICONFLOW_API_KEY", "sk-0123456789abcdefghij")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(service.ca_file))
    monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.address}")
    yield service, proxy, monkeypatch
    proxy.close()
    service.close()


def nothing(_service: Service, _proxy: Proxy, _patch: pytest.MonkeyPatch) -> None:
    """Break nothing."""


def no_such_name(_service: Service, _proxy: Proxy, patch: pytest.MonkeyPatch) -> None:
    patch.delenv("HTTPS_PROXY")
    patch.setenv("SILICONFLOW_BASE_URL", "https://api.siliconflow.invalid/v1")


def no_connection(_service: Service, _proxy: Proxy, patch: pytest.MonkeyPatch) -> None:
    patch.delenv("HTTPS_PROXY")
    patch.setenv("SILICONFLOW_BASE_URL", "https://127.0.0.1:1/v1")


def no_proxy(_service: Service, proxy: Proxy, _patch: pytest.MonkeyPatch) -> None:
    proxy.refused |= {API, RESULTS}


def dead_proxy(_service: Service, _proxy: Proxy, patch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    patch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")


def untrusted_proxy(service: Service, proxy: Proxy, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(proxy, "tls", service.tls_of("127.0.0.1"))
    patch.setenv("HTTPS_PROXY", f"https://{proxy.address}")
    patch.delenv("REQUESTS_CA_BUNDLE")


def no_trust(_service: Service, _proxy: Proxy, patch: pytest.MonkeyPatch) -> None:
    patch.delenv("REQUESTS_CA_BUNDLE")


def status(code: int) -> Callable[..., None]:
    def answer(service: Service, _proxy: Proxy, _patch: pytest.MonkeyPatch) -> None:
        service.status = code

    return answer


def no_results(_service: Service, proxy: Proxy, _patch: pytest.MonkeyPatch) -> None:
    proxy.refused.add(RESULTS)


def late_clock(service: Service, _proxy: Proxy, _patch: pytest.MonkeyPatch) -> None:
    service.skew = 7200


BROKEN: dict[str, tuple[Callable[..., None], str, str]] = {
    "nothing": (nothing, "+++++++", ""),
    "the name": (no_such_name, "-?????", "the name api.siliconflow.invalid cannot be resolved"),
    "the connection": (no_connection, "++?-???", "Check your network"),
    "the proxy": (no_proxy, "?-?????", "Check that the proxy is running"),
    "the proxy, which is dead": (dead_proxy, "?-?????", "Check that the proxy is running"),
    "the proxy's certificate": (untrusted_proxy, "??-????", "certificate of https://127.0.0.1:"),
    "the certificate": (no_trust, "++-????", "SSL_CERT_FILE"),
    "the API": (status(404), "+++-?++", "SILICONFLOW_BASE_URL"),
    "the key": (status(401), "++++-++", "Check the key"),
    "the result host": (no_results, "+++++-+", "but could not be downloaded here"),
    "the clock": (late_clock, "++++++-", "120 minutes behind"),
}
"""What is broken: how, what comes of each hop (`?`: not tried), and words of what is said."""


@pytest.mark.parametrize("broken", BROKEN)
def test_the_page_is_told_of_every_hop_which_one_fails(way: Way, page: Page, broken: str) -> None:
    break_it, outcome, words = BROKEN[broken]
    break_it(*way)
    hops = page.post("/connection/test")["hops"]
    signs = {True: "+", False: "-", None: "?"}
    assert [hop["name"] for hop in hops] == HOPS
    assert "".join(signs[hop["good"]] for hop in hops).startswith(outcome)
    failed = " ".join(hop["text"]["en"] for hop in hops if hop["good"] is False)
    assert words in failed
    assert bool(failed) == (broken != "nothing")
    assert not any(hop["label"]["zh"].isascii() for hop in hops if hop["name"] != "api")


@pytest.mark.parametrize(
    "broken", ["nothing", "the key", "the result host", "the proxy, which is dead"]
)
def test_the_command_line_prints_every_hop_and_fails_with_one(
    way: Way, capsys: pytest.CaptureFixture[str], broken: str
) -> None:
    break_it, outcome, words = BROKEN[broken]
    break_it(*way)
    assert main(["check"]) == int(broken != "nothing")
    printed = capsys.readouterr()
    assert printed.out.count("[ok]") == outcome.count("+")
    assert printed.out.count("[FAILED]") == outcome.count("-")
    assert words in printed.out
    assert printed.err == ""
    assert "sk-0123456789abcdefghij" not in printed.out


def test_a_key_can_be_tested_before_it_is_saved(way: Way, page: Page) -> None:
    del way
    hops = page.post("/connection/test", {"key": "sk-another", "site": "cn"})["hops"]
    assert all(hop["good"] for hop in hops)
    assert page.get("/settings")["key"]["last4"] == "ghij"


def test_at_another_address_it_is_not_known_where_results_are(
    page: Page, simulator: Simulator
) -> None:
    hops: dict[str, Any] = {hop["name"]: hop for hop in page.post("/connection/test")["hops"]}
    assert hops["results"]["good"] is None
    assert hops["key"]["good"] is True
    assert str(len(simulator.models.all)) in hops["key"]["text"]["en"]
