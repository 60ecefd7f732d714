"""A bench for trials: one simulator and one fault server for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.tests.reliability.children import DATA, Child
from comfyui_siliconflow.tests.reliability.faults import KEY
from comfyui_siliconflow.tests.reliability.server import FaultServer
from comfyui_siliconflow.tests.reliability.trial import Bench, environment, write_settings


@pytest.fixture(scope="session")
def shared_bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Start the servers once; every trial has a ledger of its own."""
    with Simulator(key=KEY, balance="100000") as simulator:
        bench = Bench(simulator, FaultServer(simulator), tmp_path_factory.mktemp("trials"))
        yield bench
        bench.close()


@pytest.fixture
def bench(shared_bench: Bench, tmp_path: Path) -> Bench:
    """Return the bench, with nothing broken."""
    shared_bench.server.mend()
    shared_bench.directory = tmp_path
    return shared_bench


@pytest.fixture
def data(bench: Bench, tmp_path: Path) -> Iterator[Path]:
    """Let nodes of this process use the bench, with one ledger for the whole test."""
    directory = tmp_path / "data"
    directory.mkdir()
    write_settings(directory)
    bench.server.transport = "plain"
    bench.server.drop_idle()
    bench.server.heads.clear()
    with environment({**bench.server.environment(), "SILICONFLOW_DATA_DIR": str(directory)}):
        yield directory
    bench.server.mend()
    assert bench.server.quiet()
    assert bench.settled()


@pytest.fixture
def child(bench: Bench, data: Path) -> Iterator[Any]:
    """Start processes that run a node; see `child`."""
    started: list[Child] = []

    def start(**orders: Any) -> Child:
        started.append(
            Child(bench.nursery, orders, {**bench.server.environment(), DATA: str(data)})
        )
        return started[-1]

    yield start
    for process in started:
        process.end()
