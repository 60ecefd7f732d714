"""ComfyUI's AUDIO to files, and files to AUDIO.

An AUDIO is `{"waveform": float tensor [B,C,T] of values -1..1, "sample_rate": int}`. WAV and raw
PCM are read and written here; MP3 and Opus are decoded by what ComfyUI brings (PyAV), if it is
installed.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import io
import itertools
import struct
import wave
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ..strings.text import text
from .audio_formats import check_complete, format_of
from .media_error import MediaError
from .resampling import resample

Samples = npt.NDArray[np.float32]

UNCOMPRESSED = ("wav", "pcm")
"""The formats that need no further package."""
SPEECH_RATE = 16_000
"""Hz that speech models work at: more only makes an upload larger."""
MAX_SAMPLES = 200_000_000
"""Values of one sound, an hour and more: a compressed file may become any size."""
_EXTENSIBLE = 0xFFFE
_INTEGER, _FLOAT = 1, 3
_STREAMED_SIZES = (0x7FFFFFFF, 0xFFFFFFFF)
"""About the size, besides 0, in the header of a WAV that was written before its end was known."""
_SIZE_TOLERANCE = 1 << 16
_BLOCK_SAMPLES = 1 << 20
_MAX_RATE = 768_000
_MAX_CHANNELS = 32


@dataclass(frozen=True)
class Sound:
    """One recording: float `[C,T]` of -1..1, and its sample rate in Hz."""

    waveform: torch.Tensor
    rate: int

    @property
    def seconds(self) -> float:
        """Its length."""
        return float(self.waveform.shape[-1]) / self.rate


def to_sounds(audio: object) -> list[Sound]:
    """Return the recordings of an AUDIO. Raises `MediaError` if it is none, or is empty."""
    entries = audio if isinstance(audio, Mapping) else {}
    waveform, rate = entries.get("waveform"), entries.get("sample_rate")
    if not isinstance(waveform, torch.Tensor) or waveform.ndim != 3 or not isinstance(rate, int):
        raise MediaError(text("media.not_audio"))
    if not waveform.is_floating_point() or not 0 < rate <= _MAX_RATE:
        raise MediaError(text("media.bad_audio", dtype=waveform.dtype, rate=rate))
    if 0 in waveform.shape:
        raise MediaError(text("media.empty"))
    return [Sound(item, rate) for item in waveform]


def for_speech(sound: Sound, max_rate: int = SPEECH_RATE) -> Sound:
    """Return a recording as speech models hear it: one channel, at most `max_rate` Hz."""
    rate = min(sound.rate, max_rate)
    return Sound(resample(_mono(sound.waveform).unsqueeze(0), sound.rate, rate), rate)


def to_wav(sound: Sound) -> bytes:
    """Return a WAV file of one channel (see `_mono`) and 16 bits, rounded and clamped."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(sound.rate)
        writer.writeframes(_samples_of_16_bits(sound))
    return file.getvalue()


def digest_of_samples(sound: Sound) -> str:
    """Return what names a recording of one channel: its rate, and the samples that a WAV holds.

    Neither the format nor the encoder: with another one the user asks for the same.
    """
    digest = hashlib.sha256(f"samples of 1 channel at {sound.rate} Hz".encode())
    for start in range(0, sound.waveform.shape[-1], _BLOCK_SAMPLES):
        block = Sound(sound.waveform[:, start : start + _BLOCK_SAMPLES], sound.rate)
        digest.update(_samples_of_16_bits(block))
    return digest.hexdigest()


def has_decoder(kind: str) -> bool:
    """Return whether files of a format can be decoded here; loads nothing."""
    return kind in UNCOMPRESSED or importlib.util.find_spec("av") is not None


def decode(content: bytes, kind: str, rate: int) -> Sound:
    """Decode a file by its content: a service may send another format than was requested.

    PCM has no signature: other content is taken for it only if `kind`, the format that was
    requested, is `pcm`; `rate` is its sample rate. Raises `MediaError` for an incomplete file.
    """
    if content.startswith(b"RIFF"):
        return _decode_wav(content)
    actual = format_of(content)
    if actual:
        return _decode_compressed(content, actual)
    if kind != "pcm":
        raise MediaError(text("media.not_an_audio_file"))
    return Sound(_waveform(_integers(content, 16), 1), rate)


def join(sounds: Sequence[Sound]) -> dict[str, Any]:
    """Return recordings one after the other, as an AUDIO with a batch of one.

    At the highest of their sample rates; a recording of fewer channels is mixed down and repeated.
    """
    rate = max(sound.rate for sound in sounds)
    channels = max(sound.waveform.shape[0] for sound in sounds)
    waveforms = [
        _with_channels(
            sound.waveform if sound.rate == rate else resample(sound.waveform, sound.rate, rate),
            channels,
        )
        for sound in sounds
    ]
    return {"waveform": torch.cat(waveforms, -1).unsqueeze(0), "sample_rate": rate}


def _with_channels(waveform: torch.Tensor, channels: int) -> torch.Tensor:
    if waveform.shape[0] == channels:
        return waveform
    return waveform.mean(0, keepdim=True).expand(channels, -1)


def _mono(waveform: torch.Tensor) -> torch.Tensor:
    """Return the mean `[T]` of all channels, or the loudest one where the others cancel it.

    They do if less is left than half of what it alone would bring to the mean: a microphone whose
    two wires were swapped makes a silence of two loud channels.
    """
    values = waveform.detach().to("cpu", torch.float32).nan_to_num(0.0, 0.0, 0.0)
    mean = values.mean(0)
    loudness = [float(torch.linalg.vector_norm(channel)) for channel in values]
    loudest = max(loudness)
    if float(torch.linalg.vector_norm(mean)) < loudest / len(loudness) / 2:
        return values[loudness.index(loudest)]
    return mean


