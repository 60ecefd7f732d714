"""Sound at another sample rate."""

from __future__ import annotations

import math

import pytest
import torch
from comfyui_siliconflow.media.resampling import resample


def tone(pitch: float, rate: int, seconds: float = 0.5) -> torch.Tensor:
    time = torch.arange(int(seconds * rate), dtype=torch.float64) / rate
    return torch.sin(math.tau * pitch * time).float().unsqueeze(0)


def middle(waveform: torch.Tensor) -> torch.Tensor:
    """Leave out the ends, where the filter sees the silence around the sound."""
    return waveform[:, 500:-500]


RATES = [(44100, 16000), (48000, 16000), (24000, 44100), (22050, 24000), (44099, 16000)]


@pytest.mark.parametrize(("rate", "wanted"), RATES)
@pytest.mark.parametrize("pitch", [110, 1000, 5000])
def test_a_tone_is_the_same_tone_at_another_rate(pitch: int, rate: int, wanted: int) -> None:
    resampled = resample(tone(pitch, rate), rate, wanted)
    assert abs(resampled.shape[1] - wanted / 2) <= 1
    same = tone(pitch, wanted)[:, : resampled.shape[1]]
    assert torch.allclose(middle(resampled[:, : same.shape[1]]), middle(same), atol=2e-3)


@pytest.mark.parametrize("pitch", [9000, 12000, 15000, 21000])
def test_what_the_lower_rate_cannot_hold_does_not_come_back_as_another_tone(pitch: int) -> None:
    resampled = resample(tone(pitch, 48000), 48000, 16000)
    assert middle(resampled).abs().max() < 5e-3


def test_the_end_of_a_long_sound_is_made_as_its_beginning() -> None:
    """It is made in parts."""
    resampled = resample(tone(440, 16000, 9.0), 16000, 24000)
    assert torch.allclose(middle(resampled), middle(tone(440, 24000, 9.0)), atol=2e-3)


def test_every_channel_is_its_own_and_the_sound_given_is_left_alone() -> None:
    both = torch.cat([tone(440, 48000), tone(880, 48000)])
    before = both.clone()
    resampled = resample(both, 48000, 16000)
    assert torch.allclose(middle(resampled[1:]), middle(tone(880, 16000)), atol=2e-3)
    assert torch.equal(both, before)
    assert resample(both, 48000, 48000) is both
