"""Sound at another sample rate."""

from __future__ import annotations

import math

import torch
from torch.nn.functional import pad

ZEROS = 16
"""How many turns of the sinc stand on each side: more make the edge of the filter steeper."""
PASSED = 0.94
"""The part of the frequencies that both rates can hold which is kept: the filter falls behind it.
What lay above would come back as other tones."""
_BLOCK = 1 << 15
"""Samples made at a time: an hour of sound is not held many times over."""


def resample(waveform: torch.Tensor, rate: int, wanted: int) -> torch.Tensor:
    """Give `[C,T]` at the rate `wanted`: as long, and without tones that were not in it."""
    if rate == wanted:
        return waveform
    shared = math.gcd(rate, wanted)
    old, new = rate // shared, wanted // shared
    table = _table(old, new)
    taps = table.shape[1]
    values = waveform.detach().to("cpu", torch.float32)
    windows = pad(values, (taps // 2 - 1, taps)).unfold(-1, taps, 1)
    length = -(-values.shape[-1] * new // old)
    made = torch.empty(values.shape[0], length)
    for start in range(0, length, _BLOCK):
        at = torch.arange(start, min(length, start + _BLOCK)) * old
        parts = windows[:, at // new] * table[at % new]
        made[:, start : start + len(at)] = parts.sum(-1)
    return made


def _table(old: int, new: int) -> torch.Tensor:
    """Give the weights `[new, taps]` of the samples around each place between two of them."""
    cut = PASSED * min(1.0, new / old)
    half = ZEROS / cut
    before = math.ceil(half)
    between = torch.arange(new, dtype=torch.float64).unsqueeze(1) / new
    away = torch.arange(-before, before + 2, dtype=torch.float64) - between
    window = torch.cos(away / half * (math.pi / 2)).square() * (away.abs() < half)
    weights = torch.sinc(away * cut) * window
    return (weights / weights.sum(1, keepdim=True)).to(torch.float32)