def _samples_of_16_bits(sound: Sound) -> bytes:
    values = _mono(sound.waveform).clamp(-1, 1).mul(32767).round().to(torch.int16)
    return values.numpy().astype("<i2").tobytes()


def _decode_wav(content: bytes) -> Sound:
    chunks = dict(_wav_chunks(content))
    header, data = chunks.get(b"fmt "), chunks.get(b"data")
    if content[8:12] != b"WAVE" or header is None or data is None or len(header) < 16:
        raise MediaError(text("media.damaged_wav"))
    encoding, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", header)
    if encoding == _EXTENSIBLE and len(header) >= 26:
        (encoding,) = struct.unpack_from("<H", header, 24)
    if not 0 < channels <= _MAX_CHANNELS or not 0 < rate <= _MAX_RATE:
        raise MediaError(text("media.damaged_wav"))
    if encoding not in {_INTEGER, _FLOAT}:
        raise MediaError(text("media.unknown_wav", encoding=encoding))
    samples = _integers(data, bits) if encoding == _INTEGER else _floats(data, bits)
    return Sound(_waveform(samples, channels), rate)


def _wav_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the chunks of a WAV; the header of a streamed one does not know the size of its data.

    Raises `MediaError` if a chunk is cut off.
    """
    at = 12
    while at + 8 <= len(content):
        name, size = struct.unpack_from("<4sI", content, at)
        left = len(content) - at - 8
        if size > left or (name == b"data" and not size):
            if name != b"data" or not _is_streamed(size) or _is_short(content):
                raise MediaError(text("media.cut_off"))
            size = left
        yield name, content[at + 8 : at + 8 + size]
        at += 8 + size + size % 2


def _is_short(content: bytes) -> bool:
    """Return whether the whole file is shorter than its header says, if that knew the size."""
    (size,) = struct.unpack_from("<I", content, 4)
    return size + 8 > len(content) and not _is_streamed(size)


def _is_streamed(size: int) -> bool:
    return not size or any(abs(size - other) <= _SIZE_TOLERANCE for other in _STREAMED_SIZES)


def _integers(data: bytes, bits: int) -> Samples:
    """Return integers of 8, 16, 24 or 32 bits as -1..1; an incomplete one at the end is dropped."""
    if bits == 8:
        return _scaled(np.frombuffer(data, np.uint8).astype(np.int16) - 128, 7)
    if bits == 24:
        whole = np.frombuffer(data[: len(data) // 3 * 3], np.uint8).reshape(-1, 3)
        high = np.zeros((len(whole), 4), np.uint8)
        high[:, 1:] = whole
        return _scaled(high.reshape(-1).view("<i4"), 31)
    return _scaled(_numbers(data, "i", bits, (16, 32)), bits - 1)


def _floats(data: bytes, bits: int) -> Samples:
    values = _numbers(data, "f", bits, (32, 64)).astype(np.float32)
    return np.nan_to_num(values, nan=0.0, posinf=1.0, neginf=-1.0)


def _numbers(data: bytes, kind: str, bits: int, supported: Sequence[int]) -> npt.NDArray[Any]:
    """Return little-endian numbers; an incomplete one at the end is dropped."""
    if bits not in supported:
        raise MediaError(text("media.sample_bits", bits=bits))
    width = bits // 8
    return np.frombuffer(data[: len(data) // width * width], f"<{kind}{width}")


def _scaled(integers: npt.NDArray[Any], bits: int) -> Samples:
    scaled: Samples = (integers.astype(np.float64) / 2**bits).astype(np.float32)
    return scaled


def _waveform(samples: Samples, channels: int) -> torch.Tensor:
    """Return `[C,T]` of interleaved samples."""
    length = len(samples) // channels
    if not length:
        raise MediaError(text("media.no_sound"))
    if len(samples) > MAX_SAMPLES:
        raise MediaError(text("media.too_long"))
    planar = samples[: length * channels].reshape(length, channels).T
    return torch.from_numpy(np.ascontiguousarray(planar))


def _decode_compressed(content: bytes, kind: str) -> Sound:
    check_complete(content)
    if not has_decoder(kind):
        raise MediaError(text("media.no_decoder"))
    av = importlib.import_module("av")
    try:
        return _decode_with_av(av, content, kind)
    except MediaError:
        raise
    except (av.error.FFmpegError, ValueError, OSError, IndexError):
        raise MediaError(text("media.undecodable")) from None


def _decode_with_av(av: Any, content: bytes, kind: str) -> Sound:
    """Decode as this one format: a decoder that may guess would open whatever a playlist names."""
    with av.open(io.BytesIO(content), format=kind) as container:
        stream = container.streams.audio[0]
        resampler = av.AudioResampler(format="fltp", rate=stream.rate)
        parts: list[Samples] = []
        size = 0
        for frame in itertools.chain(container.decode(stream), (None,)):
            new = [part.to_ndarray() for part in resampler.resample(frame)]
            parts += new
            size += sum(part.size for part in new)
            if size > MAX_SAMPLES:
                raise MediaError(text("media.too_long"))
        if not parts:
            raise MediaError(text("media.no_sound"))
        joined = np.concatenate(parts, axis=1)
        return Sound(torch.from_numpy(np.ascontiguousarray(joined)), int(stream.rate))
