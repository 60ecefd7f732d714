"""ComfyUI's AUDIO to files, and files to AUDIO.

An AUDIO is `{"waveform": float tensor [B,C,T] of values -1..1, "sample_rate": int}`. WAV and raw
PCM are read and written here; for MP3 and Opus the decoder that ComfyUI brings (PyAV) is used if
it is there.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import itertools
import struct
import wave
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from . import audio_formats as packed
from .image_files import MediaError
from .resampling import resample

Samples = npt.NDArray[np.float32]

PLAIN = ("wav", "pcm")
"""The formats that need no further package."""
SPEECH_RATE = 16_000
"""Hertz at which models of speech listen: what is above only makes an upload larger."""
MOST_SAMPLES = 200_000_000
"""Values of one sound, an hour and more: packed sound may become any size."""
_EXTENSIBLE = 0xFFFE
_INTEGER, _FLOAT = 1, 3
_ENDLESS = (0x7FFFFFFF, 0xFFFFFFFF)
"""Lengths about which a WAV names whose end was not known when its head was written; or none."""
_SLACK = 1 << 16
_LARGEST_RATE = 768_000
_MOST_CHANNELS = 32


@dataclass(frozen=True)
class Sound:
    """One recording: `[C,T]` and its sample rate."""

    waveform: torch.Tensor
    rate: int

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return float(self.waveform.shape[-1]) / self.rate


def check_audio(audio: object) -> list[Sound]:
    """Give the recordings of an AUDIO; raises `MediaError` if it is none, or is empty."""
    found = audio if isinstance(audio, Mapping) else {}
    waveform, rate = found.get("waveform"), found.get("sample_rate")
    if not isinstance(waveform, torch.Tensor) or waveform.ndim != 3 or not isinstance(rate, int):
        raise MediaError("is not an AUDIO", "不是 AUDIO 类型")
    if not waveform.is_floating_point() or not 0 < rate <= _LARGEST_RATE:
        raise MediaError(
            f"is {waveform.dtype} at {rate} Hz, not sound",
            f"为 {waveform.dtype}、{rate} Hz，无法使用",
        )
    if 0 in waveform.shape:
        raise MediaError("is empty", "是空的")
    return [Sound(item, rate) for item in waveform]


def for_speech(sound: Sound) -> Sound:
    """Give a recording as models of speech hear it: one channel, at most `SPEECH_RATE`."""
    rate = min(sound.rate, SPEECH_RATE)
    return Sound(resample(_mixed(sound.waveform).unsqueeze(0), sound.rate, rate), rate)


def to_wav(sound: Sound) -> bytes:
    """Write a WAV of one channel (see `_mixed`) and 16 bits, rounded and clamped."""
    values = _mixed(sound.waveform)
    whole = values.clamp(-1, 1).mul(32767).round().to(torch.int16).cpu().numpy()
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setnchannels(1)
        written.setsampwidth(2)
        written.setframerate(sound.rate)
        written.writeframes(whole.astype("<i2").tobytes())
    return file.getvalue()


def _mixed(waveform: torch.Tensor) -> torch.Tensor:
    """Give the mean of all channels, or the loudest one where the others cancel it.

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


def has_decoder(kind: str) -> bool:
    """Tell whether files of a format can be decoded here; loads nothing."""
    return kind in PLAIN or importlib.util.find_spec("av") is not None


def decode(content: bytes, kind: str, rate: int) -> Sound:
    """Decode a file, by what is in it: a service may send another format than it was asked for.

    Only what bears no mark of its own is taken for PCM, if that is the `kind` that was asked for;
    `rate` is its sample rate. Raises `MediaError` for anything that is not wholly there.
    """
    found = packed.format_of(content)
    if found == "wav":
        return _from_wav(content)
    if found:
        return _from_packed(content, found)
    if kind != "pcm":
        raise MediaError("is no WAV, MP3 or Opus file", "不是 WAV、MP3 或 Opus 文件")
    return Sound(_tensor(_integers(content, 16), 1), rate)


def join(sounds: Sequence[Sound]) -> dict[str, Any]:
    """Put recordings one behind the other, as an AUDIO of one item.

    It has the highest rate of them; one channel is used for all where others have more.
    """
    rate = max(sound.rate for sound in sounds)
    most = max(sound.waveform.shape[0] for sound in sounds)
    waveforms = [_widened(resample(sound.waveform, sound.rate, rate), most) for sound in sounds]
    return {"waveform": torch.cat(waveforms, -1).unsqueeze(0), "sample_rate": rate}


def _widened(waveform: torch.Tensor, channels: int) -> torch.Tensor:
    if waveform.shape[0] == channels:
        return waveform
    return waveform.mean(0, keepdim=True).expand(channels, -1)


