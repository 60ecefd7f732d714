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
from comfyui_siliconflow.tests.reliability import report
from comfyui_siliconflow.tests.reliability.calls import of_node
from comfyui_siliconflow.tests.reliability.faults import FAULTS, KEY, Fault
from comfyui_siliconflow.tests.reliability.free import DELETE, new_voice, of_free_node, problems
from comfyui_siliconflow.tests.reliability.trial import CALLS, FREE_CALLS, NODES, Bench

FULL = bool(os.environ.get("FULL_MATRIX"))


def trials(table: Mapping[str, Sequence[Fault]]) -> list[Any]:
    """Return node and fault of each trial."""
    return [
        pytest.param(node, fault, id=f"{node.removeprefix('SiliconFlow')}-{fault.name}")
        for turn, (node, faults) in enumerate(table.items())
        for at, fault in enumerate(faults)
        if FULL or at % len(table) == turn
    ]


IMAGES = trials(dict.fromkeys(NODES, FAULTS))
WORDS_AND_SOUND = trials({node: of_node(node) for node in CALLS})
WITHOUT_COST = trials({node: of_free_node(node) for node in FREE_CALLS})


@pytest.mark.parametrize(("node", "fault"), [*IMAGES, *WORDS_AND_SOUND])
def test_a_fault_ends_as_the_table_says(
    bench: Bench, fault: Fault, node: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    outcome = bench.try_out(fault, node)
    assert outcome.problems == []
    assert KEY not in caplog.text


@pytest.fixture
def voice(bench: Bench) -> str:
    """Return a voice that the account has."""
    return new_voice(bench)


@pytest.mark.parametrize(("node", "fault"), WITHOUT_COST)
def test_a_fault_of_what_costs_nothing_is_an_error_that_speaks_of_no_charge_or_none(
    bench: Bench, fault: Fault, node: str, voice: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    charges = len(bench.simulator.charges)
    inputs = {"uri": voice} if node == DELETE else {}
    assert problems(bench.try_out(fault, node, **inputs)) == []
    assert len(bench.simulator.charges) == charges
    assert (voice in {item["uri"] for item in bench.simulator.voices}) == (node != DELETE)
    assert KEY not in caplog.text


@pytest.mark.parametrize("node", FREE_CALLS)
def test_the_report_reports_what_costs_nothing(bench: Bench, node: str) -> None:
    fault = of_free_node(node)[0]
    outcome = report.tried(bench, fault, node)
    row = f"| {fault.name} | {node.removeprefix('SiliconFlow')} | NotConnected | the answer |"
    assert row in report.table_of_free([outcome])
    assert (outcome.lost, outcome.paid_twice) == (False, False)


@pytest.mark.parametrize("node", CALLS)
def test_every_fault_of_another_endpoint_has_a_name_of_its_own(node: str) -> None:
    names = [fault.name for fault in of_node(node)]
    assert len(set(names)) == len(names) >= 60


def test_every_fault_has_a_name_of_its_own() -> None:
    names = [fault.name for fault in FAULTS]
    assert len(set(names)) == len(names) >= 60
