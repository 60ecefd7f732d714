"""One HTTP call: what it sends, and what each way of breaking becomes."""

import gzip
import json
import re
import socket
import ssl
import time
import tracemalloc
import zlib
from typing import Any

import pytest
import requests
from comfyui_siliconflow.siliconflow import client as module
from comfyui_siliconflow.siliconflow import errors
from comfyui_siliconflow.siliconflow.client import VERSION, Client
from comfyui_siliconflow.siliconflow.http.bodies import json_parts
from comfyui_siliconflow.tests.siliconflow.conftest import drip, stay_silent
from urllib3 import HTTPConnectionPool
from urllib3.exceptions import MaxRetryError

BODY = {"model": "vendor/model", "prompt": "x"}
KEY = "sk-very-secret"


def client(address: str, **options: Any) -> Client:
    return Client(KEY, f"{address}/v1", **options)


def hang_up(connection: socket.socket, _request: bytes) -> None:
    connection.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("body", [{}, {"prompt": 'a "猫"', "seed": 3}])
@pytest.mark.parametrize("names", [(), ("image",), ("image", "image2")])
def test_images_stand_in_the_json_as_they_are(body: Any, names: tuple[str, ...]) -> None:
    images = {name: b"data:image/png;base64,AAAA" + name.encode() for name in names}
    parts = json_parts(body, images)
    assert json.loads(b"".join(parts)) == {
        **body,
        **{name: url.decode() for name, url in images.items()},
    }
    assert all(any(part is url for part in parts) for url in images.values())


def test_a_call_carries_key_json_and_the_name_of_the_pack(serve: Any, answer: Any) -> None:
    server = serve(answer(body=b'{"ok":true}', headers="x-siliconcloud-trace-id: t-9\r\n"))
    result = client(server.address).post("images/generations", BODY)
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/images/generations HTTP/1.1")
    assert b"Authorization: Bearer sk-very-secret" in head
    assert b"Content-Type: application/json" in head
    assert f"User-Agent: comfyui-siliconflow/{VERSION}".encode() in head
    assert body == b'{"model": "vendor/model", "prompt": "x"}'
    assert (result.data, result.trace_id) == ({"ok": True}, "t-9")


