"""AUDIO to files and back."""

from __future__ import annotations

import io
import math
import struct
import sys
import wave
from typing import Any

import numpy as np
import pytest
import torch
from comfyui_siliconflow.dev.simulator import sound
from comfyui_siliconflow.media import audio_files as audio
from comfyui_siliconflow.media.audio_files import Sound
from comfyui_siliconflow.media.media_error import MediaError


def tone(seconds: float = 0.1, rate: int = 8000, channels: int = 1) -> torch.Tensor:
    time = torch.arange(int(seconds * rate)) / rate
    return torch.stack([torch.sin(math.tau * 440 * (at + 1) * time) / 2 for at in range(channels)])


def wav(data: bytes, kind: int = 1, channels: int = 1, bits: int = 16, size: int = -1) -> bytes:
    """Write a WAV by hand; `size` names another length than the right one."""
    head = struct.pack("<HHIIHH", kind, channels, 8000, 0, 0, bits)
    length = len(data) if size < 0 else size
    parts = b"WAVEfmt " + struct.pack("<I", len(head)) + head
    parts += b"LIST\x03\x00\x00\x00abc\x00" + b"data" + struct.pack("<I", length) + data
    return b"RIFF" + struct.pack("<I", len(parts)) + parts


def test_a_sound_survives_the_file_but_for_its_rounding() -> None:
    sound = audio.decode(audio.to_wav(Sound(tone(), 8000)), "wav", 0)
    assert sound.rate == 8000
    assert torch.allclose(sound.waveform, tone(), atol=1e-4)


