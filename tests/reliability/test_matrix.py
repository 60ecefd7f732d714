"""Every fault of the table against a node of its endpoints, and what queueing again brings.

The suite tries each fault with one node, another for each; `FULL_MATRIX=1` tries every fault with
every node, as `report` does, which takes minutes longer.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from comfyui_siliconflow.tests.reliability.calls import of_node
from comfyui_siliconflow.tests.reliability.faults import FAULTS, KEY, Fault
from comfyui_siliconflow.tests.reliability.trial import CALLS, NODES, Bench

FULL = bool(os.environ.get("FULL_MATRIX"))


def trials(table: Mapping[str, Sequence[Fault]]) -> list[Any]:
    """Give node and fault of each trial."""
    return [
        pytest.param(node, fault, id=f"{node.removeprefix('SiliconFlow')}-{fault.name}")
        for turn, (node, faults) in enumerate(table.items())
        for at, fault in enumerate(faults)
        if FULL or at % len(table) == turn
    ]


PICTURES = trials(dict.fromkeys(NODES, FAULTS))
WORDS_AND_SOUND = trials({node: of_node(node) for node in CALLS})


@pytest.mark.parametrize(("node", "fault"), [*PICTURES, *WORDS_AND_SOUND])
def test_a_fault_ends_as_the_table_says(
    bench: Bench, fault: Fault, node: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    outcome = bench.try_out(fault, node)
    assert outcome.problems == []
    assert KEY not in caplog.text


@pytest.mark.parametrize("node", CALLS)
def test_every_fault_of_another_endpoint_has_a_name_of_its_own(node: str) -> None:
    names = [fault.name for fault in of_node(node)]
    assert len(set(names)) == len(names) >= 60


def test_every_fault_has_a_name_of_its_own() -> None:
    names = [fault.name for fault in FAULTS]
    assert len(set(names)) == len(names) >= 60
