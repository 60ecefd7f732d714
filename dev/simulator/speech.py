"""`POST /audio/speech`: a text becomes sound that a transcription here can read back."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from . import modem, mp3, sound, tokens
from .answers import Refused, bad_parameter
from .sending import Reply
from .voices import check_sound, decode_sound
from .work import Ask, Work

DEFAULT_FORMAT = "mp3"
RATES = {"opus": 48000}
DEFAULT_RATE = 44100
LONG_TEXT = 3000
FASTEST = 4.0
PIECE = 16 * 1024
PAUSE = 5
# What a voice hums: men low, women high, uploaded voices somewhere between.
PITCHES = {
    "alex": 110,
    "benjamin": 90,
    "charles": 100,
    "david": 120,
    "anna": 200,
    "bella": 220,
    "claire": 190,
    "diana": 240,
}
LOWEST, RANGE = 90, 150


def answer(ask: Ask) -> Work:
    """Speak a text in a voice, in the format asked for."""
    body = ask.body
    pitch = _pitch(ask)
    kind = body.get("response_format", DEFAULT_FORMAT)
    rate = body.get("sample_rate", RATES.get(kind, DEFAULT_RATE))
    content = _FORMATS[kind](body, rate, pitch)
    pieces = tuple(content[at : at + PIECE] for at in range(0, len(content), PIECE))
    reply = Reply(pieces, "application/octet-stream", chunked=True)
    return Work(reply, tokens.count(body["input"]))


def _pitch(ask: Ask) -> float:
    """Find the voice of a request; refuse one that there is not."""
    voice, references = ask.body.get("voice", ""), ask.body.get("references", [])
    if bool(voice) == bool(references):
        raise Refused(bad_parameter("exactly one of voice and references is required"))
    for number, reference in enumerate(references):
        if reference["audio"].startswith("data:"):
            place = f"references.{number}.audio"
            check_sound(place, decode_sound(place, reference["audio"]))
    model, _, name = voice.rpartition(":")
    if model == ask.model.name and name in ask.model.traits.get("voices", PITCHES):
        return PITCHES[name]
    if voice and not ask.voices.has(voice, ask.model.name):
        raise Refused(bad_parameter(f"voice: {voice[:80]!r} is no voice of {ask.model.name}"))
    key = hashlib.sha256(repr((voice, references)).encode()).digest()
    return LOWEST + key[0] * RANGE / 255


def _speed(body: Mapping[str, Any]) -> float:
    """Return how fast to speak: a very long text is spoken faster, so that a trial stays short."""
    pressed = max(1.0, len(body["input"].encode()) / LONG_TEXT)
    return float(min(FASTEST, body.get("speed", 1.0) * pressed))


def _pcm(body: Mapping[str, Any], rate: int, pitch: float) -> bytes:
    loudness = 10 ** (body.get("gain", 0.0) / 20)
    waves = modem.speak(body["input"], rate, _speed(body), pitch)
    return b"".join(sound.to_int16(wave * loudness) for wave in waves)


def _wav(body: Mapping[str, Any], rate: int, pitch: float) -> bytes:
    return sound.wav(_pcm(body, rate, pitch), rate)


def _mp3(body: Mapping[str, Any], rate: int, _: float) -> bytes:
    """Make an MP3: symbols last whole granules, and a voice has no hum."""
    granule = mp3.GRANULE / rate
    each = max(1, round(modem.SYMBOL / _speed(body) / granule))
    tones: list[float] = []
    for frame in modem.frames(body["input"], each * granule):
        tones += np.repeat(frame, each).tolist()
        tones += [0.0] * PAUSE
    return sound.id3(body["input"]) + mp3.encode(tones, rate, body.get("gain", 0.0))


def _opus(body: Mapping[str, Any], _: int, __: float) -> bytes:
    symbols = sum(map(len, modem.frames(body["input"], modem.SYMBOL)))
    return sound.opus(symbols * modem.SYMBOL / _speed(body), body["input"])


_FORMATS: dict[str, Callable[[Mapping[str, Any], int, float], bytes]] = {
    "pcm": _pcm,
    "wav": _wav,
    "mp3": _mp3,
    "opus": _opus,
}
