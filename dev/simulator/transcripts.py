"""`POST /audio/transcriptions`: says what speech made here says, and what other sound is like."""

from __future__ import annotations

import numpy as np

from . import modem, tokens
from .answers import Refused, answer_json, bad_parameter
from .inputs import Upload
from .sending import reply_json
from .sound import NotSound, Recording, kind_of, read_wav, tagged_text
from .work import Ask, Work

LARGEST = 50 * 1024 * 1024
LONGEST = 3600
SILENCE = 1e-4


def answer(ask: Ask) -> Work:
    """Transcribe an uploaded file."""
    upload: Upload = ask.body["file"]
    if len(upload.content) > LARGEST:
        raise Refused(answer_json(413, too_much(f"file: larger than {LARGEST} bytes")))
    text = transcribe(upload.content)
    return Work(reply_json({"text": text}), tokens.count(text))


def too_much(message: str) -> dict[str, object]:
    """Return the error body for a file beyond the limits."""
    return {"code": 20015, "message": message, "data": None}


def transcribe(content: bytes) -> str:
    """Return the words in a file of sound; refuse what is none."""
    kind = kind_of(content)
    if not kind:
        raise Refused(bad_parameter("file: the data is not a sound file"))
    if kind != "wav":
        text = tagged_text(content)
        return f"({kind}, {len(content)} bytes)" if text is None else text
    try:
        recording = read_wav(content)
    except (NotSound, ValueError) as error:
        raise Refused(bad_parameter(f"file: {error}")) from None
    if recording.seconds > LONGEST:
        raise Refused(bad_parameter(f"file: longer than {LONGEST} seconds"))
    return _words(recording)


def _words(recording: Recording) -> str:
    """Return the words in a recording: none in silence, a description of sound without words."""
    wave = recording.samples.mean(axis=0)
    if not len(wave) or np.abs(wave).max() < SILENCE:
        return ""
    return modem.join(modem.listen(wave, recording.rate)) or _describe(recording)


def _describe(recording: Recording) -> str:
    wave = recording.samples.mean(axis=0)[: 10 * recording.rate]
    peak = np.abs(np.fft.rfft(wave)).argmax() * recording.rate / len(wave)
    channels = recording.samples.shape[0]
    return (
        f"({recording.seconds:.1f} seconds without words, {recording.rate} Hz, "
        f"{channels} channel{'' if channels == 1 else 's'}, mostly {round(peak)} Hz)"
    )
