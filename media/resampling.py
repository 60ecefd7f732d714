"""Audio at another sample rate."""

from __future__ import annotations

import math

import torch
from torch.nn.functional import pad

ZERO_CROSSINGS = 16
"""Zero crossings of the sinc on each side: more make the edge of the filter steeper."""
PASSBAND = 0.94
"""The part of the frequencies that both rates can hold which is kept: the filter falls behind it.
What lies above would come back as other tones."""
_BLOCK_SAMPLES = 1 << 15
"""Samples made at a time, so that an hour of audio is not held many times over."""


def resample(waveform: torch.Tensor, rate: int, new_rate: int) -> torch.Tensor:
    """Return `[C,T]` float32 at `new_rate` Hz: as long, and without aliases."""
    if rate == new_rate:
        return waveform
    divisor = math.gcd(rate, new_rate)
    old, new = rate // divisor, new_rate // divisor
    weights = _weights(old, new)
    taps = weights.shape[1]
    values = waveform.detach().to("cpu", torch.float32)
    windows = pad(values, (taps // 2 - 1, taps)).unfold(-1, taps, 1)
    length = -(-values.shape[-1] * new // old)
    resampled = torch.empty(values.shape[0], length)
    for start in range(0, length, _BLOCK_SAMPLES):
        at = torch.arange(start, min(length, start + _BLOCK_SAMPLES)) * old
        products = windows[:, at // new] * weights[at % new]
        resampled[:, start : start + len(at)] = products.sum(-1)
    return resampled


def _weights(old: int, new: int) -> torch.Tensor:
    """Return the weights `[new, taps]` of the samples around each position between two of them."""
    cutoff = PASSBAND * min(1.0, new / old)
    half = ZERO_CROSSINGS / cutoff
    before = math.ceil(half)
    position = torch.arange(new, dtype=torch.float64).unsqueeze(1) / new
    distance = torch.arange(-before, before + 2, dtype=torch.float64) - position
    window = torch.cos(distance / half * (math.pi / 2)).square() * (distance.abs() < half)
    weights = torch.sinc(distance * cutoff) * window
    return (weights / weights.sum(1, keepdim=True)).to(torch.float32)
