"""Files of sound: written as the API writes them, and read as it would read an upload."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float64]

FULL_SCALE = 32767
PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
TAG = "TRANSCRIPT"
MARKS: dict[str, bytes] = {
    "wav": rb"RIFF....WAVE",
    "mp3": rb"ID3|\xff[\xe2-\xff]",
    "opus": rb"OggS",
    "flac": rb"fLaC",
    "m4a": rb"....ftyp",
    "webm": rb"\x1aE\xdf\xa3",
}


class NotSound(ValueError):
    """Bytes that are no sound, or none that can be read."""


@dataclass(frozen=True)
class Recording:
    """A recording: one row a channel."""

    samples: Samples
    rate: int

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return float(self.samples.shape[1] / self.rate)


def kind_of(content: bytes) -> str:
    """Tell a file's format by its first bytes; empty for none that is known."""
    return next((name for name, mark in MARKS.items() if re.match(mark, content, re.DOTALL)), "")


# Writing


def to_int16(wave: Samples) -> bytes:
    """Return samples from -1 to 1 as 16-bit little-endian numbers."""
    return np.round(np.clip(wave, -1, 1) * FULL_SCALE).astype("<i2").tobytes()


def wav(data: bytes, rate: int) -> bytes:
    """Put 16-bit mono samples into a WAV file."""
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, PCM, 1, rate, 2 * rate, 2, 16)
    body = b"WAVE" + form + struct.pack("<4sI", b"data", len(data)) + data
    return struct.pack("<4sI", b"RIFF", len(body)) + body


def id3(text: str) -> bytes:
    """Make the tag that stands before an MP3 file, with a text in it."""
    value = b"\x03" + TAG.encode() + b"\0" + text.encode()
    frame = b"TXXX" + _syncsafe(len(value)) + b"\0\0" + value
    return b"ID3\x04\0\0" + _syncsafe(len(frame)) + frame


def _syncsafe(number: int) -> bytes:
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


def opus(seconds: float, text: str) -> bytes:
    """Make an Ogg Opus file of silence, with the text in its comments.

    To encode sound takes an encoder; a packet of silence is three bytes.
    """
    head = b"OpusHead" + struct.pack("<BBHIhB", 1, 1, 312, 48000, 0, 0)
    comment = f"{TAG}={text}".encode()
    maker = b"simulator"
    tags = b"OpusTags" + struct.pack("<I", len(maker)) + maker + struct.pack("<I", 1)
    tags += struct.pack("<I", len(comment)) + comment
    # 20 milliseconds of silence: CELT, full band.
    silence = b"\xf8\xff\xfe"
    count = max(1, round(seconds * 50))
    pages = _Pages()
    pages.add([head], 0)
    pages.add([tags], 0)
    for start in range(0, count, 50):
        packets = [silence] * min(50, count - start)
        pages.add(packets, (start + len(packets)) * 960, last=start + 50 >= count)
    return bytes(pages.content)


