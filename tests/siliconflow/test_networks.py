"""Networks as users have them: proxies, companies' certificates, fake addresses, slow uploads."""

from __future__ import annotations

import os
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
import requests
import truststore
import urllib3
from comfyui_siliconflow.siliconflow import errors
from comfyui_siliconflow.siliconflow.client import Client
from comfyui_siliconflow.siliconflow.http import addresses, connections, downloads
from comfyui_siliconflow.siliconflow.http.connections import BUNDLE_VARIABLES, Adapter, Deadline
from comfyui_siliconflow.siliconflow.http.downloads import check_url
from comfyui_siliconflow.tests.siliconflow.network import API, REPLY, RESULTS, Proxy, Service, deaf
from comfyui_siliconflow.tests.waiting import LONGEST, until

BODY = {"model": "vendor/model", "prompt": "x"}
URL = f"https://{API}/v1"
Resolver = dict[str, list[str]]
several_loopbacks = pytest.mark.skipif(
    sys.platform == "darwin", reason="of 127.0.0.0/8, macOS has 127.0.0.1 alone"
)


@pytest.fixture(autouse=True)
def plain_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the developer's own network, and what another test trusted, out of every test."""
    for name in BUNDLE_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(downloads, "WAITS", (0, 0, 0))
    monkeypatch.setattr(addresses, "_winners", {})
    monkeypatch.setattr(connections, "_spare_trust", deque())
    connections._shared_trust.cache_clear()  # noqa: SLF001


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Resolver:
    """Resolve these names alone; what is written as an address needs no resolver."""
    known: Resolver = {}
    original = socket.getaddrinfo

    def resolve(host: Any, port: Any, *given: int, **named: int) -> Any:
        addresses = []
        for address in () if named.get("flags") else known.get(host, ()):
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            addresses.append((family, socket.SOCK_STREAM, 6, "", (address, int(port or 0))))
        if addresses:
            return addresses
        return original(host, port, *given, **{**named, "flags": socket.AI_NUMERICHOST})

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return known


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """Serve the API and its results behind TLS."""
    started = Service(tmp_path)
    yield started
    started.close()


@pytest.fixture
def trusted(service: Service, monkeypatch: pytest.MonkeyPatch) -> Service:
    """Trust the service's CA."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(service.ca_file))
    return service


@pytest.fixture(params=["truststore", "OpenSSL"])
def system_trust(
    request: pytest.FixtureRequest, service: Service, monkeypatch: pytest.MonkeyPatch
) -> list[object]:
    """Let the service's CA be in what truststore, or OpenSSL without it, calls the system's store.

    Return the contexts that are made.
    """
    made: list[object] = []

    def load(context: ssl.SSLContext, *_: object) -> None:
        context.load_verify_locations(str(service.ca_file))
        made.append(context)

    class Trusting(truststore.SSLContext):
        def __init__(self, protocol: int) -> None:
            super().__init__(protocol)
            load(self)

    if request.param == "truststore":
        monkeypatch.setattr(truststore, "SSLContext", Trusting)
    else:
        monkeypatch.setitem(sys.modules, "truststore", None)
        monkeypatch.setattr(ssl.SSLContext, "load_default_certs", load)
    return made


@pytest.fixture
def proxy(service: Service) -> Iterator[Proxy]:
    """Lead everything to the service."""
    started = Proxy(service.port)
    yield started
    started.close()


@pytest.fixture
def closed_port() -> int:
    """Return a port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def unsent(client: Client) -> errors.NotConnected:
    """Send a paid request, which must fail unsent; return its error."""
    with pytest.raises(errors.NotConnected) as caught:
        client.post("images/generations", BODY)
    assert caught.value.charged is False
    assert caught.value.failure.model == "vendor/model"
    assert "othing was charged" in str(caught.value)
    return caught.value


