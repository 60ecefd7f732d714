"""Every fault of the table against the three image nodes, and what queueing again brings."""

from __future__ import annotations

import logging

import pytest
from comfyui_siliconflow.tests.reliability.faults import FAULTS, KEY, Fault
from comfyui_siliconflow.tests.reliability.trial import NODES, Bench


@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_ends_as_the_table_says(
    bench: Bench, fault: Fault, node: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    outcome = bench.try_out(fault, node)
    assert outcome.problems == []
    assert KEY not in caplog.text


def test_every_fault_has_a_name_of_its_own() -> None:
    names = [fault.name for fault in FAULTS]
    assert len(set(names)) == len(names) >= 60
