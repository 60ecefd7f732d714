"""Which format a file of sound has, and whether a packed one is all there."""

from __future__ import annotations

import numpy as np
import pytest
from comfyui_siliconflow.dev.simulator import sound
from comfyui_siliconflow.media import audio_formats as packed
from comfyui_siliconflow.media.media_error import MediaError

TONE = 0.25 * np.sin(np.arange(23_040) * 0.06)
SPOKEN = sound.packed("mp3", TONE, 44100)
FILES = {
    "MP3": SPOKEN,
    "MP3 of 48 kHz": sound.packed("mp3", TONE, 48000),
    "MP3 with a tag": sound.packed("mp3", TONE, 44100, "Hello"),
    "MP3 with a tag at its end": SPOKEN + b"TAG" + bytes(125),
    "MP3 put together of two": sound.packed("mp3", TONE, 44100, "Hello") * 2,
    "Opus": sound.packed("opus", TONE, 48000, "Hello"),
}


@pytest.mark.parametrize("name", FILES)
def test_what_is_all_there_is_taken(name: str) -> None:
    packed.check_complete(FILES[name])
    assert packed.format_of(FILES[name]) == ("ogg" if name == "Opus" else "mp3")


@pytest.mark.parametrize("name", [name for name in FILES if "end" not in name])
@pytest.mark.parametrize("missing", [1, 2, 50, 101, 102, 103])
def test_what_was_cut_off_is_an_error(name: str, missing: int) -> None:
    with pytest.raises(MediaError, match="is cut off"):
        packed.check_complete(FILES[name][:-missing])


@pytest.mark.parametrize("left", [11, 20, 30])
def test_a_file_cut_within_its_head_is_an_error(left: int) -> None:
    for name in ("MP3 with a tag", "Opus"):
        with pytest.raises(MediaError, match="is cut off"):
            packed.check_complete(FILES[name][:left])


@pytest.mark.parametrize("version", [(0xFB, 0x90, 417), (0xF3, 0x80, 208), (0xE3, 0x84, 384)])
def test_frames_of_every_version_are_measured(version: tuple[int, int, int]) -> None:
    second, third, size = version
    frame = bytes([0xFF, second, third, 0]).ljust(size, b"\0")
    packed.check_complete(frame * 3)
    assert packed.format_of(frame * 3) == "mp3"
    with pytest.raises(MediaError):
        packed.check_complete((frame * 3)[:-1])


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff", b"\xff\xff" * 500, b"\xff\xfb\x90\x00" + bytes(900), b"\xff\xf1\x50\x80" * 99],
    ids=["nothing", "one byte", "quiet raw sound", "one head by chance", "AAC"],
)
def test_what_only_looks_like_a_head_of_an_mp3_is_none(content: bytes) -> None:
    assert packed.format_of(content) == ""
