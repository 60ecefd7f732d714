"""Files of sound: written as the API writes them, and read as it would read an upload.

Each file that is written carries the text that is spoken in it, as a comment.
"""

from __future__ import annotations

import io
import re
import struct
import wave
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .responses import Refused, bad_parameter

Samples = NDArray[np.float64]

FULL_SCALE, PCM = 32767, 1
GRANULE, BAND = 576, 18
MP3_RATES = {44100: 0, 48000: 1, 32000: 2}
BITRATE, KILOBITS = 1, 32
# At this gain a decoder gives a tone a little more than a quarter of full scale, as a WAV here has.
GAIN, DECIBELS = 200, 1.505
MARK, SERIAL = b"TRANSCRIPT=", 0x51F10
NUMBERS = {1: ("<u1", 2**7), 2: ("<i2", 2**15), 3: ("<i4", 2**31), 4: ("<i4", 2**31)}
"""For each width in bytes: how samples are written, and what makes them -1 to 1."""
MARKS: dict[str, bytes] = {
    "wav": rb"RIFF....WAVE",
    "mp3": rb"ID3|\xff[\xe2-\xff]",
    "opus": rb"OggS",
    "flac": rb"fLaC",
    "m4a": rb"....ftyp",
    "webm": rb"\x1aE\xdf\xa3",
}


@dataclass(frozen=True)
class Recording:
    """A recording: one row a channel."""

    samples: Samples
    rate: int

    @property
    def seconds(self) -> float:
        """Return how long it lasts."""
        return float(self.samples.shape[1] / self.rate)


def kind_of(content: bytes) -> str:
    """Return a file's format by its first bytes; empty for none that is known."""
    return next((name for name, mark in MARKS.items() if re.match(mark, content, re.DOTALL)), "")


def to_int16(wave: Samples) -> bytes:
    """Return samples from -1 to 1 as 16-bit little-endian numbers."""
    return np.round(np.clip(wave, -1, 1) * FULL_SCALE).astype("<i2").tobytes()


def wav(data: bytes, rate: int, text: str = "") -> bytes:
    """Return a WAV file of 16-bit mono samples, with a text as its comment."""
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, PCM, 1, rate, 2 * rate, 2, 16)
    comment = MARK + text.encode() + b"\0"
    comment += b"\0" * (len(comment) % 2)
    info = b"INFO" + struct.pack("<4sI", b"ICMT", len(comment)) + comment
    listed = struct.pack("<4sI", b"LIST", len(info)) + info if text else b""
    body = b"WAVE" + form + listed + struct.pack("<4sI", b"data", len(data)) + data
    return struct.pack("<4sI", b"RIFF", len(body)) + body


def id3(text: str) -> bytes:
    """Return the tag that stands before an MP3 file, with a text in it."""
    value = b"\x03\0" + MARK + text.encode() + b"\0"
    sizes = len(value) + 10, len(value)
    whole, part = (bytes(size >> at & 0x7F for at in (21, 14, 7, 0)) for size in sizes)
    return b"ID3\x04\0\0" + whole + b"TXXX" + part + b"\0\0" + value


def opus(seconds: float, text: str) -> bytes:
    """Return an Ogg Opus file of silence, with a text of up to 60,000 bytes as its comment.

    To encode sound takes an encoder; a packet of silence is three bytes.
    """
    head = b"OpusHead" + struct.pack("<BBHIhB", 1, 1, 312, 48000, 0, 0)
    comment, maker = MARK + text.encode()[:60_000] + b"\0", b"simulator"
    tags = b"OpusTags" + struct.pack("<I", len(maker)) + maker + struct.pack("<I", 1)
    tags += struct.pack("<I", len(comment)) + comment
    # 20 milliseconds of silence: CELT, full band.
    silence, count = b"\xf8\xff\xfe", max(1, round(seconds * 50))
    pages = [_ogg_page([head], 0, 0, 2), _ogg_page([tags], 0, 1, 0)]
    for start in range(0, count, 50):
        packets, last = [silence] * min(50, count - start), start + 50 >= count
        place = (start + len(packets)) * 960
        pages.append(_ogg_page(packets, place, len(pages), 4 * last))
    return b"".join(pages)


