"""Modules of ComfyUI's names and shapes, where the pack looks for them."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest


class Interrupted(BaseException):
    """Stands for ComfyUI's own exception."""


class Bar:
    """Stands for ComfyUI's ProgressBar."""

    def __init__(self, bars: list[Any], node_id: str | None) -> None:
        self.node_id = node_id
        self.values: list[tuple[int, int]] = []
        self.previews: list[Any] = []
        bars.append(self)

    def update_absolute(self, value: int, total: int, preview: Any = None) -> None:
        self.values.append((value, total))
        if preview:
            self.previews.append(preview)


@pytest.fixture
def comfy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Run as inside ComfyUI: `texts` and `bars` are what nodes show."""
    texts: list[tuple[str, str, str | None]] = []
    sent: list[tuple[str, Any, str | None]] = []
    bars: list[Any] = []
    server = SimpleNamespace(
        client_id="page-1",
        send_progress_text=lambda text, node, page=None: texts.append((text, node, page)),
        send_sync=lambda event, data, page=None: sent.append((event, data, page)),
    )
    state = SimpleNamespace(
        interrupted=False,
        interruption=Interrupted,
        texts=texts,
        sent=sent,
        bars=bars,
        server=server,
        user=tmp_path / "user",
    )
    modules: dict[str, dict[str, Any]] = {
        "comfy.utils": {"ProgressBar": lambda _total, node_id=None: Bar(bars, node_id)},
        "comfy.model_management": {
            "processing_interrupted": lambda: state.interrupted,
            "InterruptProcessingException": Interrupted,
        },
        "comfy_execution.utils": {"get_executing_context": lambda: SimpleNamespace(node_id="7")},
        "server": {"PromptServer": SimpleNamespace(instance=server)},
        "folder_paths": {
            "get_user_directory": lambda: str(state.user),
            "get_system_user_directory": lambda name: str(state.user / f"__{name}"),
        },
    }
    for name, contents in modules.items():
        module = ModuleType(name)
        vars(module).update(contents)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delenv("SILICONFLOW_DATA_DIR")
    return state
