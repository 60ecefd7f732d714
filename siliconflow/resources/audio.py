"""`POST /audio/speech`, `/audio/transcriptions` and `/uploads/audio/voice`: text and speech.

Source: the `2024` API document. Voices are listed and deleted at two addresses that it lacks and
that the service's later pages name: `GET /audio/voice/list` and `POST /audio/voice/deletions`.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ...strings.text import Text
from ..client import Answer, Client, Content
from ..error_parsing import SUCCESS, read_body
from ..errors import BadAnswer, Failure
from ..http.multipart import File

SPEECH = "audio/speech"
TRANSCRIPTIONS = "audio/transcriptions"
UPLOAD = "uploads/audio/voice"
VOICES = "audio/voice/list"
DELETIONS = "audio/voice/deletions"
_TEXT_TYPES = ("application/json", "text/html", "text/plain", "application/xml", "text/xml")
_ENOUGH = 4096
"""Bytes of an answer in which it shows what it is, and says what it has to say."""
_DONE = frozenset(
    {"", "ok", "true", "done", "deleted", "success", "successful", "succeeded"}
    | {"成功", "删除成功", "操作成功", "已删除"}
)
"""Words that say of something that it was done."""


@dataclass(frozen=True)
class Transcription:
    """What was heard."""

    text: str
    trace_id: str
    seconds: float


@dataclass(frozen=True)
class Voice:
    """A voice of the account's own. `uri` is what a request for speech calls it by."""

    uri: str
    name: str
    model: str
    text: str


@dataclass(frozen=True)
class Uploaded:
    """The name that a voice was given."""

    uri: str
    trace_id: str
    seconds: float


def speak(client: Client, body: Mapping[str, Any]) -> Content:
    """Ask for speech, once; this costs money. Gives the file, in the format that was asked for.

    Raises a `RequestError` of the cause; `BadAnswer` for an answer that is no file.
    """
    found = client.post_for_file(SPEECH, body)
    known = Failure(status=200, model=str(body.get("model", "")), trace_id=found.trace_id)
    if not found.content:
        raise BadAnswer(replace(known, message=Text("it is empty", "内容为空")))
    if found.media_type in _TEXT_TYPES or _is_text(found.content):
        raise _said(known, found, Text("it is no sound", "不是音频"))
    return found


def transcribe(client: Client, form: Mapping[str, str | File]) -> Transcription:
    """Ask what is said in a file, once; this costs money. Silence gives an empty text.

    Raises a `RequestError` of the cause; `BadAnswer` for a 200 without a text.
    """
    answer = client.post_form(TRANSCRIPTIONS, form)
    text = answer.data.get("text") if isinstance(answer.data, dict) else None
    if not isinstance(text, str):
        raise _bad(answer, form, "it has no text", "其中没有文字")
    return Transcription(_whole(text), answer.trace_id, answer.seconds)


def upload(client: Client, form: Mapping[str, str | File]) -> Uploaded:
    """Make a voice of a recording, once. Raises a `RequestError` of the cause."""
    answer = client.post_form(UPLOAD, form)
    uri = answer.data.get("uri") if isinstance(answer.data, dict) else None
    if not isinstance(uri, str) or not uri.strip():
        raise _bad(answer, form, "it names no voice", "其中没有音色 ID")
    return Uploaded(_whole(uri), answer.trace_id, answer.seconds)


def voices(client: Client) -> list[Voice]:
    """List the account's own voices. Costs nothing. Raises a `RequestError` of the cause."""
    answer = client.get(VOICES)
    data = answer.data if isinstance(answer.data, dict) else {}
    found = data.get("result", data.get("results"))
    if not isinstance(found, list):
        raise _bad(answer, {}, "it lists no voices", "其中没有音色列表")
    return [_voice(item) for item in found if isinstance(item, dict) and item.get("uri")]


def delete(client: Client, uri: str) -> None:
    """Delete a voice of the account. Raises a `RequestError` of the cause.

    What a 200 says is documented as some text, so all that is no word of success is a refusal:
    a voice that is still there must not be told as deleted.
    """
    found = client.post_for_file(DELETIONS, {"uri": uri})
    if not _is_done(_beginning(found)):
        known = Failure(status=200, trace_id=found.trace_id)
        raise _said(known, found, Text("the voice was not deleted", "音色没有删除"))


def _said(known: Failure, found: Content, what: Text) -> BadAnswer:
    """Give the error of an answer that says something in place of what was asked for."""
    code, message = read_body(_beginning(found))
    said = Text(f"{what.en}: {message}", f"{what.zh}：{message}")
    return BadAnswer(replace(known, code=code, message=said))


def _is_done(body: str) -> bool:
    """Tell whether an answer says that something was done, or says nothing at all."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return _is_success(body)
    if not isinstance(said, dict):
        return _is_success(said)
    code, _ = read_body(body)
    if code in SUCCESS:
        return said.get("success") is not False and not said.get("error")
    return all(map(_is_success, said.values()))


def _is_success(value: object) -> bool:
    """Tell whether a value is a known word of success, or empty."""
    return value in (None, {}) or str(value).strip(" \t\r\n.!。！").lower() in _DONE


def _beginning(found: Content) -> str:
    return found.content[:_ENOUGH].decode("utf-8", "replace")


def _is_text(content: bytes) -> bool:
    """Tell whether this is what an error looks like, whatever its type says.

    Raw sound has no mark, so that anything would pass for it; but it is never wholly printable.
    """
    start = content[:_ENOUGH]
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(start, final=start == content)
    except UnicodeDecodeError:
        return False
    return "".join(text.split()).isprintable()


def _voice(item: Mapping[str, Any]) -> Voice:
    named = (item.get(name) for name in ("uri", "customName", "model", "text"))
    return Voice(*(_whole(value) if isinstance(value, str) else "" for value in named))


def _whole(text: str) -> str:
    """Write half a character, which JSON may hold, as a question mark."""
    return text.encode("utf-8", "replace").decode()


def _bad(answer: Answer, form: Mapping[str, Any], en: str, zh: str) -> BadAnswer:
    model = str(form.get("model", ""))
    return BadAnswer(Failure(Text(en, zh), 200, model=model, trace_id=answer.trace_id))