class _Pages:
    """Pages of an Ogg stream: packets, cut into segments of 255 bytes."""

    serial = 0x51F10
    segments_a_page = 255

    def __init__(self) -> None:
        self.content = bytearray()
        self.count = 0

    def add(self, packets: list[bytes], position: int, *, last: bool = False) -> None:
        lengths = [size for packet in packets for size in self._lace(len(packet))]
        data, at, continued = b"".join(packets), 0, False
        for start in range(0, len(lengths), self.segments_a_page):
            some = lengths[start : start + self.segments_a_page]
            piece = data[at : at + sum(some)]
            at += sum(some)
            ends = start + self.segments_a_page >= len(lengths)
            flags = continued | (self.count == 0) << 1 | (last and ends) << 2
            self._page(flags, position if ends else -1, some, piece)
            continued = not ends

    def _lace(self, size: int) -> list[int]:
        return [255] * (size // 255) + [size % 255]

    def _page(self, flags: int, position: int, lengths: list[int], data: bytes) -> None:
        head = struct.pack("<4sBBqIIIB", b"OggS", 0, flags, position, self.serial, self.count, 0, 0)
        page = head[:-1] + bytes([len(lengths), *lengths]) + data
        self.content += page[:22] + struct.pack("<I", _ogg_crc(page)) + page[26:]
        self.count += 1


def _crc_of_byte(value: int) -> int:
    value <<= 24
    for _ in range(8):
        value = (value << 1 ^ (0x04C11DB7 if value & 0x80000000 else 0)) & 0xFFFFFFFF
    return value


_CRC = [_crc_of_byte(value) for value in range(256)]


def _ogg_crc(page: bytes) -> int:
    crc = 0
    for byte in page:
        crc = (crc << 8 & 0xFFFFFFFF) ^ _CRC[crc >> 24 ^ byte]
    return crc


# Reading


def tagged_text(content: bytes) -> str | None:
    """Return the text that a compressed file made here carries in its tag."""
    if content[:3] == b"ID3":
        found = re.search(rb"TXXX(....)..\x03" + TAG.encode() + rb"\0", content, re.DOTALL)
        if found:
            size = sum(byte << shift for byte, shift in zip(found[1], (21, 14, 7, 0), strict=True))
            return content[found.end() : found.start() + 10 + size].decode(errors="replace")
    found = re.search(rb"(....)" + TAG.encode() + rb"=", _packets(content), re.DOTALL)
    if found:
        size = int.from_bytes(found[1], "little")
        return _packets(content)[found.end() : found.start() + 4 + size].decode(errors="replace")
    return None


def _packets(content: bytes) -> bytes:
    """Take the data out of the pages of an Ogg stream."""
    data, at = bytearray(), 0
    while content[at : at + 4] == b"OggS" and len(content) > at + 26:
        count = content[at + 26]
        size = sum(content[at + 27 : at + 27 + count])
        data += content[at + 27 + count : at + 27 + count + size]
        at += 27 + count + size
    return bytes(data)


def read_wav(content: bytes) -> Recording:
    """Read a WAV file: whole numbers of 8 to 32 bits, or floating ones; any channels and rate."""
    chunks = _chunks(content)
    if len(chunks.get(b"fmt ", b"")) < 16 or b"data" not in chunks:
        raise NotSound("a WAV file without its format or its data")
    form = chunks[b"fmt "]
    tag, channels, rate, _, block, bits = struct.unpack("<HHIIHH", form[:16])
    if tag == EXTENSIBLE and len(form) >= 26:
        (tag,) = struct.unpack("<H", form[24:26])
    reader = _READERS.get((tag, bits))
    if reader is None or not channels or not rate or block != channels * bits // 8:
        raise NotSound(f"a WAV file of a kind that cannot be read: {tag}, {bits} bits")
    data = chunks[b"data"]
    samples = reader(data[: len(data) // block * block]).reshape(-1, channels).T
    return Recording(samples, rate)


def _chunks(content: bytes) -> dict[bytes, bytes]:
    """Return the chunks of a WAV file; a length that is too great means the rest of the file."""
    found: dict[bytes, bytes] = {}
    at = 12
    while at + 8 <= len(content):
        name, size = struct.unpack("<4sI", content[at : at + 8])
        found.setdefault(name, content[at + 8 : at + 8 + size])
        at += 8 + size + size % 2
    return found


def _whole(kind: str, scale: float, middle: float = 0.0) -> Callable[[bytes], Samples]:
    def read(data: bytes) -> Samples:
        return (np.frombuffer(data, kind).astype(np.float64) - middle) / scale

    return read


def _three_bytes(data: bytes) -> Samples:
    parts = np.frombuffer(data, np.uint8).reshape(-1, 3).astype(np.int32)
    numbers: NDArray[Any] = parts[:, 0] << 8 | parts[:, 1] << 16 | parts[:, 2] << 24
    return numbers.astype(np.float64) / 2**31


_READERS: dict[tuple[int, int], Callable[[bytes], Samples]] = {
    (PCM, 8): _whole("<u1", 128, 128),
    (PCM, 16): _whole("<i2", 2**15),
    (PCM, 24): _three_bytes,
    (PCM, 32): _whole("<i4", 2**31),
    (FLOAT, 32): _whole("<f4", 1),
    (FLOAT, 64): _whole("<f8", 1),
}
