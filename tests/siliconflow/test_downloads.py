"""Results are fetched whole, resumed where they broke, and only from where they may come from."""

import io
import socket
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from comfyui_siliconflow.siliconflow.client import Client
from comfyui_siliconflow.siliconflow.errors import DownloadFailed, Failure, ResultRefused
from comfyui_siliconflow.siliconflow.http import downloads as download
from comfyui_siliconflow.siliconflow.http.connections import Adapter
from comfyui_siliconflow.siliconflow.http.downloads import Downloader, check_url
from comfyui_siliconflow.tests.siliconflow.conftest import drip

FILE = bytes(range(256)) * 400
FACTS = Failure(model="vendor/model", trace_id="t-1")


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again without waiting."""
    monkeypatch.setattr(download, "WAITS", (0, 0, 0))


@pytest.fixture
def fetch() -> Callable[..., bytes]:
    """Download from a server on loopback, as a client of a simulator does."""

    def run(
        url: str, *, private: bool = True, most: int = 1 << 20, read: float = 5, connect: float = 5
    ) -> bytes:
        with requests.Session() as session:
            session.trust_env = False
            session.mount("http://", Adapter(lambda: not private))
            file = io.BytesIO()
            Downloader(session, (connect, read), private, most).download(url, file, FACTS)
            return file.getvalue()

    return run


def hang_up(connection: socket.socket, _request: bytes) -> None:
    connection.shutdown(socket.SHUT_RDWR)


def part(at: int, *, tag: str = '"v1"', total: int = len(FILE)) -> Any:
    """Make the script of a server that sends the rest of the file from `at` on."""

    def script(connection: socket.socket, _request: bytes) -> None:
        body = FILE[at:]
        head = f"HTTP/1.1 206 Partial\r\nContent-Length: {len(body)}\r\nETag: {tag}\r\n"
        head += f"Content-Range: bytes {at}-{len(FILE) - 1}/{total}\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode() + body)

    return script


def test_a_broken_download_goes_on_where_it_broke(serve: Any, answer: Any, fetch: Any) -> None:
    cut = answer(body=FILE[:50_000], length=len(FILE), headers='ETag: "v1"\r\n')
    server = serve(cut, part(50_000))
    assert fetch(f"{server.address}/a") == FILE
    assert b"Range: bytes=50000-\r\n" in server.requests[1]
    assert b'If-Range: "v1"\r\n' in server.requests[1]


def test_a_download_is_written_into_the_file_that_is_given(
    serve: Any, answer: Any, tmp_path: Path
) -> None:
    cut = answer(body=FILE[:50_000], length=len(FILE), headers='ETag: "v1"\r\n')
    server = serve(cut, part(40_000), answer(body=FILE))
    with (tmp_path / "video.mp4").open("w+b") as file:
        Client("", server.address).download_to(f"{server.address}/a", file)
    assert (tmp_path / "video.mp4").read_bytes() == FILE


def test_each_attempt_is_one_line_of_the_log(
    serve: Any, answer: Any, fetch: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "siliconflow")
    server = serve(answer(503), answer(body=FILE))
    fetch(f"{server.address}/secret-signature")
    assert [line.partition(",")[0] for line in caplog.messages] == [
        "download for vendor/model: IncompleteDownload",
        "download for vendor/model: complete",
    ]
    assert "secret" not in caplog.text


def test_a_refused_download_is_no_complete_one_in_the_log(
    fetch: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "siliconflow")
    with pytest.raises(ResultRefused):
        fetch("http://127.0.0.1/x", private=False)
    assert [line for line in caplog.messages if "complete" in line] == []
    assert "refused" in caplog.text


def test_what_ended_a_download_is_reported_in_the_language_of_the_user(
    serve: Any, fetch: Any
) -> None:
    with pytest.raises(DownloadFailed) as failed:
        fetch(serve(*[part(7)] * 4).address)
    assert "服务器发来的不是所请求的部分" in failed.value.text.in_language("zh")


def test_a_server_without_ranges_is_read_from_the_start_again(
    serve: Any, answer: Any, fetch: Any
) -> None:
    cut = answer(body=FILE[:50_000], length=len(FILE), headers='ETag: "v1"\r\n')
    server = serve(cut, answer(body=FILE))
    assert fetch(f"{server.address}/a") == FILE


@pytest.mark.parametrize("headers", ["", 'ETag: W/"weak"\r\n'])
def test_without_a_sure_tag_the_rest_is_not_requested(
    serve: Any, answer: Any, fetch: Any, headers: str
) -> None:
    server = serve(answer(body=FILE[:9], length=len(FILE), headers=headers), answer(body=FILE))
    assert fetch(f"{server.address}/a") == FILE
    assert b"Range" not in server.requests[1]


@pytest.mark.parametrize("wrong", [part(40_000), part(50_000, total=5)])
def test_another_part_than_was_requested_is_never_put_behind_the_first(
    serve: Any, answer: Any, fetch: Any, wrong: Any
) -> None:
    cut = answer(body=FILE[:50_000], length=len(FILE), headers='ETag: "v1"\r\n')
    server = serve(cut, wrong, answer(body=FILE))
    assert fetch(f"{server.address}/a") == FILE
    assert b"Range" not in server.requests[2]


@pytest.mark.parametrize("status", [408, 416, 429, 500, 503])
def test_a_passing_failure_is_tried_again(serve: Any, answer: Any, fetch: Any, status: int) -> None:
    server = serve(answer(status), hang_up, answer(body=FILE))
    assert fetch(f"{server.address}/a") == FILE


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_lasting_failure_is_reported_at_once(
    serve: Any, answer: Any, fetch: Any, status: int
) -> None:
    server = serve(answer(status))
    with pytest.raises(DownloadFailed, match=rf"HTTP {status}(.|\n)*You were charged") as failed:
        fetch(f"{server.address}/a")
    assert "check your network" in str(failed.value)
    assert len(server.requests) == 1


def test_after_the_last_try_the_error_has_model_and_trace_id(serve: Any, fetch: Any) -> None:
    server = serve(hang_up)
    with pytest.raises(DownloadFailed, match=r"vendor/model\nTrace ID: t-1"):
        fetch(f"{server.address}/a")
    assert len(server.requests) == 4


def test_a_file_beyond_the_limit_is_refused_by_its_length(
    serve: Any, answer: Any, fetch: Any
) -> None:
    server = serve(answer(body=b"", length=3 << 20))
    advice = r"larger than 1 MiB(.|\n)*most_picture_mib in settings\.json"
    with pytest.raises(ResultRefused, match=advice):
        fetch(f"{server.address}/a")


def test_a_file_without_a_length_is_stopped_at_the_limit(serve: Any, fetch: Any) -> None:
    def endless(connection: socket.socket, _request: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        connection.sendall(bytes(40 << 20))

    server = serve(endless)
    tracemalloc.start()
    with pytest.raises(DownloadFailed, match="larger than 1 MiB"):
        fetch(f"{server.address}/a")
    assert tracemalloc.get_traced_memory()[1] < 60 << 20
    tracemalloc.stop()


@pytest.mark.parametrize(
    "script",
    [
        drip(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\nConnection: close\r\n\r\n", b" "),
        drip(b"HTTP/1.1 200 OK\r\nX-Header: ", b"x"),
    ],
    ids=["the file", "its headers"],
)
def test_a_file_that_drips_is_given_up(serve: Any, fetch: Any, script: Any) -> None:
    with pytest.raises(DownloadFailed):
        fetch(f"{serve(script).address}/a", read=0.3, connect=0.1)


def test_a_name_that_leads_elsewhere_when_it_is_connected_to_is_refused(
    serve: Any, answer: Any, fetch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(answer(body=FILE))
    monkeypatch.setattr(download, "check_url", lambda *_, **__: None)
    with pytest.raises(DownloadFailed, match="leads to a private address"):
        fetch(f"{server.address}/a", private=False)
    assert server.requests == []


def test_a_length_of_thousands_of_digits_is_no_length(serve: Any, fetch: Any) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\nConnection: close\r\n\r\n"
    server = serve(lambda connection, _: connection.sendall(head + FILE))
    assert fetch(f"{server.address}/a") == FILE


def test_a_compressed_file_is_refused_for_it_was_not_requested(
    serve: Any, answer: Any, fetch: Any
) -> None:
    server = serve(answer(body=FILE, headers="Content-Encoding: gzip\r\n"))
    with pytest.raises(DownloadFailed, match="compressed"):
        fetch(f"{server.address}/a")


def test_redirects_are_followed_a_few_times(serve: Any, answer: Any, fetch: Any) -> None:
    target = serve(answer(body=FILE))
    server = serve(answer(302, headers=f"Location: {target.address}/b\r\n"))
    assert fetch(f"{server.address}/a") == FILE


def test_redirects_without_end_are_an_error(serve: Any, answer: Any, fetch: Any) -> None:
    server = serve(answer(302, headers="Location: /again\r\n"))
    with pytest.raises(DownloadFailed, match="redirects too many times"):
        fetch(f"{server.address}/a")
    assert len(server.requests) == 6


@pytest.mark.parametrize("location", ["http://example.com/a", "file:///etc/passwd", "ftp://x/a"])
def test_a_redirect_to_what_is_not_https_is_refused(
    serve: Any, answer: Any, fetch: Any, location: str
) -> None:
    server = serve(answer(302, headers=f"Location: {location}\r\n"))
    with pytest.raises(DownloadFailed, match="not https"):
        fetch(f"{server.address}/a")


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/a",
        "https://localhost/a",
        "https://localhost./a",
        "https://10.0.0.1/a",
        "https://192.168.1.1/a",
        "https://172.16.0.1/a",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/a",
        "https://[fe80::1]/a",
        "https://[::ffff:10.0.0.1]/a",
        "https://[64:ff9b::a9fe:a9fe]/a",
        "https://[::127.0.0.1]/a",
        "https://[2002:7f00:1::]/a",
        "https://[fec0::1]/a",
        "https://0.0.0.0/a",
        "https://2130706433/a",
        "https://224.0.0.1/a",
        "https://user:secret@8.8.8.8/a",
        "https:///a",
    ],
)
def test_a_result_that_is_not_on_a_public_address_is_refused(url: str) -> None:
    with pytest.raises(DownloadFailed, match="not on a public address"):
        check_url(url, FACTS, private=False)


@pytest.mark.parametrize("url", ["http://8.8.8.8/a", "http://127.0.0.1/a", "ftp://8.8.8.8/a", "x"])
def test_a_result_that_is_not_https_is_refused(url: str) -> None:
    with pytest.raises(DownloadFailed, match="not https"):
        check_url(url, FACTS, private=False)


def test_a_url_that_is_none_is_refused() -> None:
    with pytest.raises(DownloadFailed, match="URL is invalid"):
        check_url("http://[::1/x", FACTS, private=True)


@pytest.mark.parametrize("url", ["https://8.8.8.8/a", "https://[2606:4700::1111]/a"])
def test_a_result_on_a_public_address_is_taken(url: str) -> None:
    check_url(url, FACTS, private=False)


def test_an_api_on_this_machine_may_have_its_results_here() -> None:
    check_url("http://127.0.0.1:8900/a", FACTS, private=True)
    with pytest.raises(DownloadFailed):
        check_url("http://192.168.1.1/a", FACTS, private=True)
