"""Speech that carries its text: tones that a microphone, a resampler or a mixer leaves readable.

Half a byte is one of sixteen tones between 500 and 2900 Hz. A frame begins with four stretches of
two higher tones; from their length a reader learns how long a symbol lasts. Then come a header,
some text, and a checksum. All of it fits below 3400 Hz, so that even 8000 samples a second hold
it; a voice is a hum below, which carries nothing. Louder, slower, mixed with itself or resampled,
the text stays.
"""

from __future__ import annotations

import binascii
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float64]
Numbers = NDArray[Any]

RATE = 8000
TONES = 500.0 + 160.0 * np.arange(16)
SYNC = (3100.0, 3350.0)
SYNC_LENGTH = 4
PREAMBLE = np.repeat([SYNC[0], SYNC[1], SYNC[0], SYNC[1]], SYNC_LENGTH)
HEADER = struct.Struct(">BHB")
CHECK = struct.Struct(">H")
TICK = 1e-5
SYMBOL = 0.0333
SHORTEST, LONGEST = 0.0075, 0.15
TEXT_BYTES = 120
FADE, GAP = 0.004, 0.06
VOLUME, HUM = 0.25, 0.05
WINDOW = 56
SURE = 0.5
SEGMENT, OVERLAP = 60 * RATE, 3 * RATE
CENTRE = 0.9
STRETCHES = (1.0, 0.995, 1.005, 0.99, 1.01, 0.98, 1.02, 0.97, 1.03)
SHIFTS = (0.0, -0.1, 0.1, -0.2, 0.2, -0.3, 0.3)


@dataclass(frozen=True)
class Heard:
    """A piece of text in a recording."""

    text: str
    number: int
    """Its place in what was said: 0 begins anew."""


# Speaking


def speak(text: str, rate: int, speed: float, pitch: float) -> Iterator[Samples]:
    """Yield the sound of a text, piece by piece; its length follows the text and the speed."""
    length = SYMBOL / speed
    for tones in frames(text, length):
        yield _sound(tones, round(length / TICK) * TICK, rate, pitch)
        yield np.zeros(round(GAP * rate))


def frames(text: str, length: float) -> Iterator[Samples]:
    """Yield the tones of a text, frame by frame, for symbols that last so many seconds."""
    for number, piece in enumerate(_pieces(text)):
        yield _symbols(piece, number, round(length / TICK))


def _pieces(text: str) -> Iterator[bytes]:
    """Cut a text into pieces of whole characters."""
    piece = b""
    for character in text:
        more = character.encode(errors="replace")
        if len(piece) + len(more) > TEXT_BYTES:
            yield piece
            piece = b""
        piece += more
    yield piece


def _symbols(piece: bytes, number: int, ticks: int) -> Samples:
    """Return the tone of each symbol of a frame."""
    head = HEADER.pack(len(piece), ticks, min(number, 255))
    content = np.frombuffer(head + _check(head) + piece + _check(piece), np.uint8)
    halves = np.stack([content >> 4, content & 15], axis=1).ravel()
    return np.concatenate([PREAMBLE, TONES[halves]])


def _check(content: bytes) -> bytes:
    return CHECK.pack(binascii.crc_hqx(content, 0xFFFF))


def _sound(tones: Samples, length: float, rate: int, pitch: float) -> Samples:
    """Play tones one after the other, without a jump between them."""
    edges = np.round(np.arange(len(tones) + 1) * length * rate).astype(int)
    each = np.repeat(tones, np.diff(edges))
    wave = VOLUME * np.sin(2 * np.pi * np.cumsum(each) / rate)
    wave += HUM * np.sin(2 * np.pi * pitch * np.arange(len(wave)) / rate)
    fade = np.linspace(0, 1, max(2, round(FADE * rate)))
    wave[: len(fade)] *= fade
    wave[-len(fade) :] *= fade[::-1]
    return wave


# Listening


def listen(wave: Samples, rate: int) -> list[Heard]:
    """Return the texts in a recording, in the order they were said; damaged pieces are missing."""
    if rate < RATE:
        return []
    wave = _resample(wave, rate)
    heard: list[Heard] = []
    end = 0.0
    for start, length in _beginnings(wave):
        if start >= end:
            found = _read(wave, start, length)
            if found:
                heard.append(found[0])
                end = found[1]
    return heard


def join(heard: list[Heard]) -> str:
    """Put pieces together: those of one speech as they were, several with a space where needed."""
    text = ""
    for piece in heard:
        anew = piece.number == 0 and text and piece.text
        if anew and text[-1].isascii() and piece.text[0].isascii():
            text = text.rstrip() + " "
        text += piece.text
    return text.strip()


