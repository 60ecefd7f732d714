"""Every fault of the table against the three image nodes, and what queueing again brings."""

from __future__ import annotations

import logging

import pytest
from comfyui_siliconflow.tests.reliability.calls import of_node
from comfyui_siliconflow.tests.reliability.faults import FAULTS, KEY, Fault
from comfyui_siliconflow.tests.reliability.trial import CALLS, NODES, Bench


@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_ends_as_the_table_says(
    bench: Bench, fault: Fault, node: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    outcome = bench.try_out(fault, node)
    assert outcome.problems == []
    assert KEY not in caplog.text


@pytest.mark.parametrize(
    ("node", "fault"),
    [
        pytest.param(node, fault, id=f"{node.removeprefix('SiliconFlow')}-{fault.name}")
        for node in CALLS
        for fault in of_node(node)
    ],
)
def test_a_fault_of_another_endpoint_ends_as_the_table_says(
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
