"""MP4 files: whether one is whole, what it shows, and its first frame as a poster.

A file is read where it lies, never into memory as a whole. Its boxes say what belongs to it
(ISO/IEC 14496-12); the poster is decoded by what ComfyUI brings (PyAV), if it is installed.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ..strings.text import text
from .image_files import DecodedImage
from .media_error import MediaError, TooManyPixels

SUFFIX = ".mp4"
_CONTAINERS = frozenset({b"trak", b"mdia", b"minf", b"stbl"})
_MAX_INDEX_BYTES = 16 << 20
"""Bytes of the index of a file; a clip of seconds has some thousands."""
_FIXED = 1 << 16


@dataclass(frozen=True)
class Clip:
    """A whole video file: where it is, its size in pixels and seconds, and its first frame.

    `poster` is `None` where no decoder is installed.
    """

    path: Path
    width: int
    height: int
    seconds: float
    frames: int
    poster: DecodedImage | None = None


def read_clip(path: Path, max_pixels: int) -> Clip:
    """Return what an MP4 file is.

    Raises `MediaError` for a file that is none, is cut off or cannot be decoded, `TooManyPixels`
    for frames of more than `max_pixels`, `OSError` for one that cannot be read.
    """
    with path.open("rb") as file:
        if file.read(8)[4:] != b"ftyp":
            raise MediaError(text("media.not_a_video_file"))
        size = file.seek(0, io.SEEK_END)
        boxes = dict(_boxes(file, 0, size))
        if b"moov" not in boxes or b"mdat" not in boxes:
            raise MediaError(text("media.cut_off"))
        clip = _read_track(file, path, boxes[b"moov"], size)
    if clip.width * clip.height > max_pixels:
        raise TooManyPixels(
            text(
                "media.too_many_pixels", width=clip.width, height=clip.height, max_pixels=max_pixels
            )
        )
    return Clip(**{**vars(clip), "poster": _first_frame(path)})


def poster(path: Path, max_pixels: int) -> DecodedImage:
    """Return the first frame of a file. Raises what `read_clip` raises, also without a decoder."""
    clip = read_clip(path, max_pixels)
    if clip.poster is None:
        raise MediaError(text("media.no_decoder"))
    return clip.poster


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """Yield kind and content, from and to where, of the boxes in a part of a file.

    Raises `MediaError` for a box that ends behind the part: the file is cut off.
    """
    while start < end:
        file.seek(start)
        header = file.read(16)
        if len(header) < 8:
            raise MediaError(text("media.cut_off"))
        size, kind = struct.unpack_from(">I4s", header)
        head = 8
        if size == 1 and len(header) == 16:
            (size,), head = struct.unpack_from(">Q", header, 8), 16
        size = size or end - start
        if size < head or start + size > end:
            raise MediaError(text("media.cut_off"))
        yield kind, (start + head, start + size)
        start += size


def _read_track(file: BinaryIO, path: Path, index: tuple[int, int], size: int) -> Clip:
    """Return what the index says of the video track, once all that it names lies in the file."""
    if index[1] - index[0] > _MAX_INDEX_BYTES:
        raise MediaError(text("media.undecodable"))
    try:
        for kind, place in _boxes(file, *index):
            if kind == b"trak" and (clip := _read_video(_content(file, place), path, size)):
                return clip
    except (struct.error, KeyError, ZeroDivisionError, RecursionError):
        raise MediaError(text("media.undecodable")) from None
    raise MediaError(text("media.not_a_video_file"))


def _content(file: BinaryIO, place: tuple[int, int]) -> dict[bytes, bytes]:
    """Return the innermost boxes of a track, by kind."""
    boxes: dict[bytes, bytes] = {}
    for kind, (start, end) in [*_boxes(file, *place)]:
        if kind in _CONTAINERS:
            boxes |= _content(file, (start, end))
        else:
            file.seek(start)
            boxes[kind] = file.read(end - start)
    return boxes


def _read_video(track: dict[bytes, bytes], path: Path, size: int) -> Clip | None:
    """Return the clip of a track; `None` if it is not one of video."""
    if track[b"hdlr"][8:12] != b"vide":
        return None
    width, height = (side // _FIXED for side in struct.unpack(">II", track[b"tkhd"][-8:]))
    times = ">IQ" if track[b"mdhd"][0] else ">II"
    scale, duration = struct.unpack_from(times, track[b"mdhd"], 20 if track[b"mdhd"][0] else 12)
    each, frames = struct.unpack_from(">II", track[b"stsz"], 4)
    sizes = () if each else struct.unpack_from(f">{frames}I", track[b"stsz"], 12)
    last_size = sizes[-1] if sizes else each
    chunks, kind = (track[b"co64"], "Q") if b"co64" in track else (track[b"stco"], "I")
    (count,) = struct.unpack_from(">I", chunks, 4)
    last = max(struct.unpack_from(f">{count}{kind}", chunks, 8), default=size)
    if not frames or not width or not height or last + last_size > size:
        raise MediaError(text("media.cut_off"))
    return Clip(path, width, height, duration / scale, frames)


def _first_frame(path: Path) -> DecodedImage | None:
    if importlib.util.find_spec("av") is None:
        return None
    av = importlib.import_module("av")
    try:
        with av.open(str(path), format="mp4") as container:
            frame: DecodedImage = next(container.decode(video=0)).to_ndarray(format="rgb24")
            return frame
    except (av.error.FFmpegError, ValueError, OSError, IndexError, StopIteration):
        raise MediaError(text("media.undecodable")) from None
