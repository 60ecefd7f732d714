"""MP4 files: whether one is whole, what it shows, and its first frame as a poster.

A file is read where it lies, never into memory as a whole. What ComfyUI brings (PyAV) decodes it to
its end; only where that is not installed, its index says what belongs to it (ISO/IEC 14496-12).
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ..strings.text import text
from .image_files import DecodedImage
from .media_error import MediaError, TooManyPixels

SUFFIX = ".mp4"
_MEDIA = frozenset({b"moov", b"mdat", b"moof"})
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
    """Return what an MP4 file is, once all of it was decoded.

    Raises `MediaError` for a file that is none, is cut off or cannot be decoded, `TooManyPixels`
    for frames of more than `max_pixels`, `OSError` for one that cannot be read.
    """
    with path.open("rb") as file:
        index, size = _index(file)
        if not _has_decoder():
            clip = _read_track(file, path, index, size)
            _check_pixels(clip.width, clip.height, max_pixels)
            return clip
    return _decode(path, max_pixels)


def poster(path: Path, max_pixels: int) -> DecodedImage:
    """Return the first frame of a file. Raises what `read_clip` raises, also without a decoder."""
    with path.open("rb") as file:
        _index(file)
    clip = _decode(path, max_pixels, only_first=True) if _has_decoder() else None
    if clip is None or clip.poster is None:
        raise MediaError(text("media.no_decoder"))
    return clip.poster


def _has_decoder() -> bool:
    return importlib.util.find_spec("av") is not None


def _index(file: BinaryIO) -> tuple[tuple[int, int], int]:
    """Return from where to where the index of an MP4 file is, and the size of the file.

    Raises `MediaError` for one whose media or index are cut off or missing. What else stands behind
    them is no part of the video.
    """
    if file.read(8)[4:] != b"ftyp":
        raise MediaError(text("media.not_a_video_file"))
    size, boxes = file.seek(0, io.SEEK_END), dict[bytes, tuple[int, int]]()
    try:
        for kind, place in _boxes(file, 0, size):
            boxes.setdefault(kind, place)
    except _OddBox as error:
        if error.kind in _MEDIA:
            raise
    if b"moov" not in boxes or b"mdat" not in boxes:
        raise MediaError(text("media.cut_off"))
    start, end = boxes[b"moov"]
    if end - start > _MAX_INDEX_BYTES:
        raise MediaError(text("media.undecodable"))
    return (start, end), size


def _check_pixels(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise TooManyPixels(
            text("media.too_many_pixels", width=width, height=height, max_pixels=max_pixels)
        )


def _decode(path: Path, max_pixels: int, *, only_first: bool = False) -> Clip:
    """Return a clip whose every packet was decoded, one after the other; or its first frame."""
    av = importlib.import_module("av")
    try:
        with av.open(str(path), format="mp4") as container:
            return _decode_track(container, path, max_pixels, only_first=only_first)
    except MediaError:
        raise
    except (av.error.FFmpegError, ValueError, OSError, IndexError):
        raise MediaError(text("media.undecodable")) from None


def _decode_track(container: Any, path: Path, max_pixels: int, *, only_first: bool) -> Clip:
    """Return the clip of the video in an open file; `max_pixels` bounds each of its frames."""
    stream = next(iter(container.streams.video), None)
    if stream is None:
        raise MediaError(text("media.not_a_video_file"))
    _check_pixels(stream.width, stream.height, max_pixels)
    stream.codec_context.options = {"max_pixels": str(max_pixels)}
    image, packets, frames, times = None, 0, 0, set[int]()
    for packet in container.demux(stream):
        packets += packet.size > 0
        if packet.pts is not None:
            times = {min(times | {packet.pts}), max(times | {packet.pts + (packet.duration or 0)})}
        for frame in packet.decode():
            if packet.is_corrupt or frame.is_corrupt:
                raise MediaError(text("media.undecodable"))
            frames += 1
            if image is None:
                image = frame.to_ndarray(format="rgb24")
        if image is not None and only_first:
            break
    if image is None or (packets < stream.frames and not only_first):
        raise MediaError(text("media.cut_off"))
    seconds = float((max(times) - min(times)) * stream.time_base) if times else 0.0
    return Clip(path, stream.width, stream.height, seconds, frames, image)


class _OddBox(MediaError):
    """A box that ends behind the part of the file that it is in."""

    def __init__(self, kind: bytes) -> None:
        """Keep which."""
        super().__init__(text("media.cut_off"))
        self.kind = kind


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """Yield kind and content, from and to where, of the boxes in a part of a file.

    Raises `MediaError` for a box that ends behind the part: the file is cut off.
    """
    while start < end:
        file.seek(start)
        header = file.read(16)
        if len(header) < 8:
            raise _OddBox(b"")
        size, kind = struct.unpack_from(">I4s", header)
        head = 8
        if size == 1 and len(header) == 16:
            (size,), head = struct.unpack_from(">Q", header, 8), 16
        size = size or end - start
        if size < head or start + size > end:
            raise _OddBox(kind)
        yield kind, (start + head, start + size)
        start += size


def _read_track(file: BinaryIO, path: Path, index: tuple[int, int], size: int) -> Clip:
    """Return what the index says of the video track, once all that it names lies in the file."""
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
