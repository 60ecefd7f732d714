"""What is wrong with the disk is read on a node, once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.storage import notices

DRAW = {"model": "Qwen/Qwen-Image", "prompt": "x", "seed": 1}


@pytest.mark.usefixtures("today")
def test_a_data_folder_that_is_synchronized_is_told_by_the_first_run_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_node: Callable[..., Any]
) -> None:
    monkeypatch.setattr(notices, "_last_told", {})
    folder = tmp_path / "OneDrive - Contoso" / "data"
    monkeypatch.setenv("SILICONFLOW_DATA_DIR", str(folder))
    first, second = (run_node("SiliconFlowTextToImage", **DRAW)[2]["notes"] for _ in range(2))
    assert [note for note in first if "OneDrive" in note and "SILICONFLOW_DATA_DIR" in note]
    assert not [note for note in second if "OneDrive" in note]


def test_a_notice_is_in_the_error_of_a_run_that_fails(
    today: Simulator, monkeypatch: pytest.MonkeyPatch, run_node: Callable[..., Any]
) -> None:
    monkeypatch.setattr(notices, "_last_told", {})
    notices.tell("disk.no_folder_sync", folder="/data")
    today.fail(401)
    with pytest.raises(Exception, match="after a power failure"):
        run_node("SiliconFlowTextToImage", **DRAW)
    assert not notices.PENDING
