"""Each body that was met in the wild becomes the error of its cause, over real HTTP and TLS."""

from __future__ import annotations

import shutil
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.dev.simulator.responses import BODIES
from comfyui_siliconflow.siliconflow import errors
from comfyui_siliconflow.siliconflow.client import Client
from comfyui_siliconflow.siliconflow.resources import audio, chat
from comfyui_siliconflow.siliconflow.resources.account import user_info
from comfyui_siliconflow.siliconflow.resources.embeddings import embed
from comfyui_siliconflow.siliconflow.resources.images import generate
from comfyui_siliconflow.siliconflow.resources.rerank import rerank
from comfyui_siliconflow.tests.siliconflow.conftest import Script, Server

CERTIFICATES = Path(__file__).parent.parent / "reliability"
BODY = {"model": "Qwen/Qwen-Image", "prompt": "a cat", "image_size": "1328x1328"}
MET: dict[str, tuple[type[errors.RequestError], bool | None, str]] = {
    "model-400": (errors.ModelNotFound, False, "Model does not exist."),
    "parameter-400": (errors.BadRequest, False, "The parameter is invalid."),
    "required-400": (errors.BadRequest, False, "Field required"),
    "tokens-400": (errors.BadRequest, False, "number of input tokens (40000)"),
    "thinking-400": (errors.BadRequest, False, "enable_thinking"),
    "prompt-400": (errors.BadRequest, False, "Prompt field is required"),
    "pixels-400": (errors.BadRequest, False, "should not exceed 2073600"),
    "token-401": (errors.InvalidKey, False, "Invalid token"),
    "key-401": (errors.InvalidKey, False, "Api key is invalid"),
    "key-object-401": (errors.InvalidKey, False, "Api key is invalid"),
    "balance-200": (errors.InsufficientBalance, False, "balance is insufficient"),
    "balance-402": (errors.InsufficientBalance, False, "balance is insufficient"),
    "balance-403": (errors.InsufficientBalance, False, "balance is insufficient"),
    "disabled-403": (errors.ModelDisabled, False, "Model disabled."),
    "forbidden-403": (errors.Forbidden, False, "Forbidden"),
    "page-404": (errors.WrongAddress, False, "404 page not found"),
    "not-found-404": (errors.WrongAddress, False, "Not Found"),
    "gone-410": (errors.RetiredCall, False, "Gone"),
    "large-413": (errors.UploadTooLarge, False, "413 Request Entity Too Large"),
    "tpm-429": (errors.RateLimited, False, "TPM limit reached."),
    "rpm-429": (errors.RateLimited, False, "RPM limit reached."),
    "ipm-429": (errors.RateLimited, False, "IPM limit reached."),
    "rpd-429": (errors.DailyLimit, False, "without real name verification"),
    "plain-429": (errors.RateLimited, False, "TPM limit reached."),
    "busy-429": (errors.RateLimited, False, "System is really busy."),
    "text-500": (errors.ServerError, None, "unknown error"),
    "unknown-500": (errors.ServerError, None, "Request failed: Unknown error"),
    "overloaded-503": (errors.Overloaded, False, "Model service overloaded."),
    "busy-503": (errors.Overloaded, False, "System is too busy now."),
    "really-busy-503": (errors.Overloaded, False, "System is really busy."),
    "text-504": (errors.GatewayTimeout, None, "Gateway Timeout"),
    "html-504": (errors.GatewayTimeout, None, "504 Gateway Time-out"),
}
"""By the simulator's name of a body: the error, whether it was charged, what the service says."""
ADVICE: dict[type[errors.RequestError], str] = {
    errors.BadRequest: "Correct the value that the message names, then run again.",
    errors.ModelNotFound: "Nothing was charged. Choose another model, or check that your key",
    errors.UploadTooLarge: 'Nothing was charged. For images, lower "Maximum upload size"',
    errors.InvalidKey: "Nothing was charged. Check the key in ComfyUI's Settings > SiliconFlow",
    errors.InsufficientBalance: "Nothing was charged. Top up on SiliconFlow's account page. With a"
    " balance of 0 or less, free models are refused too.",
    errors.ModelDisabled: "Nothing was charged. Choose another model.",
    errors.Forbidden: "Nothing was charged. On the China site (siliconflow.cn) an account needs"
    " real-name verification",
    errors.WrongAddress: "Nothing was charged. Check SILICONFLOW_BASE_URL",
    errors.RetiredCall: "Nothing was charged, and neither your key nor your settings are",
    errors.RateLimited: "Nothing was charged. Wait a minute, then run again.",
    errors.DailyLimit: "Nothing was charged. Run again tomorrow, or choose another model.",
    errors.Overloaded: "Nothing was charged. Run again in a minute.",
    errors.ServerError: "You may have been charged. Check your bill on the SiliconFlow site",
    errors.GatewayTimeout: "You may have been charged. Check your bill on the SiliconFlow site",
}
"""What the user reads beneath what happened: whether it was charged, and what to do."""
Serve = Callable[..., Server]
Answer = Callable[..., Script]


def test_every_body_that_was_met_is_in_the_table() -> None:
    assert set(MET) == set(BODIES)


