"""What every route refuses, and how it answers, whatever it is about."""

from __future__ import annotations

import http.client
import socket
import threading
from typing import Any

import pytest
from aiohttp import web
from comfyui_siliconflow.server import page_catalogue as catalogue
from comfyui_siliconflow.server import routes
from comfyui_siliconflow.server.origin import TUNNELS, check_host
from comfyui_siliconflow.server.page_http import OtherSite
from comfyui_siliconflow.tests.server.conftest import Page

CHANGING = [
    (route.method, route.path.format(id="a", place=0))
    for route in routes.ROUTES
    if route.method != "GET"
]


@pytest.mark.parametrize(("method", "path"), CHANGING)
def test_a_change_is_sent_as_json_and_as_nothing_else(page: Page, method: str, path: str) -> None:
    for content_type in ("text/plain", "application/x-www-form-urlencoded", None):
        answer = page.request(method, path, data=b"{}", headers={"Content-Type": content_type})
        assert answer.status_code == 415
        assert answer.json()["error"]["kind"] == "NotJson"


@pytest.mark.parametrize(("method", "path"), CHANGING)
@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "http://127.0.0.1:1", "http://127.0.0.1.evil:8188", ""],
)
def test_a_change_from_another_origin_is_refused(
    page: Page, method: str, path: str, origin: str
) -> None:
    answer = page.request(method, path, json={}, headers={"Origin": origin})
    assert answer.status_code == 403
    assert answer.json()["error"]["kind"] == "OtherSite"


def test_a_change_from_the_same_origin_is_made(page: Page) -> None:
    answer = page.request(
        "POST", "/settings", json={"site": "com"}, headers={"Origin": page.origin}
    )
    assert answer.json()["values"]["site"] == "com"


READING = [
    (route.method, route.path.format(id="a", place=0))
    for route in routes.ROUTES
    if route.method == "GET"
]
OWN_NAMES = ["127.0.0.1", "localhost", "localhost.", "[::1]", "192.168.1.5", "comfy.localhost"]


@pytest.mark.parametrize(("method", "path"), [*READING, *CHANGING])
@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil", ""])
def test_a_name_that_another_site_may_have_is_refused_on_this_machine(
    page: Page, method: str, path: str, host: str
) -> None:
    """Its owner could let it point here: its page would then pass for ComfyUI's own."""
    host = host and f"{host}:{page.port}"
    body: dict[str, Any] = {} if method == "GET" else {"json": {}}
    headers = {"Host": host, "Origin": f"http://{host}"}
    answer = page.request(method, path, headers=headers, **body)
    assert answer.status_code == 403
    assert answer.json()["error"]["kind"] == "OtherSite"
    assert "SILICONFLOW_HOSTS" in answer.text or not host


@pytest.mark.parametrize("host", [*OWN_NAMES, socket.gethostname()])
def test_a_name_that_no_other_site_has_is_answered(page: Page, host: str) -> None:
    own = f"{host}:{page.port}"
    headers = {"Host": own, "Origin": f"http://{own}"}
    assert page.request("POST", "/settings", json={}, headers=headers).status_code == 200


@pytest.mark.parametrize("names", ["comfy.example", "other.example, Comfy.Example", "*"])
def test_a_name_of_the_operator_s_proxy_is_answered(
    page: Page, monkeypatch: pytest.MonkeyPatch, names: str
) -> None:
    monkeypatch.setenv("SILICONFLOW_HOSTS", names)
    answer = page.request("GET", "/settings", headers={"Host": "comfy.example"})
    assert answer.status_code == 200


@pytest.mark.parametrize("tunnel", TUNNELS)
def test_a_name_below_a_tunnel_s_domain_is_answered(page: Page, tunnel: str) -> None:
    own = f"calm-sea-12.{tunnel}"
    headers = {"Host": own, "Origin": f"https://{own}"}
    assert page.request("POST", "/settings", json={}, headers=headers).status_code == 200
    for other in (tunnel, f"calm-sea{tunnel}", f"{own}.evil.example"):
        assert page.request("GET", "/settings", headers={"Host": other}).status_code == 403


