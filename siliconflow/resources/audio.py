"""`POST /audio/speech`, `/audio/transcriptions` and `/uploads/audio/voice`: text and speech.

Source: the `2024` API document. Voices are listed and deleted at two addresses that it lacks and
that the service's later pages name: `GET /audio/voice/list` and `POST /audio/voice/deletions`.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..client import Client, FileResponse, bad_answer
from ..error_parsing import SUCCESS_CODES, parse_error_body
from ..errors import RequestError
from ..http.bodies import File, read_object, read_text

SPEECH_PATH = "audio/speech"
TRANSCRIPTIONS_PATH = "audio/transcriptions"
UPLOAD_PATH = "uploads/audio/voice"
VOICES_PATH = "audio/voice/list"
DELETIONS_PATH = "audio/voice/deletions"
_TEXT_TYPES = ("application/json", "text/html", "text/plain", "application/xml", "text/xml")
_START_BYTES = 4096
"""Bytes at the start of a body that tell what it is, and hold its message if it has one."""
_SUCCESS_WORDS = frozenset(
    {"", "ok", "true", "done", "deleted", "success", "successful", "succeeded"}
    | {"成功", "删除成功", "操作成功", "已删除"}
)


@dataclass(frozen=True)
class Transcription:
    """The text of a recording."""

    text: str
    trace_id: str
    seconds: float


@dataclass(frozen=True)
class Voice:
    """A voice of the account. A request for speech refers to it by `uri`."""

    uri: str
    name: str
    model: str
    text: str


@dataclass(frozen=True)
class UploadedVoice:
    """The id of a voice that was created."""

    uri: str
    trace_id: str
    seconds: float


def create_speech(client: Client, body: Mapping[str, Any]) -> FileResponse:
    """Speak a text, once; this is charged. Returns the file in the format that was requested.

    Raises a `RequestError` of the cause; `BadAnswer` for a response that is not audio.
    """
    response = client.post_for_file(SPEECH_PATH, body)
    if not response.content:
        raise bad_answer(response, "response.empty")
    if response.media_type in _TEXT_TYPES or _is_printable(response.content):
        raise _bad_file(response, "response.not_audio")
    return response


def transcribe(client: Client, form: Mapping[str, str | File]) -> Transcription:
    """Transcribe a file, once; this is charged. Silence gives an empty text.

    Raises a `RequestError` of the cause; `BadAnswer` for a 200 without a text.
    """
    response = client.post_form(TRANSCRIPTIONS_PATH, form)
    text = read_object(response.data).get("text")
    if not isinstance(text, str):
        raise bad_answer(response, "response.no_text")
    return Transcription(read_text(text), response.trace_id, response.seconds)


def upload_voice(client: Client, form: Mapping[str, str | File]) -> UploadedVoice:
    """Create a voice from a recording, once. Raises a `RequestError` of the cause."""
    response = client.post_form(UPLOAD_PATH, form)
    uri = read_text(read_object(response.data).get("uri"))
    if not uri.strip():
        raise bad_answer(response, "response.no_voice")
    return UploadedVoice(uri, response.trace_id, response.seconds)


def list_voices(client: Client) -> list[Voice]:
    """Return the account's own voices. Free. Raises a `RequestError` of the cause."""
    response = client.get(VOICES_PATH)
    data = read_object(response.data)
    voices = data.get("result", data.get("results"))
    if not isinstance(voices, list):
        raise bad_answer(response, "response.no_voices")
    return [_voice(voice) for voice in map(read_object, voices) if voice.get("uri")]


def delete_voice(client: Client, uri: str) -> None:
    """Delete a voice of the account. Raises a `RequestError` of the cause.

    The body of a 200 is documented as some text, so everything but a word of success is taken for
    a refusal: a voice that is still there must not be reported as deleted.
    """
    response = client.post_for_file(DELETIONS_PATH, {"uri": uri})
    if not _says_success(_start_of(response)):
        raise _bad_file(response, "response.not_deleted")


def _bad_file(response: FileResponse, key: str) -> RequestError:
    """Return the error of a body that holds a message in place of what was requested."""
    code, message = parse_error_body(_start_of(response))
    return bad_answer(response, key, code, message=message)


def _says_success(body: str) -> bool:
    """Return whether a body says that something was done, or is empty."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return _is_success(body)
    if not isinstance(value, dict):
        return _is_success(value)
    code, _ = parse_error_body(body)
    if code in SUCCESS_CODES:
        return value.get("success") is not False and not value.get("error")
    return all(map(_is_success, value.values()))


def _is_success(value: object) -> bool:
    """Return whether a value is a known word of success, or empty."""
    return value in (None, {}) or str(value).strip(" \t\r\n.!。！").lower() in _SUCCESS_WORDS


def _start_of(response: FileResponse) -> str:
    return response.content[:_START_BYTES].decode("utf-8", "replace")


def _is_printable(content: bytes) -> bool:
    """Return whether a file is text, as an error is whatever its media type.

    Raw audio has no signature, so that anything would pass for it; but it is never all printable.
    """
    start = content[:_START_BYTES]
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(start, final=start == content)
    except UnicodeDecodeError:
        return False
    return "".join(text.split()).isprintable()


def _voice(entry: Mapping[str, Any]) -> Voice:
    return Voice(*(read_text(entry.get(name)) for name in ("uri", "customName", "model", "text")))
