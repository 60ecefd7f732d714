"""Which format an audio file has, by its content, and whether a compressed one is complete.

A decoder returns what it can of a file that was cut in two, without an error.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..strings.text import text
from .media_error import MediaError

_KILOBITS = {
    1: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""Bit rates of MP3 by its version and the index in the header of a frame, from 1 on."""
_RATES = (44100, 48000, 32000)
_VERSIONS = {3: (1, 1), 2: (2, 2), 0: (2, 4)}
"""By the bits of the version: the table of bit rates, and the divisor of the sample rates."""
_LAYER_3 = 1
_FRAME_HEADER = 4
_TAG_HEADER = 10
_PAGE_HEADER = 27


def format_of(content: bytes) -> str:
    """Return `wav`, `ogg`, `mp3`, or an empty text for anything else.

    One header of an MP3 frame may be chance, in raw audio above all: a second one must follow.
    """
    if content.startswith(b"RIFF"):
        return "wav"
    if content.startswith(b"OggS"):
        return "ogg"
    if content.startswith(b"ID3"):
        return "mp3"
    size = _frame_size(content, 0)
    return "mp3" if size and (size == len(content) or _frame_size(content, size)) else ""


def check_complete(content: bytes) -> None:
    """Raise `MediaError` for an MP3 or Ogg file whose last part is longer than the file."""
    ends = _page_ends(content) if format_of(content) == "ogg" else _frame_ends(content)
    if max(ends, default=0) > len(content):
        raise MediaError(text("media.cut_off"))


def _frame_ends(content: bytes) -> Iterator[int]:
    """Yield where each frame of an MP3 ends, by its header; anything else ends the file."""
    at = 0
    while at < len(content):
        size = _tag_size(content, at) or _frame_size(content, at)
        if not size:
            return
        at += size
        yield at


def _tag_size(content: bytes, at: int) -> int:
    if content[at : at + 3] != b"ID3":
        return 0
    size = 0
    for byte in content[at + 6 : at + _TAG_HEADER]:
        size = size << 7 | byte & 0x7F
    return _TAG_HEADER + size


def _frame_size(content: bytes, at: int) -> int:
    """Return the bytes of the frame at a position; 0 if there is none."""
    header = content[at : at + _FRAME_HEADER]
    if len(header) < _FRAME_HEADER or header[0] != 0xFF or header[1] < 0xE0:
        is_cut = header[:1] == b"\xff" and len(header) < _FRAME_HEADER
        return _FRAME_HEADER if is_cut else 0
    version, layer = header[1] >> 3 & 3, header[1] >> 1 & 3
    bit_rate, rate, padding = header[2] >> 4, header[2] >> 2 & 3, header[2] >> 1 & 1
    if version not in _VERSIONS or layer != _LAYER_3:
        return 0
    if bit_rate in {0, 15} or rate == len(_RATES):
        return 0
    table, divisor = _VERSIONS[version]
    bits = _KILOBITS[table][bit_rate - 1] * 1000 * 144 // table
    return bits // (_RATES[rate] // divisor) + padding


def _page_ends(content: bytes) -> Iterator[int]:
    """Yield where each page of an Ogg file ends, by its header."""
    at = 0
    while content[at : at + 4] == b"OggS":
        segments = content[at + _PAGE_HEADER - 1] if at + _PAGE_HEADER <= len(content) else 1
        lengths = content[at + _PAGE_HEADER : at + _PAGE_HEADER + segments]
        at += _PAGE_HEADER + segments + sum(lengths)
        yield at
