"""On every drive, whatever it refuses and whoever is killed, two images are paid once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from comfyui_siliconflow.tests.refusing_drive import compile_library
from comfyui_siliconflow.tests.reliability.drives import DRIVES, Drive, try_drive
from comfyui_siliconflow.tests.reliability.trial import Bench

TRIED = DRIVES if os.environ.get("FULL_MATRIX") else DRIVES[-1:]
"""The last one refuses everything; each trial starts five processes."""


@pytest.mark.parametrize("drive", TRIED, ids=lambda drive: drive.name)
def test_what_was_paid_is_found_on_a_drive_that_refuses_and_after_kills(
    bench: Bench, tmp_path: Path, drive: Drive
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    assert try_drive(bench, folder, compile_library(tmp_path), drive) == []