class TestProxies:
    """SOCKS of each kind and HTTP's CONNECT, to a service behind TLS."""

    @pytest.mark.usefixtures("resolver")
    @pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
    @pytest.mark.parametrize("scheme", ["http", "socks5h", "socks5", "socks4a", "SOCKS"])
    def test_requests_and_downloads_go_through_the_proxy_which_resolves_the_names(
        self,
        trusted: Service,
        proxy: Proxy,
        variable: str,
        scheme: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv(variable, f"{scheme}://{proxy.address}")
        client = Client("sk-x", URL)
        client.post("images/generations", BODY)
        assert client.download(f"https://{RESULTS}/a") == REPLY
        assert proxy.asked == [f"{API}:443", f"{RESULTS}:443"]
        assert trusted.requests == [f"POST {API}/v1/images/generations", f"GET {RESULTS}/a"]

    @pytest.mark.usefixtures("resolver")
    @pytest.mark.parametrize("scheme", ["http", "socks4"])
    def test_the_system_s_own_setting_is_used(
        self, trusted: Service, proxy: Proxy, scheme: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Windows names a SOCKS proxy by the scheme socks4."""
        proxies = {"https": f"{scheme}://{proxy.address}"}
        monkeypatch.setattr(requests.utils, "getproxies", lambda: proxies)
        Client("sk-x", URL).post("images/generations", BODY)
        assert proxy.asked == [f"{API}:443"]
        assert len(trusted.requests) == 1

    @pytest.mark.usefixtures("resolver", "trusted")
    def test_a_socks_proxy_may_want_a_name_and_a_password(
        self, service: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        proxy = Proxy(service.port, "me:se cret")
        monkeypatch.setenv("ALL_PROXY", f"socks5h://me:se%20cret@{proxy.address}")
        Client("sk-x", URL).post("images/generations", BODY)
        assert len(service.requests) == 1
        monkeypatch.setenv("ALL_PROXY", f"socks5h://me:wrong@{proxy.address}")
        error = unsent(Client("sk-x", URL))
        assert isinstance(error, errors.ProxyFailed)
        assert "wrong" not in str(error)
        assert len(service.requests) == 1
        proxy.close()

    def test_without_pysocks_the_error_names_the_package_and_the_proxy_is_not_asked(
        self, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "socks", None)
        monkeypatch.setenv("ALL_PROXY", f"socks5h://me:secret@{proxy.address}")
        error = unsent(Client("sk-x", URL))
        assert isinstance(error, errors.BadProxy)
        assert not error.retryable
        assert "pip install PySocks" in str(error)
        assert f"socks5h://{proxy.address} is a SOCKS proxy" in str(error)
        assert "secret" not in str(error)
        with pytest.raises(errors.DownloadFailed, match="PySocks"):
            Client("sk-x", URL).download(f"https://{RESULTS}/a")
        assert proxy.asked == []

    @pytest.mark.parametrize("scheme", ["http://", "socks5h://", ""])
    def test_a_proxy_that_is_not_there_is_named_without_its_password(
        self, closed_port: int, scheme: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        user = "me:secret@" if scheme else ""
        monkeypatch.setenv("ALL_PROXY", f"{scheme}{user}127.0.0.1:{closed_port}")
        error = unsent(Client("sk-x", URL))
        assert type(error) is errors.ProxyFailed
        assert f"reached: through the proxy {scheme}127.0.0.1:{closed_port}: " in str(error)
        assert "secret" not in str(error)

    @pytest.mark.parametrize("scheme", ["http", "socks5h"])
    def test_a_proxy_that_says_nothing_is_told_in_words(
        self, scheme: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            address = f"127.0.0.1:{listener.getsockname()[1]}"
            monkeypatch.setenv("HTTPS_PROXY", f"{scheme}://{address}")
            error = unsent(Client("sk-x", URL, connect_timeout=0.2, read_timeout=0.2))
        assert type(error) is errors.ProxyFailed
        [reason] = re.findall(rf"{address}: (.*)", str(error))
        assert "timed out" in reason
        assert not reason.startswith("(")

    @pytest.mark.parametrize(
        "address",
        [
            "socks6://me:secret@127.0.0.1:1",
            "http://",
            "http://me:secret@[::1",
            "me:se/cr@t@[::1",
            "me:secret@127.0.0.1:1",
            "http://a:b:c",
        ],
    )
    def test_a_proxy_setting_that_is_none_is_told_as_such(
        self, address: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HTTPS_PROXY", address)
        error = unsent(Client("sk-x", URL))
        assert type(error) is errors.BadProxy
        assert not any(part in str(error) for part in ("me:", "secret", "se/cr", "@"))


class TestSlowOpenings:
    """Proxies whose every byte comes in time, and the whole of them never."""

    @pytest.mark.parametrize(
        ("way", "first", "then"),
        [
            ("http", b"", b"HTTP/1.1 200 OK\r\nX: "),
            ("socks5h", b"\5\0", b"\5\0\0\3\xff"),
        ],
    )
    def test_an_opening_that_drips_is_cut_when_the_time_is_over(
        self, way: str, first: bytes, then: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        was_cut: Future[bool] = Future()

        def drip() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(3)
                connection.sendall(first)
                try:
                    for byte in then + bytes(100):
                        connection.sendall(bytes([byte]))
                        time.sleep(0.05)
                except OSError:
                    was_cut.set_result(True)
                else:
                    was_cut.set_result(False)

        with socket.create_server(("127.0.0.1", 0)) as listener:
            address = f"127.0.0.1:{listener.getsockname()[1]}"
            threading.Thread(target=drip, daemon=True).start()
            monkeypatch.setenv("HTTPS_PROXY", f"{way}://{address}")
            error = unsent(Client("sk-x", URL, connect_timeout=0.5, read_timeout=0.5))
            assert was_cut.result(LONGEST)
            assert "timed out" in str(error)


class TestUnsent:
    """Whatever is raised before the last byte of a body leaves."""

    @pytest.mark.parametrize(
        "raised",
        [
            requests.exceptions.InvalidSchema("no adapter"),
            urllib3.exceptions.LocationParseError("x"),
            ImportError("no module"),
            ValueError("a value"),
            TypeError("an argument"),
            RuntimeError("anything"),
        ],
        ids=lambda raised: type(raised).__name__,
    )
    def test_what_an_adapter_raises_is_told_as_not_sent_and_not_sent_again(
        self, raised: Exception, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_: Any, **__: Any) -> Any:
            raise raised

        monkeypatch.setattr(Adapter, "send", broken)
        error = unsent(Client("sk-x", URL))
        assert type(error) is errors.NotSent
        assert not error.retryable

    def test_a_host_that_no_name_can_have_is_told_as_not_sent(self) -> None:
        assert type(unsent(Client("sk-x", f"https://{'a' * 70}.cn/v1"))) is errors.NotSent

    def test_a_value_that_json_cannot_write_is_told_as_not_sent(self) -> None:
        with pytest.raises(errors.NotSent, match="Nothing was sent"):
            Client("sk-x", URL).post("images/generations", {**BODY, "cfg": float("nan")})

    @pytest.mark.usefixtures("resolver")
    def test_a_name_that_does_not_resolve_is_named(self) -> None:
        error = unsent(Client("sk-x", URL))
        assert type(error) is errors.HostNotFound
        assert f"the name {API} cannot be resolved" in str(error)

    def test_a_body_that_breaks_off_before_its_last_byte_is_not_told_as_charged(self) -> None:
        """What was received of it is no JSON: nobody can have acted on it."""
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def reset() -> None:
                connection, _ = listener.accept()
                connection.recv(1)
                connection.close()

            threading.Thread(target=reset, daemon=True).start()
            client = Client("sk-x", f"http://127.0.0.1:{listener.getsockname()[1]}/v1")
            with pytest.raises(errors.UploadInterrupted, match="did not arrive in full"):
                client.post("x", BODY, {"image": b"A" * (32 << 20)})

    def test_a_mistake_of_ours_after_the_request_left_is_not_told_as_unsent(
        self, serve: Any, answer: Any
    ) -> None:
        def mistake(_: object) -> None:
            raise TypeError

        with pytest.raises(TypeError):
            Client("sk-x", serve(answer()).address).post_for_stream("x", BODY, mistake)


class TestCertificates:
    """A CA of a company's own."""

    @pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
    def test_a_variable_names_the_certificates_to_trust(
        self, service: Service, proxy: Proxy, variable: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.address}")
        monkeypatch.setenv(variable, str(service.ca_file))
        client = Client("sk-x", URL)
        client.post("images/generations", BODY)
        assert client.download(f"https://{RESULTS}/a") == REPLY

    @pytest.mark.parametrize("scheme", ["http", "socks5h"])
    def test_without_it_the_error_names_host_and_variables_and_nothing_is_sent(
        self, service: Service, proxy: Proxy, scheme: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HTTPS_PROXY", f"{scheme}://{proxy.address}")
        error = unsent(Client("sk-x", URL))
        assert type(error) is errors.CertificateFailed
        assert f"the certificate of {API} is not trusted" in str(error)
        for word in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "truststore"):
            assert word in str(error)
        with pytest.raises(errors.DownloadFailed, match=f"the certificate of {RESULTS} is not"):
            Client("sk-x", URL).download(f"https://{RESULTS}/a")
        assert service.requests == []

    @pytest.mark.parametrize("variable", BUNDLE_VARIABLES)
    @pytest.mark.parametrize("content", ["", "no certificate", None])
    def test_a_variable_that_names_nothing_that_can_be_read_is_told(
        self, variable: str, content: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        bundle = tmp_path / "bundle.pem"
        if content is not None:
            bundle.write_text(content)
        monkeypatch.setenv(variable, str(bundle))
        error = unsent(Client("sk-x", URL))
        assert type(error) is errors.CertificateFailed
        assert f"{variable} names {bundle}, which cannot be read (" in str(error)
        with pytest.raises(errors.DownloadFailed, match=f"{variable} names"):
            Client("sk-x", URL).download(f"https://{RESULTS}/a")

    def test_a_variable_in_use_is_named_where_its_certificates_do_not_suffice(
        self, resolver: Resolver, service: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        resolver[API] = ["127.0.0.1"]
        monkeypatch.setenv("SSL_CERT_FILE", requests.utils.DEFAULT_CA_BUNDLE_PATH)
        error = unsent(Client("sk-x", f"https://{API}:{service.port}/v1"))
        assert "SSL_CERT_FILE names the trusted certificates" in str(error)

    @pytest.mark.usefixtures("system_trust")
    def test_the_system_s_store_is_trusted(self, resolver: Resolver, service: Service) -> None:
        resolver[API] = ["127.0.0.1"]
        Client("sk-x", f"https://{API}:{service.port}/v1").post("images/generations", BODY)
        assert len(service.requests) == 1

    def test_a_store_that_cannot_be_read_is_no_reason_not_to_connect(
        self,
        resolver: Resolver,
        service: Service,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """One damaged certificate in Windows' store: others are trusted still."""

        def damaged(*_: object) -> None:
            raise ssl.SSLError("not enough data")

        monkeypatch.setitem(sys.modules, "truststore", None)
        monkeypatch.setattr(ssl.SSLContext, "load_default_certs", damaged)
        monkeypatch.setattr(connections, "DEFAULT_CA_BUNDLE_PATH", str(service.ca_file))
        resolver[API] = ["127.0.0.1"]
        Client("sk-x", f"https://{API}:{service.port}/v1").post("images/generations", BODY)
        assert "not enough data" in caplog.text
        assert len(service.requests) == 1

    @pytest.mark.parametrize("system_trust", ["truststore"], indirect=True)
    def test_connections_one_after_the_other_make_one_context_of_truststore(
        self, resolver: Resolver, service: Service, system_trust: list[object]
    ) -> None:
        resolver[API] = ["127.0.0.1"]
        for _ in range(5):
            Client("sk-x", f"https://{API}:{service.port}/v1").post("images/generations", BODY)
        assert len(service.requests) == 5
        assert len(system_trust) == 1

    def test_connections_that_are_opened_at_once_share_no_context_of_truststore(self) -> None:
        """It is locked while one of them waits for its host."""
        with connections._trust() as one, connections._trust() as other:  # noqa: SLF001
            assert one is not other
        with connections._trust() as again:  # noqa: SLF001
            assert again in (one, other)

    def test_certificates_that_were_replaced_are_read_again(
        self, resolver: Resolver, service: Service, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        bundle = tmp_path / "bundle.pem"
        bundle.write_bytes(Path(requests.utils.DEFAULT_CA_BUNDLE_PATH).read_bytes())
        os.utime(bundle, (1, 1))
        monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
        resolver[API] = ["127.0.0.1"]
        client = Client("sk-x", f"https://{API}:{service.port}/v1")
        assert type(unsent(client)) is errors.CertificateFailed
        bundle.write_bytes(service.ca_file.read_bytes())
        client.post("images/generations", BODY)
        assert len(service.requests) == 1


class TestProxiesBehindTls:
    """Proxies whose address begins with https://, with a certificate of the company's CA."""

    @pytest.fixture
    def proxy(self, service: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
        """Lead everything to the service, once TLS is agreed on."""
        started = Proxy(service.port, tls=service.tls_of("127.0.0.1"))
        monkeypatch.setenv("HTTPS_PROXY", f"https://{started.address}")
        yield started
        started.close()

    @pytest.mark.parametrize("variable", BUNDLE_VARIABLES)
    def test_what_a_variable_names_is_trusted_for_the_proxy_too(
        self, service: Service, proxy: Proxy, variable: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(variable, str(service.ca_file))
        client = Client("sk-x", URL)
        client.post("images/generations", BODY)
        assert client.download(f"https://{RESULTS}/a") == REPLY
        assert proxy.asked == [f"{API}:443", f"{RESULTS}:443"]

    @pytest.mark.usefixtures("system_trust")
    def test_the_system_s_store_is_trusted_for_the_proxy_too(self, proxy: Proxy) -> None:
        Client("sk-x", URL).post("images/generations", BODY)
        assert proxy.asked == [f"{API}:443"]

    def test_without_either_the_error_names_the_proxy_which_is_asked_for_nothing(
        self, proxy: Proxy
    ) -> None:
        error = unsent(Client("sk-x", URL))
        assert type(error) is errors.CertificateFailed
        assert f"the certificate of https://{proxy.address} is not trusted" in str(error)
        with pytest.raises(errors.DownloadFailed, match=f"certificate of https://{proxy.address}"):
            Client("sk-x", URL).download(f"https://{RESULTS}/a")
        assert proxy.asked == []

    def test_a_response_that_drips_is_cut_at_its_deadline(
        self, service: Service, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        del proxy
        monkeypatch.setenv("SSL_CERT_FILE", str(service.ca_file))
        service.drips = True
        with pytest.raises(errors.ReadTimeout):
            Client("sk-x", URL, connect_timeout=1, read_timeout=1).post("images/generations", BODY)


class TestNamesThatAreNotAnswered:
    """A resolver that hangs."""

    @pytest.fixture
    def hanging(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
        """Let every lookup of a name hang until the test is over; set by the first."""
        asked, over = threading.Event(), threading.Event()
        original = socket.getaddrinfo

        def resolve(host: Any, *given: Any, **named: Any) -> Any:
            if named.get("flags") or host == "127.0.0.1":
                return original(host, *given, **named)
            asked.set()
            over.wait(LONGEST)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        yield asked
        over.set()

    @pytest.mark.usefixtures("hanging")
    def test_a_request_is_told_as_unsent_after_the_connect_timeout(self) -> None:
        error = unsent(Client("sk-x", URL, connect_timeout=0.2))
        assert type(error) is errors.HostNotFound
        assert f"{API} cannot be resolved (name lookup took longer than 0.2 s)" in str(error)
        assert "超过 0.2 秒" in error.text[1]

    @pytest.mark.usefixtures("hanging")
    def test_so_is_the_name_of_a_proxy(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for scheme in ("http", "socks5h"):
            monkeypatch.setenv("HTTPS_PROXY", f"{scheme}://proxy.example:1")
            error = unsent(Client("sk-x", URL, connect_timeout=0.2))
            assert type(error) is errors.ProxyFailed
            assert "name lookup took longer than 0.2 s" in str(error)

    @pytest.mark.usefixtures("hanging")
    def test_a_download_names_the_host(self) -> None:
        client = Client("sk-x", "https://10.0.0.1/v1", connect_timeout=0.2)
        with pytest.raises(errors.DownloadFailed, match=f"{RESULTS} cannot be resolved .name look"):
            client.download(f"https://{RESULTS}/a")

    def test_the_interpreter_does_not_wait_for_it(self) -> None:
        script = f"""
import socket, threading
socket.getaddrinfo = lambda *given, **named: threading.Event().wait()
from comfyui_siliconflow.siliconflow.client import Client
from comfyui_siliconflow.siliconflow.errors import HostNotFound
try:
    Client("sk-x", "{URL}", connect_timeout=0.2).post("images/generations", {{}})
except HostNotFound:
    print("not found")
"""
        ended = subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            check=False,
            text=True,
            timeout=LONGEST,
        )
        assert (ended.returncode, ended.stdout) == (0, "not found\n"), ended.stderr


class TestFakeAddresses:
    """Resolvers of proxy tools that answer with addresses which they made up."""

    @pytest.mark.parametrize("address", ["198.18.0.7", "fc00::7", "127.0.0.1", "8.8.8.8"])
    def test_a_name_of_the_service_may_lead_anywhere(self, address: str) -> None:
        assert addresses.may_lead_to(RESULTS, address)

    def test_another_name_may_lead_to_made_up_addresses_and_to_no_network_within(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        may_lead_to = addresses.may_lead_to
        assert may_lead_to("gateway.example", "198.18.0.7")
        assert not may_lead_to("gateway.example", "fc00::7")
        assert not may_lead_to("notsiliconflow.cn", "fc00::7")
        monkeypatch.setenv("SILICONFLOW_RESULT_HOSTS", "example.net, gateway.example")
        assert may_lead_to("gateway.example", "fc00::7")
        assert may_lead_to("s3.gateway.example.", "10.0.0.1")
        assert not may_lead_to("other.example", "fc00::7")

    @pytest.mark.parametrize("address", ["198.18.0.7", "fc00::7", "0xc6120007", "127.1"])
    def test_an_address_instead_of_a_name_is_refused(
        self, address: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SILICONFLOW_RESULT_HOSTS", address)
        url = f"https://[{address}]/a" if ":" in address else f"https://{address}/a"
        with pytest.raises(errors.ResultRefused, match="not on a public address"):
            check_url(url, errors.Failure(), private=False)
        assert not addresses.may_lead_to(address, "198.18.0.7")

    def test_a_result_of_the_service_is_fetched_from_a_private_address(
        self, resolver: Resolver, trusted: Service
    ) -> None:
        resolver[API] = ["8.8.8.8"]
        resolver[RESULTS] = ["127.0.0.1"]
        found = Client("sk-x", URL).download(f"https://{RESULTS}:{trusted.port}/a")
        assert found == REPLY

    def test_one_of_another_host_is_refused_before_a_connection_and_the_variable_named(
        self, resolver: Resolver, trusted: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        resolver[API] = ["8.8.8.8"]
        resolver["elsewhere.example"] = ["127.0.0.1"]
        url, client = f"https://elsewhere.example:{trusted.port}/a", Client("sk-x", URL)
        with pytest.raises(errors.ResultRefused, match="SILICONFLOW_RESULT_HOSTS"):
            client.download(url)
        assert trusted.requests == []
        monkeypatch.setenv("SILICONFLOW_RESULT_HOSTS", "elsewhere.example")
        assert client.download(url) == REPLY

    @pytest.mark.parametrize("address", ["fc00::7", "198.18.0.7"])
    def test_an_api_behind_such_a_resolver_is_not_within_the_network(
        self, resolver: Resolver, address: str
    ) -> None:
        resolver[API] = [address]
        with pytest.raises(errors.ResultRefused, match="not on a public address"):
            Client("sk-x", URL).download("https://10.0.0.1/a")


class TestAddresses:
    """Names with several addresses."""

    @pytest.fixture
    def tried(self, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
        """Keep the order in which each connection tries its addresses."""
        orders: list[list[str]] = []
        race = addresses._race  # noqa: SLF001

        def noted(order: Any, *given: Any) -> Any:
            orders.append([info[4][0] for info in order])
            return race(order, *given)

        monkeypatch.setattr(addresses, "_race", noted)
        return orders

    def test_a_dead_first_address_is_not_waited_for_and_the_good_one_is_remembered(
        self, resolver: Resolver, trusted: Service, tried: list[list[str]]
    ) -> None:
        resolver[API] = ["::1", "127.0.0.1"]
        done: Future[object] = Future()

        def send() -> None:
            for _ in range(2):
                client = Client(
                    "sk-x", f"https://{API}:{trusted.port}/v1", connect_timeout=100 * LONGEST
                )
                client.post("images/generations", BODY)
            done.set_result(None)

        with deaf("::1", trusted.port):
            threading.Thread(target=send, daemon=True).start()
            until(done.done)
        assert tried == [["::1", "127.0.0.1"], ["127.0.0.1", "::1"]]

    def test_an_address_that_refuses_is_followed_by_the_next(
        self, resolver: Resolver, trusted: Service
    ) -> None:
        resolver[API] = ["::1", "127.0.0.1"]
        Client("sk-x", f"https://{API}:{trusted.port}/v1").post("images/generations", BODY)
        assert len(trusted.requests) == 1

    @several_loopbacks
    def test_the_families_take_turns(self, resolver: Resolver, tried: list[list[str]]) -> None:
        resolver[API] = ["100::1", "100::2", "127.0.0.2", "127.0.0.3"]
        unsent(Client("sk-x", f"https://{API}:1/v1", connect_timeout=0.5))
        assert tried == [["100::1", "127.0.0.2", "100::2", "127.0.0.3"]]

    @several_loopbacks
    def test_if_none_answers_the_request_was_not_sent(self, resolver: Resolver) -> None:
        resolver[API] = ["127.0.0.2", "127.0.0.1"]
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        assert type(unsent(Client("sk-x", f"https://{API}:{port}/v1"))) is errors.NotConnected


class TestUploads:
    """Bodies that take longer than a response may."""

    LARGE = b"data:image/png;base64," + b"A" * (12 << 20)
    """More than all buffers between client and server hold."""

    @pytest.fixture
    def read_slowly(self) -> Iterator[Callable[..., str]]:
        """Start servers that read a body in so many pieces, pause after each, and reply."""
        listeners: list[socket.socket] = []

        def start(pieces: int, pause: float, reply: bytes) -> str:
            listener = socket.create_server(("127.0.0.1", 0))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            listeners.append(listener)

            def run() -> None:
                connection, _ = listener.accept()
                with connection:
                    connection.settimeout(LONGEST)
                    left = len(self.LARGE)
                    for _ in range(pieces):
                        wanted = len(self.LARGE) // pieces
                        while wanted > 0 and (data := connection.recv(wanted)):
                            wanted -= len(data)
                            left -= len(data)
                        time.sleep(pause)
                    if reply:
                        while b'"}' not in connection.recv(65536)[-8:]:
                            pass
                        connection.sendall(reply)
                    connection.recv(1)

            threading.Thread(target=run, daemon=True).start()
            return f"http://127.0.0.1:{listener.getsockname()[1]}/v1"

        yield start
        for listener in listeners:
            listener.close()

    def test_an_upload_that_moves_may_outlast_every_timeout(
        self, read_slowly: Callable[..., str]
    ) -> None:
        """Eight pauses are longer than the whole deadline, and each than the connect timeout."""
        reply = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
        client = Client("sk-x", read_slowly(8, 0.4, reply), connect_timeout=0.2, read_timeout=1.5)
        assert client.post("x", BODY, {"image": self.LARGE}).data == {}

    def test_an_upload_that_stalls_is_given_up_and_was_not_charged(
        self, read_slowly: Callable[..., str]
    ) -> None:
        client = Client("sk-x", read_slowly(1, LONGEST, b"")[:], read_timeout=0.5)
        with pytest.raises(errors.UploadInterrupted, match="Nothing was charged") as caught:
            client.post("x", BODY, {"image": self.LARGE * 2})
        assert caught.value.charged is False

    def test_a_connection_that_is_made_when_the_time_is_over_is_cut_as_well(self) -> None:
        deadline = Deadline(0.01)
        ours, theirs = socket.socketpair()
        with ours, theirs, deadline:
            until(lambda: deadline.is_over)
            theirs.settimeout(LONGEST)
            deadline.socket = ours
            assert theirs.recv(1) == b""

    def test_a_response_that_does_not_come_after_an_upload_may_have_been_charged(
        self, read_slowly: Callable[..., str]
    ) -> None:
        client = Client("sk-x", read_slowly(1, 0, b" "), connect_timeout=0.5, read_timeout=0.5)
        with pytest.raises(errors.ReadTimeout, match="may have been charged"):
            client.post("x", BODY, {"image": self.LARGE})
