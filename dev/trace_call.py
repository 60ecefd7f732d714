"""How much of the pack one call walks through, node to result.

Runs a node against the simulator with a profile function in every thread, and counts what of the
product was called: functions, modules, and the frames of the deepest stack of one thread. Run it:

    python -m comfyui_siliconflow.dev.trace_call

The first call of each node is not counted: it imports, and makes the data folder.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from ..nodes import NODE_CLASS_MAPPINGS
from .simulator import Simulator

ROOT = Path(__file__).resolve().parent.parent
CALLS: dict[str, dict[str, Any]] = {
    "SiliconFlowTextToImage": {
        "model": "Qwen/Qwen-Image",
        "prompt": "a cat",
        "image_size": "custom",
        "width": 64,
        "height": 64,
    },
    "SiliconFlowTextToSpeech": {"model": "FunAudioLLM/CosyVoice2-0.5B", "input": "Hello {seed}"},
}


class Trace:
    """The functions of the product that were called, and the deepest stack of them."""

    def __init__(self) -> None:
        """Count nothing yet."""
        self.functions: set[tuple[str, str]] = set()
        self.deepest: list[tuple[str, str]] = []
        self._names: dict[CodeType, tuple[str, str] | None] = {}

    def __call__(self, frame: FrameType, event: str, _argument: object) -> None:
        """Take note of a call."""
        if event == "call" and (name := self._name(frame.f_code)):
            self.functions.add(name)
            stack = [name for name in map(self._name, _codes_of(frame)) if name]
            if len(stack) > len(self.deepest):
                self.deepest = stack

    @property
    def modules(self) -> list[str]:
        """The files that a function was called in."""
        return sorted({file for file, _ in self.functions})

    def _name(self, code: CodeType) -> tuple[str, str] | None:
        """Return the file and name of a function of the product, `None` for any other."""
        if code not in self._names:
            file = Path(code.co_filename).resolve()  # ComfyUI may load the pack by a link
            inside = file.is_relative_to(ROOT) and file.suffix == ".py"
            relative = file.relative_to(ROOT) if inside else None
            is_product = relative is not None and relative.parts[0] not in {"dev", "tests"}
            self._names[code] = (str(relative), code.co_name) if is_product else None
        return self._names[code]


def trace(node_id: str, seed: int) -> Trace:
    """Run a node once and return what was called."""
    inputs = {
        name: value.format(seed=seed) if isinstance(value, str) else value
        for name, value in CALLS[node_id].items()
    }
    if "prompt" in inputs:
        inputs["seed"] = seed
    counted = Trace()
    threading.setprofile(counted)
    sys.setprofile(counted)
    try:
        asyncio.run(NODE_CLASS_MAPPINGS[node_id]().execute(**inputs))
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return counted


def main() -> None:
    """Print the figures of each call."""
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        Simulator() as simulator,
    ):
        os.environ["SILICONFLOW_API_KEY"] = simulator.key
        os.environ["SILICONFLOW_BASE_URL"] = simulator.base_url
        os.environ["SILICONFLOW_DATA_DIR"] = folder
        for node_id in CALLS:
            trace(node_id, 1)
            counted = trace(node_id, 2)
            if not counted.functions:
                raise RuntimeError(f"{node_id}: no function of the product was seen")
            print(
                f"{node_id}: {len(counted.functions)} functions in {len(counted.modules)} modules,"
                f" at most {len(counted.deepest)} frames deep in one thread"
            )
            if "-v" in sys.argv:
                for file in counted.modules:
                    print(
                        "  ",
                        file,
                        sorted(name for where, name in counted.functions if where == file),
                    )
                print("   deepest:", " > ".join(f"{f}:{n}" for f, n in reversed(counted.deepest)))


def _codes_of(frame: FrameType | None) -> Iterator[CodeType]:
    while frame:
        yield frame.f_code
        frame = frame.f_back


if __name__ == "__main__":
    main()
