"""MP4 files: which are whole, by decoding them, and by their index where nothing decodes."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from comfyui_siliconflow.media import video_files
from comfyui_siliconflow.media.media_error import MediaError, TooManyPixels
from comfyui_siliconflow.media.video_files import Clip, poster, read_clip

FRAMES, RATE, SIDE = 24, 24, 64
FRAGMENTED = "frag_keyframe+empty_moov+default_base_moof"
Film = Callable[..., Path]


@pytest.fixture
def film(tmp_path: Path) -> Film:
    """Return a function that writes a clip: noise, for which each byte counts, on red."""

    def write(flags: str = "", codec: str = "libx264") -> Path:
        path, dice = tmp_path / "clip.mp4", np.random.default_rng(1)
        options = {"movflags": flags} if flags else {}
        with av.open(str(path), "w", format="mp4", options=options) as container:
            stream: Any = container.add_stream(codec, rate=RATE)
            stream.width, stream.height, stream.pix_fmt = SIDE, SIDE, "yuv420p"
            for _ in range(FRAMES):
                frame = dice.integers(0, 90, (SIDE, SIDE, 3), dtype=np.uint8)
                frame[..., 0] = 250
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode())
        return path

    return write


@pytest.fixture
def no_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let PyAV not be installed."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)


def read(path: Path) -> Clip:
    return read_clip(path, SIDE * SIDE)


def change(path: Path, at: int, new: bytes) -> None:
    content = bytearray(path.read_bytes())
    content[at : at + len(new)] = new
    path.write_bytes(content)


def media_of(path: Path) -> tuple[int, int]:
    """Return from where to where the frames lie."""
    content = path.read_bytes()
    at = content.index(b"mdat")
    (size,) = struct.unpack_from(">I", content, at - 4)
    return at + 4, at - 4 + size


@pytest.mark.parametrize("flags", ["", "faststart", FRAGMENTED])
def test_a_whole_file_has_its_size_its_length_and_its_first_frame(film: Film, flags: str) -> None:
    clip = read(film(flags))
    assert (clip.width, clip.height, clip.frames, clip.seconds) == (SIDE, SIDE, FRAMES, 1.0)
    assert clip.poster is not None
    assert clip.poster.shape == (SIDE, SIDE, 3)
    assert clip.poster[..., 0].mean() > clip.poster[..., 1].mean() + 50


@pytest.mark.parametrize("tail", [b"\0\0\0\0", b"\0\0\0\x10junkjunk", b"GET / HTTP/1.1\r\n"])
def test_what_stands_behind_a_whole_file_does_no_harm(film: Film, tail: bytes) -> None:
    path = film()
    path.write_bytes(path.read_bytes() + tail)
    assert read(path).frames == FRAMES


@pytest.mark.parametrize("part", [0.1, 0.4, 0.8])
def test_a_file_whose_middle_is_zeros_is_refused(film: Film, part: float) -> None:
    path = film()
    start, end = media_of(path)
    change(path, start + int((end - start) * part), bytes((end - start) // 5))
    with pytest.raises(MediaError, match="cannot be decoded"):
        read(path)


@pytest.mark.parametrize("part", [0.3, 0.6, 0.95, 0.999])
@pytest.mark.parametrize("flags", ["", "faststart", FRAGMENTED])
def test_a_file_that_is_cut_off_is_refused(film: Film, flags: str, part: float) -> None:
    path = film(flags)
    content = path.read_bytes()
    end = media_of(path)[1]
    path.write_bytes(content[: int(end * part)])
    with pytest.raises(MediaError):
        read(path)


def test_larger_frames_than_allowed_are_not_decoded(film: Film) -> None:
    with pytest.raises(TooManyPixels):
        read_clip(film(), SIDE * SIDE - 1)
    with pytest.raises(TooManyPixels):
        poster(film(), SIDE * SIDE - 1)


def test_a_frame_that_is_larger_than_the_index_says_is_not_decoded(film: Film) -> None:
    path = film()
    content = path.read_bytes()
    small = struct.pack(">HH", 8, 8)
    change(path, content.index(b"avc1") + 28, small)
    with pytest.raises(MediaError):
        read_clip(path, 8 * 8)


@pytest.mark.parametrize("content", [b"", b"RIFF", b"\0\0\0\x10ftypisom\0\0\0\0", b"<html>" * 99])
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "clip.mp4").write_bytes(content)
    with pytest.raises(MediaError):
        read(tmp_path / "clip.mp4")
    with pytest.raises(MediaError):
        poster(tmp_path / "clip.mp4", SIDE * SIDE)


def test_an_index_of_many_megabytes_is_not_read(
    film: Film, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video_files, "_MAX_INDEX_BYTES", 100)
    with pytest.raises(MediaError, match="cannot be decoded"):
        read(film())


def test_the_first_frame_is_shown_of_a_file_that_is_damaged_later(film: Film) -> None:
    path = film()
    start, end = media_of(path)
    change(path, (start + end) // 2, bytes((end - start) // 5))
    assert poster(path, SIDE * SIDE).shape == (SIDE, SIDE, 3)


@pytest.mark.usefixtures("no_decoder")
def test_without_a_decoder_the_index_says_what_a_file_is(film: Film) -> None:
    path = film("faststart")
    clip = read(path)
    assert (clip.width, clip.height, clip.frames, clip.seconds) == (SIDE, SIDE, FRAMES, 1.0)
    assert clip.poster is None
    with pytest.raises(MediaError, match="PyAV is not installed"):
        poster(path, SIDE * SIDE)
    with pytest.raises(TooManyPixels):
        read_clip(path, SIDE * SIDE - 1)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(MediaError, match="is cut off"):
        read(path)
