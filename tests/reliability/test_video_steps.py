"""Every fault on a step of a video; `FULL_MATRIX=1` tries each on every step."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from comfyui_siliconflow.tests.reliability.trial import Bench
from comfyui_siliconflow.tests.reliability.video_steps import FAULTS, STEPS, Step, try_step

TRIALS: list[Any] = [
    pytest.param(step, fault, id=f"{step.name}-{fault}")
    for turn, step in enumerate(STEPS)
    for at, fault in enumerate(FAULTS)
    if os.environ.get("FULL_MATRIX") or at % len(STEPS) == turn
]


@pytest.mark.parametrize(("step", "fault"), TRIALS)
def test_a_fault_on_a_step_of_a_video_is_paid_once_or_told(
    bench: Bench, tmp_path: Path, step: Step, fault: str
) -> None:
    assert try_step(bench, tmp_path, step, fault).problems == []
