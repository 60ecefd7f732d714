"""MP3 files of plain tones: enough of an encoder to make speech of `modem` audible.

A granule, 576 samples, holds the strengths of 576 frequencies. Here all are zero but one, so
that the Huffman code of the smallest table does, and a frame has room to spare.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np

GRANULE = 576
BAND = 18
RATES = {44100: 0, 48000: 1, 32000: 2}
BITRATE, KILOBITS = 1, 32
# At this gain a decoder gives a line a little more than a quarter of full scale, as loud as a WAV.
GAIN, DECIBELS = 200, 1.505
NOTHING = "0" * 59
PAIR_OF_ZEROS, FIRST_OF_PAIR, SECOND_OF_PAIR = "1", "01", "001"


def encode(tones: Sequence[float], rate: int, louder: float = 0.0) -> bytes:
    """Encode one tone a granule, in hertz; 0 is silence. The rate is 32000, 44100 or 48000.

    Louder is in decibels, which the format knows in steps of 1.5.
    """
    gain = GAIN + round(louder / DECIBELS)
    lines = [round(tone / rate * 2 * GRANULE - 0.5) if tone else -1 for tone in tones]
    lines += [-1] * (len(lines) % 2)
    granules = [_granule(line, number, gain) for number, line in enumerate(lines)]
    pairs = zip(granules[::2], granules[1::2], strict=True)
    return b"".join(_frame(*one, *two, rate) for one, two in pairs)


def _granule(line: int, number: int, gain: int) -> tuple[str, str]:
    """Return the description of a granule and its data, both in bits."""
    if line < 0:
        return NOTHING, ""
    pairs = line // 2
    code = SECOND_OF_PAIR if line % 2 else FIRST_OF_PAIR
    data = PAIR_OF_ZEROS * pairs + code + _sign(line, number)
    # Length, pairs, gain; no scale factors, long window, table 1 everywhere.
    about = f"{len(data):012b}{pairs + 1:09b}{gain:08b}0000" + "0" + "00001" * 3
    return about + "0000" + "000" + "000", data


def _sign(line: int, number: int) -> str:
    """Choose the sign that lets a tone go on smoothly from granule to granule."""
    band, place = divmod(line, BAND)
    step = BAND - 1 - place if band % 2 else place
    return "0" if np.cos(np.pi / 4 + (step + 0.5) * np.pi * number) > 0 else "1"


def _frame(about: str, data: str, about_next: str, data_next: str, rate: int) -> bytes:
    """Return a frame of two granules: MPEG-1, layer III, mono, no checksum."""
    head = struct.pack(">BBBB", 0xFF, 0xFB, BITRATE << 4 | RATES[rate] << 2, 0xC0)
    bits = "0" * 18 + about + about_next + data + data_next
    size = 144 * KILOBITS * 1000 // rate - len(head)
    return head + int(bits.ljust(8 * size, "0"), 2).to_bytes(size, "big")
