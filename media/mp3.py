"""Writes MP3 with the encoder that ComfyUI brings (PyAV), for audio too large as a WAV."""

from __future__ import annotations

import importlib
import importlib.util
import io

import torch

CODEC = "libmp3lame"
BITS_PER_SECOND = 64_000
_BLOCK_SAMPLES = 1 << 20


def has_encoder() -> bool:
    """Return whether MP3 can be written here."""
    if importlib.util.find_spec("av") is None:
        return False
    return CODEC in importlib.import_module("av").codecs_available


def to_mp3(waveform: torch.Tensor, rate: int) -> bytes:
    """Return the MP3 file of one channel `[1,T]` float32 of -1..1 at `rate` Hz."""
    av = importlib.import_module("av")
    file = io.BytesIO()
    with av.open(file, "w", format="mp3") as container:
        stream = container.add_stream(CODEC, rate=rate)
        stream.layout, stream.bit_rate = "mono", BITS_PER_SECOND
        for start in range(0, waveform.shape[-1], _BLOCK_SAMPLES):
            part = waveform[:, start : start + _BLOCK_SAMPLES].clamp(-1, 1).contiguous().numpy()
            frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
            frame.sample_rate = rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()
