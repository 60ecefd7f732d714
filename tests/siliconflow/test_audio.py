"""Speech, transcriptions and voices, as bytes on the wire."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from comfyui_siliconflow.siliconflow import errors
from comfyui_siliconflow.siliconflow.client import Client
from comfyui_siliconflow.siliconflow.http.bodies import File
from comfyui_siliconflow.siliconflow.resources import audio as speech
from comfyui_siliconflow.storage.ledger import fingerprint

KEY = "sk-secret-0123456789"
BODY = {"model": "vendor/model", "input": "Hello", "voice": "vendor/model:alex"}
FORM: dict[str, str | File] = {
    "model": "vendor/model",
    "file": File("speech.wav", "audio/wav", b"RIFF the sound"),
}
Connect = Callable[..., tuple[Client, Any]]


@pytest.fixture
def connect(serve: Any, answer: Any) -> Connect:
    """Return a client of a server that answers with one body."""

    def make(body: bytes, media_type: str = "application/json") -> tuple[Client, Any]:
        headers = f"Content-Type: {media_type}\r\nx-siliconcloud-trace-id: t-1\r\n"
        server = serve(answer(body=body, headers=headers))
        return Client(KEY, f"{server.address}/v1"), server

    return make


def test_speech_is_the_file_that_arrived(connect: Connect) -> None:
    client, server = connect(b"RIFF\x24\x00", "application/octet-stream")
    result = speech.create_speech(client, BODY)
    assert (result.content, result.trace_id) == (b"RIFF\x24\x00", "t-1")
    assert json.loads(server.requests[0].partition(b"\r\n\r\n")[2]) == BODY


@pytest.mark.parametrize(
    ("body", "media_type", "words"),
    [
        (b"", "audio/wav", "it is empty"),
        (b'{"code": 20015, "message": "no such voice"}', "application/json", "no such voice"),
        (b'{"code": 50505, "message": "overloaded"}', "application/octet-stream", "overloaded"),
        (b"<html>Please wait</html>", "text/html", "Please wait"),
        (b"<html>Please wait</html>", "application/octet-stream", "Please wait"),
        (b"Model service overloaded.", "application/octet-stream", "overloaded"),
        (b'\r\n{"message": "overloaded"}', "application/octet-stream", "overloaded"),
        (b'\xef\xbb\xbf{"message": "overloaded"}', "audio/pcm", "overloaded"),
        (("a" + "服务繁忙" * 9999).encode(), "audio/pcm", "服务繁忙"),
        (f"RIFF {KEY}".encode(), "audio/wav", "it contains the API key"),
    ],
)
def test_an_answer_that_is_no_sound_is_an_error(
    connect: Connect, body: bytes, media_type: str, words: str
) -> None:
    with pytest.raises(errors.BadAnswer, match=words) as caught:
        speech.create_speech(connect(body, media_type)[0], BODY)
    assert "t-1" in str(caught.value)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("value", [1, 0x4142, -1, -9999])
def test_raw_sound_is_not_taken_for_text(connect: Connect, value: int) -> None:
    quiet_then_loud = bytes(2) + value.to_bytes(2, "little", signed=True) * 4000
    result = speech.create_speech(connect(quiet_then_loud, "application/octet-stream")[0], BODY)
    assert result.content == quiet_then_loud


def test_a_transcription_sends_the_file_as_a_form(connect: Connect) -> None:
    client, server = connect('{"text": "你好"}'.encode())
    assert speech.transcribe(client, FORM).text == "你好"
    head, _, form = server.requests[0].partition(b"\r\n\r\n")
    assert b"Content-Type: multipart/form-data; boundary=" in head
    assert b'name="model"\r\n\r\nvendor/model\r\n' in form
    assert b'name="file"; filename="speech.wav"\r\nContent-Type: audio/wav\r\n\r\nRIFF' in form


def test_silence_is_an_empty_text(connect: Connect) -> None:
    assert speech.transcribe(connect(b'{"text": ""}')[0], FORM).text == ""


@pytest.mark.parametrize("body", [b"{}", b"[]", b"null", b'{"text": null}', b'"Hello"'])
def test_a_transcription_without_a_text_is_an_error(connect: Connect, body: bytes) -> None:
    with pytest.raises(errors.BadAnswer, match="it contains no text"):
        speech.transcribe(connect(body)[0], FORM)


def test_a_voice_is_known_by_its_uri(connect: Connect) -> None:
    assert speech.upload_voice(connect(b'{"uri": "speech:me:1:2"}')[0], FORM).uri == "speech:me:1:2"
    with pytest.raises(errors.BadAnswer, match="it contains no voice ID"):
        speech.upload_voice(connect(b'{"uri": " "}')[0], FORM)


@pytest.mark.parametrize("name", ["result", "results"])
def test_voices_are_listed(connect: Connect, name: str) -> None:
    item = {"uri": "speech:me:1:2", "customName": "me", "model": "m", "text": "Hello"}
    client, server = connect(json.dumps({name: [item, {}, None]}).encode())
    assert speech.list_voices(client) == [speech.Voice("speech:me:1:2", "me", "m", "Hello")]
    assert server.requests[0].startswith(b"GET /v1/audio/voice/list ")


@pytest.mark.parametrize(
    ("body", "media_type", "words"),
    [
        (b'{"code": 20015, "message": "no such voice"}', "application/json", "no such voice"),
        (b'{"code": 20000, "success": false, "message": "no"}', "application/json", "no"),
        (b'{"message": "voice not found"}', "application/json", "voice not found"),
        (b'{"error": {"message": "voice not found"}}', "application/json", "voice not found"),
        (b'{"success": false, "msg": "no"}', "application/json", "no"),
        (b'"voice not found"', "application/json", "voice not found"),
        (b"not found", "text/plain", "not found"),
        (b"<html>Please log in</html>", "text/html", "Please log in"),
        (b"<html>Please log in</html>", "application/json", "Please log in"),
    ],
)
def test_a_voice_that_was_not_deleted_is_an_error(
    connect: Connect, body: bytes, media_type: str, words: str
) -> None:
    with pytest.raises(errors.BadAnswer, match=f"was not deleted: {words}"):
        speech.delete_voice(connect(body, media_type)[0], "speech:me:1:2")


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{}",
        '""',
        "null",
        "OK",
        '"deleted"',
        '{"code": 20000, "message": "whatever", "data": {"uri": "speech:me:1:2"}}',
        '{"code": null, "message": "Success.", "data": null}',
        '{"success": true}',
        '{"message": "删除成功"}',
    ],
)
def test_a_voice_is_deleted_where_the_answer_says_so_or_nothing(
    connect: Connect, body: str
) -> None:
    client, server = connect(body.encode())
    speech.delete_voice(client, "speech:me:1:2")
    assert server.requests[0].startswith(b"POST /v1/audio/voice/deletions ")
    assert server.requests[0].endswith(b'{"uri": "speech:me:1:2"}')


def test_a_file_is_named_by_its_content_and_never_shown() -> None:
    one, same, other = (File("a.wav", "audio/wav", content) for content in (b"1", b"1", b"2"))
    names = [fingerprint("account", "path", {"file": file}) for file in (one, same, other)]
    assert names[0] == names[1] != names[2]
    assert "content" not in repr(File("a.wav", "audio/wav", b"secret"))