def _ogg_page(packets: list[bytes], position: int, number: int, flags: int) -> bytes:
    """Return a page of an Ogg stream: packets, cut into at most 255 segments of 255 bytes."""
    lengths = [n for each in packets for n in [255] * (len(each) // 255) + [len(each) % 255]]
    head = struct.pack("<4sBBqIIIB", b"OggS", 0, flags, position, SERIAL, number, 0, len(lengths))
    page = head + bytes(lengths) + b"".join(packets)
    crc = 0
    for byte in page:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x04C11DB7 if crc & 0x80000000 else 0)) & 0xFFFFFFFF
    return page[:22] + struct.pack("<I", crc) + page[26:]


def mp3(tones: Sequence[float], rate: int, louder: float = 0.0) -> bytes:
    """Return an MP3 of one tone a granule, in hertz; 0 is silence. The rate is 32000 to 48000.

    A granule, 576 samples, holds the strengths of 576 frequencies. Here all are zero but one, so
    that the Huffman code of the smallest table does, and a frame has room to spare.

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
        return "0" * 59, ""
    pairs = line // 2
    code = "001" if line % 2 else "01"
    # The sign lets a tone go on smoothly from granule to granule.
    band, place = divmod(line, BAND)
    step = BAND - 1 - place if band % 2 else place
    sign = "0" if np.cos(np.pi / 4 + (step + 0.5) * np.pi * number) > 0 else "1"
    data = "1" * pairs + code + sign
    # Length, pairs, gain; no scale factors, long window, table 1 everywhere.
    about = f"{len(data):012b}{pairs + 1:09b}{gain:08b}0000" + "0" + "00001" * 3
    return about + "0000" + "000" + "000", data


def _frame(about: str, data: str, about_next: str, data_next: str, rate: int) -> bytes:
    """Return a frame of two granules: MPEG-1, layer III, mono, no checksum."""
    head = struct.pack(">BBBB", 0xFF, 0xFB, BITRATE << 4 | MP3_RATES[rate] << 2, 0xC0)
    bits = "0" * 18 + about + about_next + data + data_next
    size = 144 * KILOBITS * 1000 // rate - len(head)
    return head + int(bits.ljust(8 * size, "0"), 2).to_bytes(size, "big")


def spoken_text(content: bytes) -> str | None:
    """Return the text that a file made here carries as its comment; None for other files."""
    match = re.search(MARK + rb"(.*?)\0", content, re.DOTALL)
    return match[1].decode(errors="replace") if match else None


def read_wav(content: bytes, name: str = "file") -> Recording:
    """Return what a WAV file of whole numbers holds; raise Refused for any other."""
    try:
        with wave.open(io.BytesIO(content)) as file:
            channels, width, rate = file.getnchannels(), file.getsampwidth(), file.getframerate()
            data = file.readframes(len(content))
    except (wave.Error, EOFError) as error:
        raise Refused(bad_parameter(f"{name}: a WAV that cannot be read: {error}")) from None
    block = channels * width
    if width not in NUMBERS or not block or not rate:
        raise Refused(bad_parameter(f"{name}: a WAV of a kind that cannot be read"))
    data = data[: len(data) // block * block]
    if width == 3:
        # The upper three bytes of four.
        data = np.pad(np.frombuffer(data, np.uint8).reshape(-1, 3), ((0, 0), (1, 0))).tobytes()
    kind, scale = NUMBERS[width]
    samples = np.frombuffer(data, kind).astype(np.float64) / scale - (width == 1)
    return Recording(samples.reshape(-1, channels).T, rate)