def test_on_another_address_than_loopback_every_name_is_answered() -> None:
    """There the names of a local network are in use, and ComfyUI is open to all anyway."""
    check_host("nas.home:8188", "192.168.1.5")
    for address in ("127.0.0.1", "::1", "::ffff:127.0.0.1"):
        with pytest.raises(OtherSite, match=r'"nas\.home"'):
            check_host("nas.home:8188", address)


@pytest.mark.parametrize("host", ["comfy.example", "comfy.example:443"])
def test_a_proxy_may_leave_out_the_usual_port(
    page: Page, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("SILICONFLOW_HOSTS", "comfy.example")
    headers = {"Origin": "https://comfy.example", "Host": host}
    assert page.request("POST", "/settings", json={}, headers=headers).status_code == 200


def test_a_proxy_whose_name_is_listed_may_leave_its_port_out(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = {"Host": "comfy.example", "Origin": "https://comfy.example:8443"}
    assert page.request("POST", "/settings", json={}, headers=headers).status_code == 403
    monkeypatch.setenv("SILICONFLOW_HOSTS", "comfy.example")
    assert page.request("POST", "/settings", json={}, headers=headers).status_code == 200
    other = {**headers, "Origin": "https://other.example:8443"}
    assert page.request("POST", "/settings", json={}, headers=other).status_code == 403


@pytest.mark.parametrize(
    "origin", ["http://127.0.0.1", "https://127.0.0.1", "http://127.0.0.1:0", "app://127.0.0.1"]
)
def test_a_page_of_another_port_of_this_machine_changes_nothing(page: Page, origin: str) -> None:
    answer = page.request("POST", "/settings", json={"site": "com"}, headers={"Origin": origin})
    assert answer.json()["error"]["kind"] == "OtherSite"
    assert page.get("/settings")["values"]["site"] == "cn"


@pytest.mark.parametrize(("method", "path"), CHANGING)
def test_a_body_beyond_16_kib_is_refused(page: Page, method: str, path: str) -> None:
    answer = page.request(method, path, json={"key": "x" * 16384})
    assert answer.status_code == 413
    assert answer.json()["error"]["kind"] == "TooLarge"


def test_a_body_without_an_end_is_read_to_16_kib_only(page: Page) -> None:
    """Sent in pieces, it names no length."""
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=10)
    connection.request(
        "POST",
        "/siliconflow/settings",
        body=iter([b" " * 8192] * 4),
        headers={"Content-Type": "application/json"},
        encode_chunked=True,
    )
    assert connection.getresponse().status == 413
    connection.close()


@pytest.mark.parametrize("body", [b"[]", b"{", b"null", b'"x"', b"\xff", b"[" * 9000])
def test_a_body_that_is_no_json_object_is_refused(page: Page, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    answer = page.request("POST", "/settings", data=body, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"]["en"] == "The body must be a JSON object."
    assert answer.json()["error"]["zh"] == "请求内容必须是 JSON 对象。"


def test_an_internal_error_is_sent_without_its_message(
    page: Page, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("sk-secret in a message")

    monkeypatch.setattr(f"{catalogue.__name__}.catalogue_for_page", fail)
    status, error = page.refused("GET", "/catalogue")
    assert (status, error["kind"]) == (500, "Failed")
    assert "RuntimeError" in error["message"]
    assert "sk-secret" not in str(error)
    assert "/catalogue" in caplog.text


def test_the_server_answers_others_while_a_route_waits_for_the_service(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SILICONFLOW_API_KEY", "sk-any")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        monkeypatch.setenv("SILICONFLOW_BASE_URL", url)
        waiting = threading.Thread(
            target=page.request, args=("POST", "/key/test"), kwargs={"json": {}}
        )
        waiting.start()
        connection, _ = silent.accept()
        with connection:
            assert page.get("/catalogue")["site"] == "cn"
            assert waiting.is_alive()
    waiting.join()


def test_a_second_copy_of_the_pack_leaves_the_routes_to_the_first() -> None:
    table = web.RouteTableDef()
    routes.register(table)
    routes.register(table)
    app = web.Application()
    app.add_routes(table)  # raises for a route that is there twice
    assert len(table) == len(routes.ROUTES)


def test_no_response_is_cached(page: Page) -> None:
    assert page.request("GET", "/settings").headers["Cache-Control"] == "no-store"
