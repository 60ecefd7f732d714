"""One call of a node is read in one go: few modules, and no deep stack."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.dev.trace_call import CALLS, trace

MAX_MODULES, MAX_FRAMES = 25, 14


@pytest.mark.parametrize("node_id", CALLS)
def test_a_call_walks_through_few_modules_and_frames(
    use: Callable[[Simulator], None], node_id: str
) -> None:
    with Simulator() as simulator:
        use(simulator)
        trace(node_id, 1)  # imports, and makes the data folder
        counted = trace(node_id, 2)
    assert {"engine/run.py", "siliconflow/client.py"} <= set(counted.modules)
    assert len(counted.modules) <= MAX_MODULES, counted.modules
    assert len(counted.deepest) <= MAX_FRAMES, counted.deepest
