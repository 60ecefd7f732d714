"""Speech, transcriptions and voices.

Speech is a plain tone, whose pitch depends on the voice and the text, with a pause for each space.
A transcription of it gives back its text: a file made here carries it as a comment, and one that
was resampled or encoded since is recognised by its length and its tone.
"""

from __future__ import annotations

import base64
import secrets
import zlib
from typing import Any, NamedTuple

import numpy as np

from . import sound
from .models import Call, Result, Usage, count_tokens
from .responses import Refused, Reply, bad_parameter, json_reply
from .schemas import Upload

DEFAULT_FORMAT, DEFAULT_RATE = "mp3", 44100
RATES = {"opus": 48000}
SECONDS_A_CHARACTER, SHORTEST, LONGEST_SPEECH = 0.06, 0.6, 60.0
VOLUME, LOWEST, RANGE, PIECE = 0.25, 220, 1200, 16 * 1024
LARGEST_FILE, LONGEST_FILE, LONGEST_SAMPLE = 50 * 1024 * 1024, 3600, 30
SILENCE, LISTENED = 1e-4, 20
SOURCES = ("audio", "file")


class Spoken(NamedTuple):
    """Speech that was made here: how it is recognised, and what it says."""

    seconds: float
    tone: float
    text: str


def speech(call: Call) -> Result:
    """Speak a text in a voice, in the format asked for."""
    body = call.body
    text, kind = body["input"], body.get("response_format", DEFAULT_FORMAT)
    rate = body.get("sample_rate", RATES.get(kind, DEFAULT_RATE))
    key = f"{_voice(call)}/{text}".encode()
    tone = LOWEST + zlib.crc32(key) % RANGE
    seconds = min(LONGEST_SPEECH, SHORTEST + SECONDS_A_CHARACTER * len(text))
    spoken = Spoken(seconds / body.get("speed", 1.0), tone, text)
    gain = body.get("gain", 0.0)
    times = np.arange(round(spoken.seconds * rate)) / rate
    wave = VOLUME * 10 ** (gain / 20) * np.sin(2 * np.pi * tone * times)
    wave *= _audible(text, times / spoken.seconds)
    if kind in sound.FORMS:
        content = sound.packed(kind, wave, rate, text)
    else:
        content = sound.to_int16(wave)
        content = sound.wav(content, rate, text) if kind == "wav" else content
    call.state.spoken.append(spoken)
    pieces = tuple(content[at : at + PIECE] for at in range(0, len(content), PIECE))
    reply = Reply(pieces, "application/octet-stream", chunked=True)
    usage = Usage(input_tokens=count_tokens(text), bytes=len(text.encode()))
    return Result(lambda _: reply, usage)


