"""What most tests need: a clean environment, a simulator, and a way to run a node."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.nodes import NODE_CLASS_MAPPINGS
from comfyui_siliconflow.strings.text import use_language


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the developer's own key, settings and language out of every test."""
    for name in ("SILICONFLOW_API_KEY", "SILICONFLOW_BASE_URL", "LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SILICONFLOW_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("LANG", "en_US.UTF-8")
    use_language("en")


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[Simulator], None]:
    """Let the nodes talk to a simulator."""

    def use_simulator(simulator: Simulator) -> None:
        monkeypatch.setenv("SILICONFLOW_API_KEY", simulator.key)
        monkeypatch.setenv("SILICONFLOW_BASE_URL", simulator.base_url)

    return use_simulator


@pytest.fixture
def simulator(
    use: Callable[[Simulator], None], write_settings: Callable[..., Path]
) -> Iterator[Simulator]:
    """Serve the China site of the older documents, which want `batch_size`, to the nodes."""
    write_settings(native_batch=True)
    with Simulator(site="cn") as started:
        use(started)
        yield started


@pytest.fixture
def today(use: Callable[[Simulator], None]) -> Iterator[Simulator]:
    """Serve the China site as it is now, and let the nodes talk to it."""
    with Simulator(site="cn", as_of="today") as started:
        use(started)
        yield started


@pytest.fixture
def write_settings(tmp_path: Path) -> Callable[..., Path]:
    """Write settings into the file that the nodes read, beside those that are there."""

    def write(**values: Any) -> Path:
        file = tmp_path / "data" / "settings.json"
        file.parent.mkdir(exist_ok=True)
        known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        file.write_text(json.dumps({**known, **values}), encoding="utf-8")
        return file

    return write


@pytest.fixture
def run_node() -> Callable[..., tuple[torch.Tensor, int, dict[str, Any]]]:
    """Run a node as ComfyUI does, and read its info."""

    def run(node_id: str, **inputs: Any) -> tuple[torch.Tensor, int, dict[str, Any]]:
        node = NODE_CLASS_MAPPINGS[node_id]()
        images, seed, info = asyncio.run(node.execute(**inputs))
        return images, seed, json.loads(info)

    return run


@pytest.fixture
def outputs_of() -> Callable[..., dict[str, Any]]:
    """Run a node as ComfyUI does, and give its outputs by name, with its info as it reads."""

    def run(node_id: str, **inputs: Any) -> dict[str, Any]:
        node = NODE_CLASS_MAPPINGS[node_id]()
        if getattr(node, "INPUT_IS_LIST", False):
            inputs = {k: v if isinstance(v, list) else [v] for k, v in inputs.items()}
        found = dict(zip(node.RETURN_NAMES, asyncio.run(node.execute(**inputs)), strict=True))
        if "info" in found:
            found["info"] = json.loads(found["info"])
        return found

    return run


@pytest.fixture
def picture() -> Callable[..., torch.Tensor]:
    """Draw an IMAGE of 8-bit values, different in every frame and pixel."""

    def draw(frames: int = 1, height: int = 48, width: int = 64, channels: int = 3) -> torch.Tensor:
        dice = torch.Generator().manual_seed(height * width * channels)
        shape = (frames, height, width, channels)
        return torch.randint(0, 256, shape, generator=dice).float() / 255

    return draw