@pytest.mark.parametrize("rate", [8000, 44100, 192_000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_any_rate_and_number_of_channels_goes_in_as_one_channel(rate: int, channels: int) -> None:
    sound = Sound(tone(rate=rate, channels=channels), rate)
    with wave.open(io.BytesIO(audio.to_wav(sound))) as file:
        assert (file.getnchannels(), file.getframerate(), file.getsampwidth()) == (1, rate, 2)
        assert file.getnframes() == sound.waveform.shape[1]


@pytest.mark.parametrize("right", [-1.0, -0.9, 0.0])
def test_no_loud_channel_becomes_silence(right: float) -> None:
    """Two that are each other's opposite cancel in the mean."""
    swapped = torch.cat([tone(), right * tone()])
    sound = audio.decode(audio.to_wav(Sound(swapped, 8000)), "wav", 0).waveform
    assert sound.abs().max() > 0.2


def test_channels_that_differ_are_all_heard() -> None:
    both = tone(channels=2) * torch.tensor([[1.0], [0.8]])
    sound = audio.decode(audio.to_wav(Sound(both, 8000)), "wav", 0).waveform
    assert torch.allclose(sound, both.mean(0, keepdim=True), atol=1e-4)


@pytest.mark.parametrize(("rate", "comes"), [(8000, 8000), (16000, 16000), (44100, 16000)])
def test_speech_is_one_channel_of_what_models_hear(rate: int, comes: int) -> None:
    sound = audio.for_speech(Sound(tone(0.2, rate, 2)[:1].expand(2, -1), rate))
    assert (sound.rate, sound.waveform.shape) == (comes, (1, comes // 5))
    middle = slice(400, -400)
    assert torch.allclose(sound.waveform[:, middle], tone(0.2, comes)[:, middle], atol=1e-3)


def test_what_is_too_loud_or_no_number_is_clamped_and_the_tensor_left_alone() -> None:
    wild = torch.tensor([[2.0, -3.0, math.nan, 0.5]])
    before = wild.clone()
    sound = audio.decode(audio.to_wav(Sound(wild, 8000)), "wav", 0).waveform
    assert torch.allclose(sound, torch.tensor([[1.0, -1.0, 0.0, 0.5]]), atol=1e-4)
    assert torch.equal(wild.nan_to_num(), before.nan_to_num())


@pytest.mark.parametrize(
    ("data", "kind", "bits"),
    [
        (bytes([128, 255, 0]), 1, 8),
        (struct.pack("<3h", 0, 32767, -32768), 1, 16),
        (b"\x00\x00\x00\xff\xff\x7f\x00\x00\x80", 1, 24),
        (struct.pack("<3i", 0, 2**31 - 1, -(2**31)), 1, 32),
        (struct.pack("<3f", 0, 1, -1), 3, 32),
        (struct.pack("<3d", 0, 1, -1), 3, 64),
    ],
)
def test_every_kind_of_wav_is_read(data: bytes, kind: int, bits: int) -> None:
    sound = audio.decode(wav(data, kind, 1, bits), "wav", 0)
    assert sound.waveform.shape == (1, 3)
    assert torch.allclose(sound.waveform, torch.tensor([[0.0, 1.0, -1.0]]), atol=0.01)


def test_channels_are_distinguished() -> None:
    sound = audio.decode(wav(struct.pack("<4h", 1, 2, 3, 4), channels=2), "wav", 0)
    assert (sound.waveform * 32768).round().tolist() == [[1, 3], [2, 4]]


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF, 0xFFFFFFFF - 44])
def test_a_wav_whose_length_was_not_known_when_it_began_is_read(size: int) -> None:
    data = struct.pack("<3h", 1, 2, 3)
    assert audio.decode(wav(data, size=size), "wav", 0).waveform.shape == (1, 3)


def test_pcm_has_the_rate_that_was_requested() -> None:
    sound = audio.decode(struct.pack("<3h", 0, 16384, -16384), "pcm", 24000)
    assert (sound.rate, sound.waveform.tolist()) == (24000, [[0.0, 0.5, -0.5]])


@pytest.mark.parametrize("wanted", ["wav", "mp3", "opus", "pcm"])
def test_a_wav_is_read_whatever_was_requested(wanted: str) -> None:
    assert audio.decode(audio.to_wav(Sound(tone(), 8000)), wanted, 0).rate == 8000


@pytest.mark.parametrize("wanted", ["wav", "mp3", "opus", "pcm"])
@pytest.mark.parametrize("kind", ["mp3", "ogg"])
def test_compressed_sound_is_decoded_as_what_it_is_whatever_was_requested(
    wanted: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = sound.packed("mp3" if kind == "mp3" else "opus", np.zeros(48000), 48000)
    opened: list[str] = []

    def decoded(_av: Any, _content: bytes, found: str) -> Sound:
        opened.append(found)
        return Sound(tone(), 8000)

    monkeypatch.setattr(audio, "_decode_with_av", decoded)
    monkeypatch.setattr(audio, "has_decoder", lambda _kind: True)
    monkeypatch.setitem(sys.modules, "av", _Decoder)
    audio.decode(content, wanted, 24000)
    assert opened == [kind]


BAD = {
    "a page": b"<html>not here</html>",
    "nothing": b"",
    "a WAV cut in its sound": wav(b"\x00\x00" * 100)[:-50],
    "a WAV cut in its sound, whose head told the length of the whole": wav(bytes(200), size=0)[
        :-50
    ],
    "a WAV without a sound": wav(b""),
    "a WAV cut in its head": wav(b"\x00\x00")[:20],
    "a WAV of no channels": wav(b"\x00\x00", channels=0),
    "a WAV of an unknown kind": wav(b"\x00\x00", kind=85),
    "a WAV of 12 bits": wav(b"\x00\x00", bits=12),
    "a WebP": b"RIFF\x10\x00\x00\x00WEBPVP8L" + bytes(10),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_sound_is_an_error(name: str) -> None:
    with pytest.raises(MediaError):
        audio.decode(BAD[name], "wav", 0)


def test_without_a_decoder_compressed_sound_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert not audio.has_decoder("mp3")
    assert audio.has_decoder("wav")
    with pytest.raises(MediaError, match="PyAV"):
        audio.decode(sound.packed("mp3", np.zeros(9000), 44100), "mp3", 0)


def test_sounds_are_joined_one_behind_the_other() -> None:
    joined = audio.join([Sound(tone(0.1), 8000), Sound(tone(0.2, channels=2), 8000)])
    assert joined["waveform"].shape == (1, 2, 2400)
    assert joined["sample_rate"] == 8000
    assert torch.equal(joined["waveform"][0, 1, :800], tone(0.1)[0])


def test_sounds_of_several_rates_are_joined_at_the_highest() -> None:
    joined = audio.join([Sound(tone(0.2), 8000), Sound(tone(0.1, 16000), 16000)])
    assert joined["sample_rate"] == 16000
    assert joined["waveform"].shape == (1, 1, 3200 + 1600)
    middle = joined["waveform"][0, 0, 400:2800]
    assert torch.allclose(middle, tone(0.2, 16000)[0, 400:2800], atol=1e-3)


def test_every_item_of_a_batch_is_one_sound() -> None:
    batch = {"waveform": torch.zeros(3, 2, 100), "sample_rate": 8000}
    sounds = audio.to_sounds(batch)
    assert [sound.waveform.shape for sound in sounds] == [(2, 100)] * 3
    assert sounds[0].seconds == 100 / 8000


@pytest.mark.parametrize(
    "value",
    [
        None,
        torch.zeros(1, 1, 10),
        {"waveform": torch.zeros(1, 10), "sample_rate": 8000},
        {"waveform": torch.zeros(1, 1, 10), "sample_rate": None},
        {"waveform": torch.zeros(1, 1, 10), "sample_rate": 0},
        {"waveform": torch.zeros(1, 1, 0), "sample_rate": 8000},
        {"waveform": torch.zeros(1, 1, 10, dtype=torch.int16), "sample_rate": 8000},
    ],
)
def test_what_is_no_audio_is_refused(value: Any) -> None:
    with pytest.raises(MediaError):
        audio.to_sounds(value)


@pytest.mark.parametrize(
    "content", [b"ffconcat version 1.0\nfile a.wav\n", b"#EXTM3U\nfile:///a\n"]
)
def test_a_playlist_in_place_of_sound_opens_nothing(
    content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audio, "has_decoder", lambda _kind: True)
    monkeypatch.setitem(sys.modules, "av", _Decoder)
    with pytest.raises(MediaError, match="not a WAV, MP3 or Opus"):
        audio.decode(content, "mp3", 24000)


class _Decoder:
    error = type("error", (), {"FFmpegError": RuntimeError})

    @staticmethod
    def open(*_given: Any, **_named: Any) -> None:
        pytest.fail("it was opened")