def test_a_netrc_entry_does_not_take_the_place_of_the_key(
    serve: Any, answer: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    server = serve(answer())
    client(server.address).post("x", BODY)
    client(server.address).download(f"{server.address}/picture")
    assert b"Authorization: Bearer" in server.requests[0]
    assert b"Authorization" not in server.requests[1]


def test_connections_are_kept_and_used_again(simulator: Any) -> None:
    found = Client(simulator.key, simulator.base_url)
    for _ in range(3):
        found.get("user/info")
    adapter: Any = found._api.get_adapter("http://")  # noqa: SLF001
    [host] = adapter.poolmanager.pools.keys()
    assert adapter.poolmanager.pools[host].num_connections == 1


def test_a_refused_connection_was_not_sent_and_not_charged() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(errors.NotConnected, match="Nothing was sent") as caught:
        client(f"http://127.0.0.1:{port}").post("x", BODY)
    assert "Connection refused" in str(caught.value)
    assert caught.value.failure.model == "vendor/model"


def test_a_name_that_does_not_resolve_was_not_sent() -> None:
    with pytest.raises(errors.NotConnected):
        client("https://siliconflow.invalid").post("x", BODY)


def test_a_connection_lost_after_the_request_may_have_been_charged(serve: Any) -> None:
    server = serve(hang_up)
    with pytest.raises(errors.ConnectionLost, match="may have been charged"):
        client(server.address).post("x", BODY)
    assert len(server.requests) == 1


def test_an_answer_cut_short_may_have_been_charged_and_has_the_trace_id_that_came(
    serve: Any, answer: Any
) -> None:
    headers = "x-siliconcloud-trace-id: t1\r\n"
    server = serve(answer(body=b'{"images":', length=100, headers=headers))
    with pytest.raises(errors.ConnectionLost, match="may have been charged") as caught:
        client(server.address).post("x", BODY)
    assert caught.value.failure.trace_id == "t1"
    assert len(server.requests) == 1


def test_silence_beyond_the_read_timeout_may_have_been_charged(serve: Any) -> None:
    server = serve(stay_silent)
    with pytest.raises(errors.ReadTimeout, match="may have been charged"):
        client(server.address, read_timeout=0.2).post("x", BODY)
    assert len(server.requests) == 1


def test_a_lookup_is_not_waited_for_as_long_as_an_image(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("comfyui_siliconflow.siliconflow.client.LOOKUP_SECONDS", 0.2)
    server = serve(stay_silent)
    with pytest.raises(errors.ReadTimeout):
        client(server.address, read_timeout=300).get("x")
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [500, 502, 503, 504, 429])
def test_a_paid_call_is_sent_once_whatever_the_answer(serve: Any, answer: Any, status: int) -> None:
    server = serve(answer(status))
    with pytest.raises(errors.RequestError):
        client(server.address).post("x", BODY)
    assert len(server.requests) == 1


def test_a_redirect_of_a_call_is_not_followed(serve: Any, answer: Any) -> None:
    elsewhere = serve(answer())
    server = serve(answer(307, headers=f"Location: {elsewhere.address}/v1/x\r\n"))
    with pytest.raises(errors.WrongAddress):
        client(server.address).post("x", BODY)
    assert elsewhere.requests == []


@pytest.mark.parametrize("location", ["http://[::1/", "//", "http://x:port/"])
def test_a_redirect_that_leads_nowhere_is_an_error_like_any_other(
    serve: Any, answer: Any, location: str
) -> None:
    server = serve(answer(302, headers=f"Location: {location}\r\n"))
    with pytest.raises(errors.WrongAddress):
        client(server.address).post("x", BODY)
    with pytest.raises(errors.DownloadFailed):
        client(server.address).download(f"{server.address}/a")


def test_the_body_of_a_redirect_is_not_read(serve: Any, answer: Any) -> None:
    server = serve(answer(302, b"x" * (30 << 20), headers="Location: http://127.0.0.1:1/\r\n"))
    tracemalloc.start()
    with pytest.raises(errors.WrongAddress):
        client(server.address).post("x", BODY)
    assert tracemalloc.get_traced_memory()[1] < 50 << 20
    tracemalloc.stop()


@pytest.mark.parametrize("body", [b"", b"not json", b"\xff\xfe", b"[" * 100_000])
def test_a_success_that_is_no_json_is_an_error(serve: Any, answer: Any, body: bytes) -> None:
    server = serve(answer(body=body))
    with pytest.raises(errors.BadAnswer):
        client(server.address).post("x", BODY)


def test_an_answer_beyond_the_limit_is_not_read_to_its_end(
    serve: Any, answer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_RESPONSE_BYTES", 1 << 20)
    server = serve(answer(body=b" " * (3 << 20)))
    with pytest.raises(errors.BadAnswer, match="larger than 1 MiB"):
        client(server.address).post("x", BODY)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_compressed_answer_is_read_though_nobody_requested_it(
    serve: Any, answer: Any, encoding: str
) -> None:
    plain = b'{"ok":1}'
    packed = gzip.compress(plain) if encoding == "gzip" else zlib.compress(plain)
    server = serve(answer(body=packed, headers=f"Content-Encoding: {encoding}\r\n"))
    assert client(server.address).post("x", BODY).data == {"ok": 1}
    assert b"Accept-Encoding: identity" in server.requests[0]


def test_a_gzip_bomb_is_stopped_while_it_is_decompressed(serve: Any, answer: Any) -> None:
    bomb = gzip.compress(bytes(300 << 20), 9)
    server = serve(answer(body=bomb, headers="Content-Encoding: gzip\r\n"))
    tracemalloc.start()
    with pytest.raises(errors.BadAnswer, match="larger than 64 MiB"):
        client(server.address).post("x", BODY)
    assert tracemalloc.get_traced_memory()[1] < 200 << 20
    tracemalloc.stop()


@pytest.mark.parametrize("encoding", ["br", "x" * 300])
def test_an_unknown_compression_is_an_error(serve: Any, answer: Any, encoding: str) -> None:
    server = serve(answer(headers=f"Content-Encoding: {encoding}\r\n"))
    with pytest.raises(errors.BadAnswer, match="compressed in a way"):
        client(server.address).post("x", BODY)


def test_a_damaged_compression_may_have_been_charged(serve: Any, answer: Any) -> None:
    server = serve(answer(body=b"no gzip", headers="Content-Encoding: gzip\r\n"))
    with pytest.raises(errors.ConnectionLost):
        client(server.address).post("x", BODY)


def test_a_million_images_are_refused_before_they_are_read(serve: Any, answer: Any) -> None:
    body = b'{"images":[' + b",".join([b'{"url":"x"}'] * 1_000_000) + b"]}"
    server = serve(answer(body=body))
    with pytest.raises(errors.BadAnswer, match="too many parts"):
        client(server.address).post("x", BODY)


def test_of_a_refusal_only_the_beginning_is_read(serve: Any, answer: Any) -> None:
    server = serve(answer(400, b'"' + b"x" * (30 << 20)))
    tracemalloc.start()
    with pytest.raises(errors.BadRequest):
        client(server.address).post("x", BODY)
    assert tracemalloc.get_traced_memory()[1] < 50 << 20
    tracemalloc.stop()


def test_an_answer_that_drips_is_given_up(serve: Any) -> None:
    server = serve(drip(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b" "))
    with pytest.raises((errors.BadAnswer, errors.ReadTimeout)):
        client(server.address, read_timeout=0.3).post("x", BODY)


def test_an_answer_whose_headers_drip_is_given_up(serve: Any) -> None:
    server = serve(drip(b"HTTP/1.1 200 OK\r\nX-Header: ", b"x"))
    with pytest.raises(errors.ReadTimeout, match="may have been charged"):
        client(server.address, connect_timeout=0.1, read_timeout=0.3).post("x", BODY)


def test_a_stream_that_keeps_coming_may_outlast_the_read_timeout(serve: Any) -> None:
    """Twelve pauses are longer than the timeout, and each is much shorter."""
    pieces = [b"data: %d\n\n" % at for at in range(12)]

    def keep_coming(connection: socket.socket, _request: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        for piece in pieces:
            time.sleep(0.12)
            connection.sendall(piece)

    heard: list[bytes] = []
    asking = client(serve(keep_coming).address, connect_timeout=0.1, read_timeout=1.0)
    asking.post_for_stream("x", BODY, lambda stream: heard.extend(stream.chunks))
    assert b"".join(heard) == b"".join(pieces)


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (401, b'"Invalid token sk-very-secret"', ""),
        (400, rb'{"message":"\u0073k-very-secret"}', ""),
        (500, b"<b>&#115;k-very-secret</b>", ""),
        (500, b"", "x-siliconcloud-trace-id: sk-very-secret\r\n"),
        (200, b"hello sk-very-secret", ""),
        (200, b'{"images":[{"url":"https://x/?k=sk-very-secret"}]}', ""),
        (200, rb'{"images":[{"url":"https://x/?k=\u0073k-very-secret"}]}', ""),
        (200, b"{}", "Content-Encoding: sk-very-secret\r\n"),
    ],
)
def test_a_key_that_the_service_echoes_is_not_in_the_error(
    serve: Any, answer: Any, status: int, body: bytes, headers: str
) -> None:
    server = serve(answer(status, body, headers))
    with pytest.raises(errors.RequestError) as caught:
        client(server.address).post("x", BODY)
    assert KEY not in f"{caught.value!r} {caught.value} {caught.value.failure}"


def test_a_key_in_the_status_line_is_not_in_the_error(serve: Any) -> None:
    server = serve(lambda connection, _: connection.sendall(b"sk-very-secret\r\n\r\n"))
    with pytest.raises(errors.ConnectionLost) as caught:
        client(server.address).post("x", BODY)
    assert KEY not in f"{caught.value!r} {caught.value}"


@pytest.mark.parametrize("status", [201, 202, 204, 206])
def test_a_success_that_is_not_documented_may_have_been_charged(
    serve: Any, answer: Any, status: int
) -> None:
    with pytest.raises(errors.BadAnswer, match="may have been charged"):
        client(serve(answer(status)).address).post("x", BODY)


def test_a_trace_id_that_is_the_key_is_not_kept(serve: Any, answer: Any) -> None:
    server = serve(answer(headers=f"x-siliconcloud-trace-id: {KEY}\r\n"))
    assert client(server.address).post("x", BODY).trace_id == "…"


def test_a_trace_id_is_kept_to_what_can_be_one(serve: Any, answer: Any) -> None:
    server = serve(answer(500, headers=f"x-siliconcloud-trace-id: <b>{'x' * 60_000}\r\n"))
    with pytest.raises(errors.ServerError) as caught:
        client(server.address).post("x", BODY)
    assert caught.value.failure.trace_id == "b" + "x" * 99


def test_a_tls_error_counts_as_sent_only_after_the_body_left(
    serve: Any, answer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record that cannot be decrypted, in the middle of the answer, is no failed handshake."""
    reason = MaxRetryError(HTTPConnectionPool("x"), "/", ssl.SSLError("bad record"))

    def broken_later(session: Any, method: str, url: str, **options: Any) -> Any:
        original(session, method, url, **options).close()
        raise requests.exceptions.SSLError(reason)

    def broken_before(*_: Any, **__: Any) -> Any:
        raise requests.exceptions.SSLError(reason)

    original = requests.Session.request
    monkeypatch.setattr(requests.Session, "request", broken_later)
    with pytest.raises(errors.ConnectionLost, match="may have been charged"):
        client(serve(answer()).address).post("x", BODY)
    monkeypatch.setattr(requests.Session, "request", broken_before)
    with pytest.raises(errors.NotConnected):
        client(serve(answer()).address).post("x", BODY)


def test_the_key_is_not_in_the_repr() -> None:
    assert KEY not in repr(client("https://api.siliconflow.cn"))


def test_a_download_carries_no_key(serve: Any, answer: Any) -> None:
    server = serve(answer(body=b"picture"))
    assert client(server.address).download(f"{server.address}/picture") == b"picture"
    assert b"uthorization" not in server.requests[0]


def test_the_vectors_of_32_texts_are_no_answer_of_too_many_parts(serve: Any) -> None:
    row = [0.015625] * 4096
    body = json.dumps({"data": [{"embedding": row, "index": at} for at in range(32)]}).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    server = serve(lambda connection, _request: connection.sendall(head + body))
    assert len(client(server.address).post("x", BODY).data["data"]) == 32


def test_each_request_is_one_line_of_the_log_without_key_and_prompt(
    serve: Any, answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "siliconflow")
    trace = f"x-siliconcloud-trace-id: t-{KEY}\r\n"
    server = serve(answer(headers=trace), answer(429, b'"no"', trace), hang_up)
    calling = client(server.address)
    body = {"model": "vendor/model", "prompt": "a secret prompt"}
    calling.post("images/generations", body)
    for _ in range(2):
        with pytest.raises(errors.RequestError):
            calling.post("images/generations", body)
    lines = [re.sub(r"[\d.]+ s", "N s", line) for line in caplog.messages]
    assert lines == [
        "POST images/generations for vendor/model: 200, N s, trace ID t-…",
        "POST images/generations for vendor/model: RateLimited (HTTP 429), N s, trace ID t-…",
        "POST images/generations for vendor/model: ConnectionLost, N s, trace ID -",
    ]
