"""Voices that users upload: `POST /uploads/audio/voice`, and the list and deletion of them."""

from __future__ import annotations

import base64
import binascii
import secrets
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .answers import Refused, bad_parameter
from .inputs import Upload
from .sending import reply_json
from .sound import kind_of
from .work import Ask, Work

SOURCES = ("audio", "file")


@dataclass(frozen=True)
class Voice:
    """An uploaded voice, as the list shows it."""

    model: str
    # The API's own name, as it stands in the list.
    customName: str  # noqa: N815
    text: str
    uri: str


@dataclass
class Voices:
    """The voices of the account."""

    kept: dict[str, Voice] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, voice: Voice) -> None:
        """Keep a voice."""
        with self._lock:
            self.kept[voice.uri] = voice

    def remove(self, uri: str) -> bool:
        """Forget a voice; False when there is none of this uri."""
        with self._lock:
            return self.kept.pop(uri, None) is not None

    def all(self) -> list[dict[str, str]]:
        """List the voices, in the order they came."""
        with self._lock:
            return [asdict(voice) for voice in self.kept.values()]

    def has(self, uri: str, model: str) -> bool:
        """Tell whether there is such a voice for a model."""
        voice = self.kept.get(uri)
        return voice is not None and voice.model == model


def upload(ask: Ask) -> Work:
    """Take a voice, sent as a file or as a data URL."""
    given = [name for name in SOURCES if name in ask.body]
    if len(given) != 1:
        raise Refused(bad_parameter(f"exactly one of {' and '.join(SOURCES)} is required"))
    check_sound(given[0], _content(ask.body[given[0]]))
    name = str(ask.body["customName"])
    uri = f"speech:{name}:simulator:{secrets.token_hex(8)}"
    voice = Voice(ask.model.name, name, str(ask.body["text"]), uri)
    return Work(reply_json({"uri": uri}), keep=lambda: ask.voices.add(voice))


def _content(value: str | Upload) -> bytes:
    return value.content if isinstance(value, Upload) else decode_sound("audio", value)


def decode_sound(name: str, url: str) -> bytes:
    """Decode a data URL; refuse what is not one."""
    try:
        return base64.b64decode(url.partition(",")[2], validate=True)
    except (binascii.Error, ValueError):
        raise Refused(bad_parameter(f"{name}: the data is not base64")) from None


def check_sound(name: str, content: bytes) -> None:
    """Refuse bytes that no player would take for sound."""
    if not kind_of(content):
        raise Refused(bad_parameter(f"{name}: the data is not a sound file"))


def listing(ask: Ask) -> Work:
    """List the voices that were uploaded."""
    voices = ask.voices.all()
    return Work(reply_json(dict.fromkeys(ask.voice_lists, voices)))


def deletion(ask: Ask) -> Work:
    """Forget a voice; refuse a uri that stands for none."""
    uri: Any = ask.body["uri"]
    if uri not in ask.voices.kept:
        raise Refused(bad_parameter(f"uri: there is no voice {uri[:80]!r}"))
    return Work(reply_json(""), keep=lambda: _remove(ask.voices, ask.body))


def _remove(voices: Voices, body: Mapping[str, Any]) -> None:
    voices.remove(body["uri"])