def _audible(text: str, places: sound.Samples) -> sound.Samples:
    """Return how audible a text is at places from 0 to 1: the spaces are silent."""
    levels = [0.0, *(0.0 if letter.isspace() else 1.0 for letter in text), 0.0]
    levels[len(levels) // 2] = 1.0
    return np.interp(places, np.linspace(0, 1, len(levels)), levels)


def _voice(call: Call) -> str:
    """Return what stands for the voice of a request; raise Refused for one that is not there."""
    voice, references = call.body.get("voice", ""), call.body.get("references", [])
    if bool(voice) == bool(references):
        raise Refused(bad_parameter("exactly one of voice and references is required"))
    if len(references) > call.model.traits.get("references", 1):
        raise Refused(bad_parameter("references: more than this model speaks with"))
    for number, reference in enumerate(references):
        if reference["audio"].startswith("data:"):
            _check_sound(f"references.{number}.audio", reference["audio"], LONGEST_SAMPLE)
    model, _, name = voice.rpartition(":")
    known = model == call.model.name and name in call.model.traits.get("voices", [])
    uploaded = call.state.uploaded.get(voice, {})
    if voice and not known and uploaded.get("model") != call.model.name:
        raise Refused(bad_parameter(f"voice: {voice[:80]!r} is no voice of {call.model.name}"))
    return voice or repr(references)


def transcription(call: Call) -> Result:
    """Transcribe an uploaded file: say what speech made here says, and what other sound is like."""
    content = call.body["file"].content
    if len(content) > LARGEST_FILE:
        raise Refused(bad_parameter(f"file: larger than {LARGEST_FILE} bytes", 413))
    text = transcribe(content, list(call.state.spoken))
    return Result(lambda _: json_reply({"text": text}), Usage(output_tokens=count_tokens(text)))


def transcribe(content: bytes, spoken: list[Spoken]) -> str:
    """Return the words in a file of sound; raise Refused for what is none."""
    kind = sound.kind_of(content)
    if not kind:
        raise Refused(bad_parameter("file: the data is not a sound file"))
    text = sound.spoken_text(content)
    if kind != "wav":
        return f"({kind}, {len(content)} bytes)" if text is None else text
    recording = sound.read_wav(content)
    if recording.seconds > LONGEST_FILE:
        raise Refused(bad_parameter(f"file: longer than {LONGEST_FILE} seconds"))
    wave = recording.samples.mean(axis=0)[: LISTENED * recording.rate]
    if text is None and (not len(wave) or np.abs(recording.samples).max() < SILENCE):
        return ""
    peak = float(np.abs(np.fft.rfft(wave)).argmax() * recording.rate / max(1, len(wave)))
    for each in reversed(spoken):
        if abs(each.seconds - recording.seconds) < 0.03 and abs(each.tone - peak) < 1.5:
            text = text or each.text
    channels = recording.samples.shape[0]
    return text or (
        f"({recording.seconds:.1f} seconds without words, {recording.rate} Hz, "
        f"{channels} channel{'' if channels == 1 else 's'}, mostly {round(peak)} Hz)"
    )


def upload_voice(call: Call) -> Result:
    """Take a voice, sent as a file or as a data URL."""
    given = [name for name in SOURCES if name in call.body]
    if len(given) != 1:
        raise Refused(bad_parameter(f"exactly one of {' and '.join(SOURCES)} is required"))
    _check_sound(given[0], call.body[given[0]])
    voice = {name: str(call.body[name]) for name in ("model", "customName", "text")}
    uri = f"speech:{voice['customName']}:simulator:{secrets.token_hex(8)}"

    def keep() -> None:
        call.state.uploaded[uri] = {**voice, "uri": uri}

    return Result(lambda _: json_reply({"uri": uri}), work=keep)


def _check_sound(name: str, value: str | Upload, longest: int = 0) -> None:
    """Raise Refused for a file, or a data URL, that is no sound or not shorter than it may be."""
    try:
        coded = isinstance(value, str) and base64.b64decode(value.partition(",")[2], validate=True)
    except ValueError:
        raise Refused(bad_parameter(f"{name}: the data is not base64")) from None
    content = value.content if isinstance(value, Upload) else coded or b""
    if not (kind := sound.kind_of(content)):
        raise Refused(bad_parameter(f"{name}: the data is not a sound file"))
    if longest and kind == "wav" and sound.read_wav(content, name).seconds >= longest:
        raise Refused(bad_parameter(f"{name}: must be shorter than {longest} seconds"))


def list_voices(call: Call) -> Result:
    """Answer with the voices that were uploaded."""
    state = call.state
    return Result(lambda _: json_reply(dict.fromkeys(state.voice_lists, state.voices)))


def delete_voice(call: Call) -> Result:
    """Forget a voice; raise Refused for a uri that stands for none."""
    uri: Any = call.body["uri"]
    if uri not in call.state.uploaded:
        raise Refused(bad_parameter(f"uri: there is no voice {uri[:80]!r}"))
    return Result(lambda _: json_reply(""), work=lambda: call.state.uploaded.pop(uri, None))
