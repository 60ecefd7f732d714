"""A process is killed while the ledger is made anew; nothing in it is lost or paid again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from comfyui_siliconflow.tests.reliability.endings import KILLS
from comfyui_siliconflow.tests.reliability.rows import Row
from comfyui_siliconflow.tests.reliability.trial import Bench


@pytest.mark.parametrize("try_kill", KILLS, ids=lambda kill: kill.__name__)
def test_what_a_ledger_held_is_kept_when_a_process_is_killed_within(
    bench: Bench, data: Path, try_kill: Callable[[Bench, Path], Row]
) -> None:
    assert try_kill(bench, data).problems == []
