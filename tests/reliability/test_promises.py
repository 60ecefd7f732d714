"""Cancels, partial results, limits, bounds on spending, and ledgers that fail."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.nodes import NODE_CLASS_MAPPINGS
from comfyui_siliconflow.siliconflow import errors
from comfyui_siliconflow.tests.conftest import LimitClock
from comfyui_siliconflow.tests.reliability import breakers
from comfyui_siliconflow.tests.reliability.server import Breaker, FaultServer, Where
from comfyui_siliconflow.tests.reliability.trial import (
    NODES,
    PACK,
    WARNING,
    Bench,
    Run,
    environment,
    write_settings,
)
from comfyui_siliconflow.tests.waiting import pack_threads, until

DRAW = "SiliconFlowTextToImage"
LEDGER = "siliconflow-ledger"
KOLORS = "Kwai-Kolors/Kolors"
pytestmark = pytest.mark.usefixtures("data")


# Cancelling


@dataclass(frozen=True)
class Cancel:
    """Where a request stands when its node is cancelled, and where its images are then from."""

    name: str
    where: Where
    breaker: Breaker


CANCELS = (
    Cancel("while the service works", "send", breakers.drip(head=True)),
    Cancel("within the answer", "send", breakers.drip(head=False)),
    Cancel("within the download", "download", breakers.drip(head=False)),
)


@pytest.mark.parametrize("cancel", CANCELS, ids=lambda cancel: cancel.name)
def test_a_cancelled_node_returns_at_once_and_its_image_is_free_later(
    bench: Bench, cancel: Cancel
) -> None:
    before = bench.paid
    bench.server.break_next(cancel.breaker, cancel.where, 1)
    asyncio.run(_cancelled(bench, cancel.where))
    bench.server.mend()  # what was broken till now kept the request from its end
    assert bench.settled()
    run = bench.run(DRAW)
    assert (run.images, run.origins, run.requests) == (1, {"reused"}, 0)
    assert bench.paid - before == 1


async def _cancelled(bench: Bench, where: Where) -> None:
    """Cancel a node as soon as its request stands there: it returns while the request does not."""
    node = asyncio.create_task(_execute())
    stands = partial(_stands, bench, where)
    await asyncio.to_thread(until, stands)
    node.cancel()
    with pytest.raises(asyncio.CancelledError):
        await node
    assert pack_threads()


def _stands(bench: Bench, where: Where) -> bool:
    start = b"POST " if where == "send" else b"GET /pictures"
    return any(head.startswith(start) for head in bench.server.heads)


async def _execute(**inputs: Any) -> Any:
    values = {"prompt": "a cat", "seed": 7, **NODES[DRAW], **inputs}
    return await NODE_CLASS_MAPPINGS[DRAW]().execute(**values)


def test_eight_nodes_that_ask_the_same_at_once_pay_once(bench: Bench) -> None:
    async def graph() -> list[Any]:
        return await asyncio.gather(*(_execute() for _ in range(8)))

    before = bench.paid
    assert len(asyncio.run(graph())) == 8
    assert bench.paid - before == 1
    assert bench.server.posts == 1


def test_a_connection_that_died_while_it_was_kept_is_not_noticed(bench: Bench) -> None:
    for prompt in ("one", "two", "three"):
        run = bench.run(DRAW, prompt=prompt)
        assert (run.images, run.requests, run.charged) == (1, 1, 1)
        bench.server.drop_idle()


# Some of several


@pytest.mark.parametrize("status", [400, 500])
def test_of_five_images_only_the_missing_one_is_sent_again(bench: Bench, status: int) -> None:
    bench.server.break_next(breakers.instead(status, '"no"'), "send", 1)
    first = bench.run(DRAW, batch_size=5)
    assert isinstance(first.error, errors.PartialFailure)
    assert (first.requests, first.charged) == (5, 4)
    second = bench.run(DRAW, batch_size=5)
    assert (second.images, second.requests, second.charged) == (5, 1, 1)
    assert second.origins == {"reused", "paid"}


def test_what_a_refusal_kept_from_being_sent_is_sent_the_next_time(
    bench: Bench, data: Path
) -> None:
    write_settings(data, max_parallel=1)
    statuses = iter([None, None, breakers.instead(400, '"no"')])
    bench.server.choose, usual = lambda *_: next(statuses, None), bench.server.choose
    try:
        first = bench.run(DRAW, batch_size=5)
    finally:
        bench.server.choose = usual
    second = bench.run(DRAW, batch_size=5)
    assert isinstance(first.error, errors.PartialFailure)
    assert first.charged + second.charged == 5
    assert (second.images, second.requests) == (5, 5 - first.charged)


def test_of_a_lost_answer_within_the_hour_only_the_download_is_done_and_later_it_is_reported(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.server.break_next(breakers.instead(404), "download", 1)
    assert isinstance(bench.run(DRAW).error, errors.DownloadFailed)
    monkeypatch.setattr(f"{PACK}.storage.ledger.URL_SECONDS", 0)
    run = bench.run(DRAW)
    assert (run.images, run.charged, WARNING in run.notes) == (1, 1, True)


def test_a_download_that_fails_says_until_when_it_is_free(bench: Bench, data: Path) -> None:
    def told(run: Run) -> str:
        how = r"before (\d\d:\d\d) to download the result for free"
        [time_of_day] = re.findall(how, str(run.error))
        return str(time_of_day)

    bench.server.break_next(breakers.instead(500), "download", 1000)
    began = time.time()
    first = told(bench.run(DRAW))
    hours = {time.strftime("%H:%M", time.localtime(at + 3600)) for at in (began, time.time())}
    assert first in hours
    [ledger] = data.rglob("ledger.sqlite3")
    with closing(sqlite3.connect(ledger)) as db, db:
        db.execute("UPDATE requests SET answered_at = answered_at - 1800")
    again = told(bench.run(DRAW))
    earlier = {time.strftime("%H:%M", time.localtime(at + 1800)) for at in (began, time.time())}
    assert again in earlier


# Rate limits


@pytest.fixture
def limited(bench: Bench, data: Path, limit_clock: LimitClock) -> Iterator[Bench]:
    """Serve two images a minute, on a clock that waits for nobody."""
    del bench
    write_settings(data, longest_wait=600.0)
    with Simulator(ipm=2, clock=limit_clock, balance="1000") as simulator:
        server = FaultServer(simulator)
        values = {**server.environment(), "SILICONFLOW_DATA_DIR": str(data)}
        with environment(values, minute=60.0):
            yield Bench(simulator, server, data)
        server.close()


def test_ten_images_at_two_a_minute_come_in_five_windows_with_one_refusal(limited: Bench) -> None:
    run = limited.run(DRAW, batch_size=10)
    good = [record for record in limited.simulator.generations if record.status == 200]
    assert (run.error, run.images, run.charged, run.requests) == (None, 10, 10, 11)
    windows = [(record.time - good[0].time) // 60 for record in good]
    assert windows == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_a_batch_beyond_the_limit_comes_in_smaller_requests(limited: Bench) -> None:
    run = limited.run(DRAW, model=KOLORS, batch_size=4)
    sizes = [(record.status, record.body["batch_size"]) for record in limited.simulator.generations]
    assert (run.error, run.images, run.charged) == (None, 4, 4)
    assert [size for status, size in sizes if status == 200] == [2, 2]
    again = limited.run(DRAW, model=KOLORS, batch_size=4)
    assert (again.images, again.charged) == (4, 0)


@pytest.mark.parametrize("limit", ["IPD", "RPD"])
def test_a_limit_per_day_fails_at_once(limited: Bench, limit_clock: LimitClock, limit: str) -> None:
    limited.simulator.fail(429, times=10, limit=limit)
    run = limited.run(DRAW)
    assert isinstance(run.error, errors.DailyLimit)
    assert (run.requests, limit_clock.now) == (1, limit_clock.began)


def test_a_used_up_balance_fails_at_once(limited: Bench) -> None:
    limited.simulator.balance = "0"
    run = limited.run(DRAW)
    assert isinstance(run.error, errors.Forbidden)
    assert run.requests == 1


# Bounds on spending


@pytest.mark.parametrize(
    "bound",
    [
        {"most_pictures": 4},
        {"daily_budget": 0.1, "unknown_price": 0.1},
        {"monthly_budget": 0.1, "unknown_price": 0.1},
        {"confirm_images": 4},
        {"confirm_cost": 0.1, "unknown_price": 0.1},
    ],
    ids=lambda bound: next(iter(bound)),
)
def test_a_bound_stops_a_run_before_its_first_request(
    bench: Bench, data: Path, bound: dict[str, Any]
) -> None:
    write_settings(data, **bound)
    run = bench.run(DRAW, batch_size=5)
    assert isinstance(run.error, errors.GuardStopped)
    assert (run.requests, run.charged) == (0, 0)


def test_two_runs_at_once_count_each_other(bench: Bench, data: Path) -> None:
    write_settings(data, most_pictures=5)

    async def graph() -> list[Any]:
        nodes = (_execute(batch_size=3, prompt=prompt) for prompt in ("one", "two"))
        return await asyncio.gather(*nodes, return_exceptions=True)

    before = bench.paid
    results = asyncio.run(graph())
    assert sum(isinstance(result, errors.GuardStopped) for result in results) == 1
    assert bench.paid - before == 3


def test_a_bound_that_was_kept_leaves_nothing_reserved(bench: Bench, data: Path) -> None:
    write_settings(data, most_pictures=5)
    bench.server.break_next(breakers.instead(400, '"no"'), "send", 5)
    assert bench.run(DRAW, batch_size=5).error
    bench.server.mend()  # a refusal keeps requests from being sent, which then meet none
    assert bench.run(DRAW, batch_size=5).images == 5


# Ledgers that fail


def _fill_with_rubbish(data: Path) -> None:
    for file in (data / LEDGER).glob("ledger.sqlite3*"):
        file.write_bytes(b"rubbish " * 2000)


def _overwrite_pages(data: Path) -> None:
    file = data / LEDGER / "ledger.sqlite3"
    start = file.read_bytes()[:100]
    file.write_bytes(start + b"\xff" * 40_000)


def _remove(data: Path) -> None:
    for file in (data / LEDGER).glob("ledger.sqlite3*"):
        file.unlink()


def _no_folder_for_images(data: Path) -> None:
    (data / LEDGER).mkdir()
    (data / LEDGER / "pictures").write_text("in the way")


@pytest.mark.parametrize("damage", [_fill_with_rubbish, _overwrite_pages, _remove])
def test_a_damaged_ledger_keeps_no_image_from_the_graph(
    bench: Bench, data: Path, monkeypatch: pytest.MonkeyPatch, damage: Any
) -> None:
    assert bench.run(DRAW, prompt="before").images == 1
    damage(data)
    monkeypatch.setattr(f"{PACK}.engine.run.ledger_for", _new_ledger)
    run = bench.run(DRAW)
    assert (run.error, run.images, run.charged) == (None, 1, 1)
    again = bench.run(DRAW)
    assert (again.images, again.charged) == (1, 0)


def _new_ledger(_settings: Any) -> Any:
    """Open the ledger again, as another process would."""
    from comfyui_siliconflow.comfyui import host  # noqa: PLC0415
    from comfyui_siliconflow.storage.ledger import Ledger  # noqa: PLC0415

    return Ledger(host.data_directory())


def test_a_folder_that_cannot_hold_images_is_reported(bench: Bench, data: Path) -> None:
    _no_folder_for_images(data)
    run = bench.run(DRAW)
    assert (run.error, run.images) == (None, 1)
    assert "ledger cannot be used" in run.notes


def test_a_locked_ledger_is_reported(
    bench: Bench, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{PACK}.storage.database._LOCK_SECONDS", 0.1)
    assert bench.run(DRAW, prompt="before").images == 1
    monkeypatch.setattr(f"{PACK}.engine.run.ledger_for", _new_ledger)
    other = sqlite3.connect(data / LEDGER / "ledger.sqlite3")
    other.execute("BEGIN EXCLUSIVE")
    run = bench.run(DRAW)
    other.close()
    assert (run.error, run.images) == (None, 1)
    assert "ledger cannot be used" in run.notes


def test_an_image_that_rotted_on_disk_is_fetched_again(bench: Bench, data: Path) -> None:
    assert bench.run(DRAW).charged == 1
    [file] = [item for item in (data / LEDGER / "pictures").rglob("*") if item.is_file()]
    file.write_bytes(file.read_bytes()[:100])
    run = bench.run(DRAW)
    assert (run.images, run.charged, run.origins) == (1, 0, {"downloaded"})
