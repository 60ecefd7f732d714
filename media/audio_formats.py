"""Which format a file of sound has, by what is in it, and whether a packed one is all there.

A decoder gives what it can of a file that was cut in two, and says nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from .image_files import MediaError

_KILOBITS = {
    1: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""Of MP3, by its version and the number in the head of a frame, from 1 on."""
_RATES = (44100, 48000, 32000)
_VERSIONS = {3: (1, 1), 2: (2, 2), 0: (2, 4)}
"""The bits of a version, the table of its bit rates, and by what its sample rates are divided."""
_LAYER_3 = 1
_HEAD = 4
_TAG_HEAD = 10
_PAGE_HEAD = 27


def format_of(content: bytes) -> str:
    """Give `wav`, `ogg`, `mp3`, or nothing for what begins as none of them does.

    One head of an MP3 may be chance, in raw sound above all: a second one must follow.
    """
    if content.startswith(b"RIFF"):
        return "wav"
    if content.startswith(b"OggS"):
        return "ogg"
    if content.startswith(b"ID3"):
        return "mp3"
    size = _frame_size(content, 0)
    return "mp3" if size and (size == len(content) or _frame_size(content, size)) else ""


def check_whole(content: bytes) -> None:
    """Raise `MediaError` for an MP3 or Ogg file whose last part says that it is longer."""
    parts = _pages(content) if format_of(content) == "ogg" else _frames(content)
    if max(parts, default=0) > len(content):
        raise MediaError("is cut off", "不完整")


def _frames(content: bytes) -> Iterator[int]:
    """Give where each frame of an MP3 ends, as its head says; what is none ends the file."""
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
    for byte in content[at + 6 : at + _TAG_HEAD]:
        size = size << 7 | byte & 0x7F
    return _TAG_HEAD + size


def _frame_size(content: bytes, at: int) -> int:
    """Give the bytes of the frame at a place; 0 for what is none."""
    head = content[at : at + _HEAD]
    if len(head) < _HEAD or head[0] != 0xFF or head[1] < 0xE0:
        return _HEAD if head[:1] == b"\xff" and len(head) < _HEAD else 0
    kind, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    speed, rate, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if kind not in _VERSIONS or layer != _LAYER_3 or speed in {0, 15} or rate == len(_RATES):
        return 0
    version, divided = _VERSIONS[kind]
    bits = _KILOBITS[version][speed - 1] * 1000 * 144 // version
    return bits // (_RATES[rate] // divided) + padding


def _pages(content: bytes) -> Iterator[int]:
    """Give where each page of an Ogg file ends, as its head says."""
    at = 0
    while content[at : at + 4] == b"OggS":
        count = content[at + _PAGE_HEAD - 1] if at + _PAGE_HEAD <= len(content) else 1
        lengths = content[at + _PAGE_HEAD : at + _PAGE_HEAD + count]
        at += _PAGE_HEAD + count + sum(lengths)
        yield at