def _from_wav(content: bytes) -> Sound:
    chunks = dict(_chunks(content))
    head, data = chunks.get(b"fmt "), chunks.get(b"data")
    if content[8:12] != b"WAVE" or head is None or data is None or len(head) < 16:
        raise MediaError("is a damaged WAV file", "的 WAV 文件已损坏")
    kind, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", head)
    if kind == _EXTENSIBLE and len(head) >= 26:
        (kind,) = struct.unpack_from("<H", head, 24)
    if not 0 < channels <= _MOST_CHANNELS or not 0 < rate <= _LARGEST_RATE:
        raise MediaError("is a damaged WAV file", "的 WAV 文件已损坏")
    return Sound(_tensor(_reader(kind)(data, bits), channels), rate)


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Give the parts of a WAV; the sound may be of a length that its head did not know."""
    at = 12
    while at + 8 <= len(content):
        name, size = struct.unpack_from("<4sI", content, at)
        left = len(content) - at - 8
        if size > left or (name == b"data" and not size):
            if name != b"data" or not _is_endless(size) or _is_short(content):
                raise MediaError("is cut off", "不完整")
            size = left
        yield name, content[at + 8 : at + 8 + size]
        at += 8 + size + size % 2


def _is_short(content: bytes) -> bool:
    """Tell whether the whole file is shorter than its head says, if that knew the length."""
    (size,) = struct.unpack_from("<I", content, 4)
    return size + 8 > len(content) and not _is_endless(size)


def _is_endless(size: int) -> bool:
    return not size or any(abs(size - endless) <= _SLACK for endless in _ENDLESS)


def _reader(kind: int) -> Callable[[bytes, int], Samples]:
    readers = {_INTEGER: _integers, _FLOAT: _floats}
    if kind not in readers:
        raise MediaError(f"is a WAV of an unknown kind ({kind})", f"的 WAV 编码未知（{kind}）")
    return readers[kind]


def _integers(data: bytes, bits: int) -> Samples:
    """Read whole numbers of 8, 16, 24 or 32 bits; a part of one at the end is left out."""
    if bits == 8:
        return _scaled(np.frombuffer(data, np.uint8).astype(np.int16) - 128, 7)
    if bits == 24:
        whole = np.frombuffer(data[: len(data) // 3 * 3], np.uint8).reshape(-1, 3)
        high = np.zeros((len(whole), 4), np.uint8)
        high[:, 1:] = whole
        return _scaled(high.reshape(-1).view("<i4"), 31)
    if bits not in {16, 32}:
        raise MediaError(f"has {bits} bits a sample", f"每个采样 {bits} 位，不受支持")
    width = bits // 8
    return _scaled(np.frombuffer(data[: len(data) // width * width], f"<i{width}"), bits - 1)


def _floats(data: bytes, bits: int) -> Samples:
    if bits not in {32, 64}:
        raise MediaError(f"has {bits} bits a sample", f"每个采样 {bits} 位，不受支持")
    width = bits // 8
    found = np.frombuffer(data[: len(data) // width * width], f"<f{width}")
    return np.nan_to_num(found.astype(np.float32), nan=0.0, posinf=1.0, neginf=-1.0)


def _scaled(whole: npt.NDArray[Any], bits: int) -> Samples:
    scaled: Samples = (whole.astype(np.float64) / 2**bits).astype(np.float32)
    return scaled


def _tensor(samples: Samples, channels: int) -> torch.Tensor:
    """Give `[C,T]` of samples that take turns."""
    length = len(samples) // channels
    if not length:
        raise MediaError("has no sound in it", "其中没有声音")
    if len(samples) > MOST_SAMPLES:
        raise MediaError("is too long", "过长")
    turned = samples[: length * channels].reshape(length, channels).T
    return torch.from_numpy(np.ascontiguousarray(turned))


def _from_packed(content: bytes, kind: str) -> Sound:
    packed.check_whole(content)
    if not has_decoder(kind):
        raise MediaError("cannot be decoded here: PyAV is not installed", "无法解码：没有安装 PyAV")
    av = importlib.import_module("av")
    try:
        return _decoded(av, content, kind)
    except (av.error.FFmpegError, ValueError, OSError, IndexError) as error:
        if isinstance(error, MediaError):
            raise
        raise MediaError("cannot be decoded", "无法解码") from None


def _decoded(av: Any, content: bytes, kind: str) -> Sound:
    """Decode as the one format: a decoder that may guess would open whatever a playlist names."""
    with av.open(io.BytesIO(content), format=kind) as container:
        stream = container.streams.audio[0]
        unified = av.AudioResampler(format="fltp", rate=stream.rate)
        parts: list[Samples] = []
        size = 0
        for frame in itertools.chain(container.decode(stream), (None,)):
            new = [part.to_ndarray() for part in unified.resample(frame)]
            parts += new
            size += sum(part.size for part in new)
            if size > MOST_SAMPLES:
                raise MediaError("is too long", "过长")
        if not parts:
            raise MediaError("has no sound in it", "其中没有声音")
        joined = np.concatenate(parts, axis=1)
        return Sound(torch.from_numpy(np.ascontiguousarray(joined)), int(stream.rate))