def _resample(wave: Samples, rate: int) -> Samples:
    if rate == RATE:
        return wave
    times = np.arange(int(len(wave) * RATE / rate)) * (rate / RATE)
    resampled: Samples = np.interp(times, np.arange(len(wave)), wave)
    return resampled


def _beginnings(wave: Samples) -> list[tuple[float, float]]:
    """Find where headers begin, and how long their symbols seem to last, in samples."""
    found: list[tuple[float, float]] = []
    for begin in range(0, max(1, len(wave)), SEGMENT):
        segment = wave[begin : begin + SEGMENT + OVERLAP]
        found += [(begin + start, length) for start, length in _preambles(segment)]
    return found


def _preambles(wave: Samples) -> Iterator[tuple[float, float]]:
    runs = _runs(wave)
    for one, two, three, four in zip(runs, runs[1:], runs[2:], runs[3:], strict=False):
        if (one[0], two[0], three[0], four[0]) != (0, 1, 0, 1):
            continue
        edges = [(two[1] + one[2]) / 2, (three[1] + two[2]) / 2, (four[1] + three[2]) / 2]
        length = (edges[2] - edges[0]) / (2 * SYNC_LENGTH)
        even = abs(edges[1] * 2 - edges[0] - edges[2]) < SYNC_LENGTH * length / 2
        if even and SHORTEST * RATE < length < LONGEST * RATE:
            yield edges[2] + SYNC_LENGTH * length, length


def _runs(wave: Samples) -> list[tuple[int, int, int]]:
    """Return the stretches where one of the two higher tones rules: which, from, to."""
    if len(wave) <= WINDOW:
        return []
    strength = np.stack([_strength(wave, tone) for tone in SYNC])
    ruler = np.where(strength.max(axis=0) > SURE, strength.argmax(axis=0), -1)
    edges = np.flatnonzero(np.diff(ruler)) + 1
    starts, ends = np.concatenate([[0], edges]), np.concatenate([edges, [len(ruler)]])
    middle = WINDOW // 2
    return [
        (int(ruler[start]), int(start) + middle, int(end) + middle)
        for start, end in zip(starts, ends, strict=True)
        if ruler[start] >= 0 and end - start > SHORTEST * RATE
    ]


def _strength(wave: Samples, tone: float) -> Samples:
    """Tell for each moment what share of the sound is this tone."""
    turned = wave * np.exp(-2j * np.pi * tone / RATE * np.arange(len(wave)))
    share: Samples = 2 * np.abs(_moving(turned)) ** 2 / (WINDOW * _moving(wave**2) + 1e-9)
    return share


def _moving(values: Numbers) -> Numbers:
    total = np.concatenate([[0], np.cumsum(values)])
    sums: Numbers = total[WINDOW:] - total[:-WINDOW]
    return sums


def _read(wave: Samples, start: float, length: float) -> tuple[Heard, float] | None:
    """Read the frame whose header begins here; None when it is damaged."""
    size = HEADER.size + CHECK.size
    for stretch in STRETCHES:
        for shift in SHIFTS:
            at = start + shift * length
            head = _bytes(wave, at, length * stretch, size)
            if head and _check(head[: HEADER.size]) == head[HEADER.size :]:
                count, ticks, number = HEADER.unpack(head[: HEADER.size])
                return _read_text(wave, at, ticks * TICK * RATE, (count, number))
    return None


def _read_text(
    wave: Samples, at: float, length: float, about: tuple[int, int]
) -> tuple[Heard, float] | None:
    """Read the text behind a header, now that the length of a symbol is known exactly."""
    skip = HEADER.size + CHECK.size
    total = skip + about[0] + CHECK.size
    for shift in SHIFTS:
        content = _bytes(wave, at + shift * length, length, total)
        text = content[skip : -CHECK.size] if content else b""
        if content and _check(text) == content[-CHECK.size :]:
            return Heard(text.decode(errors="replace"), about[1]), at + 2 * total * length
    return None


def _bytes(wave: Samples, start: float, length: float, count: int) -> bytes:
    """Read so many bytes; empty when the recording ends before."""
    span = int(CENTRE * length)
    begins = np.round(start + (np.arange(2 * count) + (1 - CENTRE) / 2) * length).astype(int)
    if begins[0] < 0 or begins[-1] + span > len(wave):
        return b""
    symbols = wave[begins[:, None] + np.arange(span)]
    basis = np.exp(-2j * np.pi * np.outer(np.arange(span), TONES) / RATE)
    halves = np.abs(symbols @ basis).argmax(axis=1).astype(np.uint8)
    return bytes(halves[::2] << 4 | halves[1::2])
