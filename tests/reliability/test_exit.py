"""A process that is told to end does so at once, whatever the pack is doing in it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from comfyui_siliconflow.tests.reliability.endings import ENDINGS, WAYS, Ending, try_ending
from comfyui_siliconflow.tests.reliability.trial import Bench

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="only Unix can send Ctrl+C alone")


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: ending.name)
def test_nothing_keeps_a_process_from_ending_and_what_it_paid_is_kept(
    bench: Bench, data: Path, ending: Ending, how: str
) -> None:
    assert try_ending(bench, data, ending, how).problems == []
