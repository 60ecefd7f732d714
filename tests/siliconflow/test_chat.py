"""Answers of language models: streams, whole and broken."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
from comfyui_siliconflow.siliconflow import errors
from comfyui_siliconflow.siliconflow.client import Client
from comfyui_siliconflow.siliconflow.resources import chat
from comfyui_siliconflow.tests.siliconflow.conftest import drip, stay_silent

KEY = "sk-secret-0123456789"
Serve = Callable[..., Any]
HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
    b"Connection: close\r\nx-siliconcloud-trace-id: t-1\r\n\r\n"
)


def event(content: str | None = None, reason: str | None = None, **more: Any) -> bytes:
    delta = {"content": content, **more}
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return f"data: {json.dumps({'id': '1', 'choices': [choice]})}\n\n".encode()


DONE = b"data: [DONE]\n\n"
WHOLE = event("Hello") + event(", ") + event("world", "stop") + DONE


def sends(*parts: bytes, head: bytes = HEAD, silent: bool = False) -> Any:
    def script(connection: socket.socket, request: bytes) -> None:
        connection.sendall(head)
        for part in parts:
            connection.sendall(part)
            time.sleep(0.01)
        if silent:
            stay_silent(connection, request)

    return script


@pytest.fixture
def complete(serve: Serve) -> Callable[..., chat.Completion]:
    def complete(script: Any, heard: list[str] | None = None, **options: Any) -> chat.Completion:
        client = Client(KEY, f"{serve(script).address}/v1", **options)
        body = {"model": "vendor/model", "messages": [{"role": "user", "content": "Hi"}]}
        return chat.complete(client, body, (heard if heard is not None else []).append)

    return complete


def test_a_stream_becomes_a_text_that_is_heard_while_it_grows(
    complete: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat, "ON_TEXT_SECONDS", 0)
    heard: list[str] = []
    completion = complete(sends(event("Hello"), event(", "), event("world", "stop"), DONE), heard)
    assert (completion.text, completion.finish_reason, completion.trace_id) == (
        "Hello, world",
        "stop",
        "t-1",
    )
    assert heard == ["Hello", "Hello, ", "Hello, world"]


def test_the_request_asks_for_a_stream(serve: Serve) -> None:
    server = serve(sends(WHOLE))
    chat.complete(Client(KEY, f"{server.address}/v1"), {"model": "m"}, lambda _: None)
    assert json.loads(server.requests[0].partition(b"\r\n\r\n")[2])["stream"] is True


def test_thoughts_are_kept_apart(complete: Any) -> None:
    thoughts = event(None, reasoning_content="Let me see. ")
    completion = complete(
        sends(thoughts, event(None, reasoning_content="Yes."), event("42", "stop"), DONE)
    )
    assert (completion.text, completion.reasoning) == ("42", "Let me see. Yes.")


@pytest.mark.parametrize(
    ("written", "text", "thoughts"),
    [
        ("<think>\nLet me see.\n</think>\n\n42", "42", "Let me see."),
        ("\n<think></think>42", "42", ""),
        ("<think>Let me", "", "Let me"),
        ("Write <think> first", "Write <think> first", ""),
        ("Let me see.\n</think>\n\n42", "42", "Let me see."),
        ("It ends with </think>, always", "It ends with </think>, always", ""),
    ],
)
def test_thoughts_within_the_answer_are_kept_apart(
    complete: Any, written: str, text: str, thoughts: str
) -> None:
    parts = [event(part) for part in (written[:4], written[4:]) if part]
    completion = complete(sends(*parts, event("", "stop"), DONE))
    assert (completion.text, completion.reasoning) == (text, thoughts)


def test_usage_comes_with_the_last_event_or_one_of_its_own(complete: Any) -> None:
    usage = b'data: {"id": "1", "choices": [], "usage": {"total_tokens": 9, "x": null}}\n\n'
    assert complete(sends(event("Hi", "stop"), usage, DONE)).usage == {"total_tokens": 9}


def test_the_shape_of_the_api_document_is_read(complete: Any) -> None:
    """There, the reason of the end stands beside the choices, and a token beside both."""
    chunk = {
        "id": "1",
        "object": "chat.completion.chunk",
        "created": 1,
        "token": {"id": 1, "text": "Hi", "logprob": 0, "special": False},
        "choices": [{"index": 0, "delta": {"content": "Hi"}}],
        "finish_reason": "length",
    }
    completion = complete(sends(f"data: {json.dumps(chunk)}\n\n".encode(), DONE))
    assert (completion.text, completion.finish_reason) == ("Hi", "length")


def test_a_whole_answer_where_no_stream_arrived_is_read(complete: Any, answer: Any) -> None:
    choice = {"message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
    body = json.dumps({"choices": [choice], "usage": {"total_tokens": 3}}).encode()
    for headers in ("Content-Type: application/json\r\n", ""):
        completion = complete(answer(body=body, headers=headers))
        assert (completion.text, completion.usage) == ("Hi", {"total_tokens": 3})


def test_a_stream_that_named_its_end_needs_no_last_line(complete: Any) -> None:
    assert complete(sends(event("Hi", "stop"))).text == "Hi"


@pytest.mark.parametrize("end", [b"data: {oops\n\n", event("more")[:20], b""])
def test_what_breaks_after_the_text_has_ended_takes_nothing_from_it(
    complete: Any, end: bytes
) -> None:
    whole = event("Hi", "stop")
    chunked = b"%x\r\n%s\r\n" % (len(whole), whole)
    head = HEAD.replace(b"Connection", b"Transfer-Encoding: chunked\r\nConnection")
    assert complete(sends(chunked, b"%x\r\n%s" % (len(end) + 9, end), head=head)).text == "Hi"


def test_half_a_character_becomes_a_question_mark(complete: Any) -> None:
    assert complete(sends(event("\ud83d", "stop"), DONE)).text == "?"


BROKEN = {
    "cut between events": sends(event("Hello")),
    "cut within an event": sends(event("Hello"), event("world")[:20]),
    "no JSON": sends(event("Hello"), b"data: {oops\n\n", DONE),
    "no object": sends(event("Hello"), b"data: 42\n\n", DONE),
    "an error object": sends(
        event("Hello"), b'data: {"code": 50505, "message": "overloaded", "data": null}\n\n'
    ),
    "an error of the other kind": sends(
        event("Hello"), b'data: {"error": {"message": "overloaded", "type": "x"}}\n\n'
    ),
    "chunks without an end": sends(
        b"%x\r\n%s\r\n" % (len(event("Hello")), event("Hello")),
        head=HEAD.replace(b"Connection", b"Transfer-Encoding: chunked\r\nConnection"),
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_stream_that_breaks_is_an_error_that_holds_the_text_so_far(
    complete: Any, name: str
) -> None:
    with pytest.raises(errors.BrokenStream) as caught:
        complete(BROKEN[name])
    assert "5 characters arrived: Hello" in str(caught.value)
    assert "t-1" in str(caught.value)
    assert "vendor/model" in str(caught.value)
    assert caught.value.charged is None
    assert not caught.value.retryable


def test_what_the_service_says_in_the_stream_is_reported(complete: Any) -> None:
    with pytest.raises(errors.BrokenStream, match="overloaded"):
        complete(BROKEN["an error object"])


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ([event("Half", "error"), DONE], "it ended with: error"),
        ([event("Half", "abort")], "it ended with: abort"),
        ([event("Half"), b'data: {"message": "overloaded"}\n\n', DONE], "overloaded"),
        (
            [
                event("Half"),
                b'data: {"choices": [{}], "error": {"message": "out of memory"}}\n\n',
                DONE,
            ],
            "out of memory",
        ),
    ],
)
def test_an_answer_that_the_service_breaks_off_is_an_error(
    complete: Any, parts: list[bytes], why: str
) -> None:
    with pytest.raises(errors.BrokenStream, match="4 characters arrived: Half") as caught:
        complete(sends(*parts))
    assert why in str(caught.value)


def test_a_text_that_breaks_off_keeps_its_lines(complete: Any) -> None:
    with pytest.raises(errors.BrokenStream, match="# Title\n\n- one"):
        complete(sends(event("# Title\n\n- one")))


def test_a_silent_stream_ends_with_the_read_timeout(complete: Any) -> None:
    with pytest.raises(errors.BrokenStream, match="Hello"):
        complete(sends(event("Hello"), silent=True), read_timeout=0.3)


def test_a_stream_that_drips_for_ever_has_an_end(complete: Any) -> None:
    with pytest.raises(errors.BrokenStream, match="Hello"):
        complete(drip(HEAD + event("Hello"), b":\n"), connect_timeout=0.1, read_timeout=0.1)


def test_all_that_was_paid_for_is_in_the_error_and_of_a_flood_its_end(complete: Any) -> None:
    with pytest.raises(errors.BrokenStream) as caught:
        complete(sends(event("the beginning " + "x " * 8000 + "the end")))
    assert "the beginning x" in str(caught.value)
    with pytest.raises(errors.BrokenStream) as caught:
        complete(sends(event("the beginning " + "x " * 50_000 + "the end")))
    assert len(str(caught.value)) < 21_000
    assert "x the end" in str(caught.value)


def test_images_in_a_broken_text_are_not_shown(complete: Any) -> None:
    with pytest.raises(errors.BrokenStream) as caught:
        complete(sends(event("data:image/png;base64," + "iVBOR" * 20)))
    assert "iVBOR" not in str(caught.value)


@pytest.mark.parametrize("parts", [(KEY,), (KEY[:6], KEY[6:])])
def test_a_stream_that_says_the_key_is_an_error_without_it(
    complete: Any, parts: tuple[str]
) -> None:
    with pytest.raises(errors.BadAnswer) as caught:
        complete(sends(*map(event, parts), DONE))
    assert KEY not in str(caught.value)


def test_a_broken_stream_that_said_the_key_does_not_show_it(complete: Any) -> None:
    with pytest.raises(errors.BrokenStream) as caught:
        complete(sends(event(f"It is {KEY}"), b"data: {oops\n\n"))
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("parts", [(), (DONE,), (event(""), DONE), (b"<html>",)])
def test_an_answer_without_a_text_is_none(complete: Any, parts: tuple[bytes, ...]) -> None:
    with pytest.raises(errors.BadAnswer, match="t-1"):
        complete(sends(*parts))


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, errors.BadRequest), (429, errors.RateLimited), (503, errors.Overloaded)],
)
def test_a_refusal_is_the_error_of_its_cause(
    complete: Any, answer: Any, status: int, kind: type[errors.RequestError]
) -> None:
    with pytest.raises(kind):
        complete(answer(status, b'"no"'))


def test_a_tool_of_a_hundred_thousand_brackets_does_no_harm(complete: Any) -> None:
    with pytest.raises(errors.BadAnswer):
        complete(sends(b"data: " + b"[" * 100_000 + b"\n\n"))