@pytest.mark.parametrize("name", list(MET))
def test_a_body_becomes_the_error_of_its_cause(today: Simulator, name: str) -> None:
    kind, charged, words = MET[name]
    today.fail(body=name)
    with pytest.raises(errors.RequestError) as caught:
        generate(Client(today.key, today.base_url), BODY)
    assert type(caught.value) is kind
    assert caught.value.charged is charged
    happened, advice, *_ = str(caught.value).splitlines()
    assert words in happened
    assert advice.startswith(ADVICE[kind])


@pytest.mark.parametrize("status", [200, 400, 402, 403, 429, 500])
def test_code_30001_is_an_empty_account_whatever_the_status(today: Simulator, status: int) -> None:
    today.fail(status, body={"code": 30001, "message": "Sorry", "data": None})
    with pytest.raises(errors.InsufficientBalance):
        generate(Client(today.key, today.base_url), BODY)


EMPTY_ACCOUNT = b'{"code": 30001, "message": "Sorry, your balance is insufficient", "data": null}'
JSON = "Content-Type: application/json\r\n"
EVENTS = "Content-Type: text/event-stream\r\n"
CHARGED_CALLS: dict[str, tuple[Callable[[Client], object], str, bytes]] = {
    "image": (lambda client: generate(client, BODY), JSON, EMPTY_ACCOUNT),
    "chat": (lambda client: chat.complete(client, {}, print), JSON, EMPTY_ACCOUNT),
    "stream": (
        lambda client: chat.complete(client, {}, print),
        EVENTS,
        b"data: " + EMPTY_ACCOUNT + b"\n\n",
    ),
    "embeddings": (lambda client: embed(client, {"input": ["x"]}), JSON, EMPTY_ACCOUNT),
    "rerank": (lambda client: rerank(client, {"documents": ["x"]}), JSON, EMPTY_ACCOUNT),
    "speech": (lambda client: audio.create_speech(client, {}), JSON, EMPTY_ACCOUNT),
    "transcription": (lambda client: audio.transcribe(client, {"model": "x"}), JSON, EMPTY_ACCOUNT),
}


@pytest.mark.parametrize("call", list(CHARGED_CALLS))
def test_an_empty_account_within_a_200_is_not_charged_whatever_was_called(
    serve: Serve, answer: Answer, call: str
) -> None:
    send, headers, body = CHARGED_CALLS[call]
    with pytest.raises(errors.InsufficientBalance, match="balance is insufficient") as caught:
        send(Client("sk-x", serve(answer(200, body, headers)).address))
    assert caught.value.failure.code == 30001


def test_a_stream_that_ends_because_the_account_is_empty_was_charged_for_what_came(
    serve: Serve, answer: Answer
) -> None:
    body = (
        b'data: {"choices": [{"delta": {"content": "Once"}}]}\n\ndata: ' + EMPTY_ACCOUNT + b"\n\n"
    )
    with pytest.raises(errors.BrokenStream, match="Once"):
        chat.complete(Client("sk-x", serve(answer(200, body, EVENTS)).address), {}, print)


def test_a_limit_of_requests_per_day_is_a_daily_limit_without_its_abbreviation(
    serve: Serve, answer: Answer
) -> None:
    words = b'{"message": "Could only send 100 requests per day without real name verification."}'
    with pytest.raises(errors.DailyLimit):
        generate(Client("sk-x", serve(answer(429, words)).address), BODY)


def test_what_today_s_service_says_of_the_account_call_is_that_it_is_retired(
    today: Simulator,
) -> None:
    with pytest.raises(errors.RetiredCall):
        user_info(Client(today.key, today.base_url))


@contextmanager
def served(certificate: Path) -> Iterator[tuple[str, list[str]]]:
    """Serve HTTPS with this certificate: its address, and the paths that were asked for."""
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_response(410)
            self.end_headers()

        do_POST = do_GET  # noqa: N815 - the name is the library's

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_port}/v1", paths
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


CALLS: dict[str, Callable[[Client], object]] = {
    "a lookup": user_info,
    "a paid request": lambda client: generate(client, BODY),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(
    ("trusted", "reason"), [("trusted", "self"), ("untrusted", "IP address mismatch")]
)
def test_a_certificate_that_is_not_trusted_is_named_with_its_host_and_nothing_is_sent(
    call: Callable[[Client], object],
    trusted: str,
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that nobody signed, and one that is trusted but belongs to another host."""
    if trusted == "untrusted":
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(CERTIFICATES / "untrusted.pem"))
    with served(CERTIFICATES / f"{trusted}.pem") as (address, paths):
        with pytest.raises(errors.CertificateFailed) as caught:
            call(Client("sk-x", address))
        assert paths == []
    assert caught.value.charged is False
    assert f"the certificate of 127.0.0.1 is not trusted ({reason}" in str(caught.value)
    for word in ("Nothing was sent", "date and time", "company proxy", "REQUESTS_CA_BUNDLE"):
        assert word in str(caught.value)


def test_a_certificate_of_the_named_bundle_is_trusted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The advice helps: the company's certificate in the file of `REQUESTS_CA_BUNDLE`."""
    bundle = shutil.copy(CERTIFICATES / "trusted.pem", tmp_path / "company.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    with served(CERTIFICATES / "trusted.pem") as (address, paths):
        with pytest.raises(errors.RetiredCall):
            user_info(Client("sk-x", address))
        assert paths == ["/v1/user/info"]
