"""Files of sound: written as the API writes them, and read as it would read an upload.

Each file that is written carries the text that is spoken in it, as a comment.
"""

from __future__ import annotations

import io
import re
import struct
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from .models import read_table
from .responses import Refused, bad_parameter

Samples = NDArray[np.float64]

FULL_SCALE, PCM = 32767, 1
FORMS = {"mp3": ("mp3", "libmp3lame"), "opus": ("ogg", "libopus")}
BITRATE, LONGEST, END = 32000, 60_000, "\x1f"


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
    start, marks = content[:12].decode("latin-1"), read_table("sounds").items()
    return next((name for name, mark in marks if re.match(mark, start, re.DOTALL)), "")


def to_int16(wave: Samples) -> bytes:
    """Return samples from -1 to 1 as 16-bit little-endian numbers."""
    return np.round(np.clip(wave, -1, 1) * FULL_SCALE).astype("<i2").tobytes()


def wav(data: bytes, rate: int, text: str = "") -> bytes:
    """Return a WAV file of 16-bit mono samples, with a text as its comment."""
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, PCM, 1, rate, 2 * rate, 2, 16)
    comment = f"TRANSCRIPT={text}{END}\0".encode()
    comment += b"\0" * (len(comment) % 2)
    info = b"INFO" + struct.pack("<4sI", b"ICMT", len(comment)) + comment
    listed = struct.pack("<4sI", b"LIST", len(info)) + info if text else b""
    body = b"WAVE" + form + listed + struct.pack("<4sI", b"data", len(data)) + data
    return struct.pack("<4sI", b"RIFF", len(body)) + body


def packed(kind: str, samples: Samples, rate: int, text: str = "") -> bytes:
    """Return an MP3, or Opus in Ogg, of samples from -1 to 1, with a text as its comment."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=FORMS[kind][0]) as file:
        if text:
            file.metadata["TRANSCRIPT"] = text.encode()[:LONGEST].decode(errors="ignore") + END
        stream: Any = file.add_stream(FORMS[kind][1], rate=rate, layout="mono", bit_rate=BITRATE)
        sound = np.frombuffer(to_int16(samples), "<i2")[None]
        frame = av.AudioFrame.from_ndarray(sound, "s16", "mono")
        frame.sample_rate = rate
        for each in (frame, None):
            file.mux(stream.encode(each))
    return buffer.getvalue()


def spoken_text(content: bytes) -> str | None:
    """Return the text that a file made here carries as its comment; None for other files."""
    match = re.search(rb"TRANSCRIPT[=\0](.*?)" + END.encode(), content, re.DOTALL)
    return match[1].decode(errors="replace") if match else None


def read_wav(content: bytes, name: str = "file") -> Recording:
    """Return what a WAV file holds; raise Refused for one that cannot be read."""
    try:
        with av.open(io.BytesIO(content), "r", format="wav") as file:
            planar, rate = av.AudioResampler("dblp"), file.streams.audio[0].rate
            frames = (part for each in file.decode(audio=0) for part in planar.resample(each))
            return Recording(np.concatenate([each.to_ndarray() for each in frames], axis=1), rate)
    except (av.FFmpegError, IndexError, ValueError) as error:
        raise Refused(bad_parameter(f"{name}: a WAV that cannot be read: {error}")) from None
