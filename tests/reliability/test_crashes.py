"""A process is killed with `kill -9` at each step; another queues the same again."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from comfyui_siliconflow.tests.reliability import breakers
from comfyui_siliconflow.tests.reliability.children import Child
from comfyui_siliconflow.tests.reliability.faults import FETCHED, FREE, PAID, UNSURE, Again
from comfyui_siliconflow.tests.reliability.server import Breaker, Where
from comfyui_siliconflow.tests.reliability.trial import CALLS, NODES, WARNING, Bench
from comfyui_siliconflow.tests.waiting import until

Start = Callable[..., Child]
Hook = tuple[str, str, int]

DRAW = "SiliconFlowTextToImage"
PAIR = {**NODES[DRAW], "model": "Kwai-Kolors/Kolors", "batch_size": 2, "seed": 7, "prompt": "a cat"}
LEDGER = "storage.ledger:Ledger"


@dataclass(frozen=True)
class Crash:
    """Where a process dies: at a hook in itself, or while the server holds its request."""

    name: str
    charged: int
    again: Again
    hook: Hook | None = None
    holds: tuple[Where, Breaker] | None = None


CRASHES = (
    Crash("before anything is recorded", 0, PAID, (f"{LEDGER}.claim", "before", 1)),
    Crash("recorded, before it is sent", 0, UNSURE,
          ("siliconflow.resources.images.generate", "before", 1)),
    Crash("sent, and nobody acted", 0, UNSURE, holds=("send", breakers.silent_unpaid)),
    Crash("sent and paid, before the answer", 2, UNSURE,
          holds=("send", breakers.stop(0, head=False))),
    Crash("within the answer", 2, UNSURE, holds=("send", breakers.stop(0.5))),
    Crash("before the answer is recorded", 2, UNSURE, (f"{LEDGER}.mark_answered", "before", 1)),
    Crash("when the answer is recorded", 2, FETCHED, (f"{LEDGER}.mark_answered", "after", 1)),
    Crash("within the first download", 2, FETCHED, holds=("download", breakers.stop(0.5))),
    Crash("before an image is safe on disk", 2, FETCHED, ("os.fsync", "before", 1)),
    Crash("before an image on disk is recorded", 2, FETCHED,
          ("storage.atomic_files.write", "after", 1)),
    Crash("when the first of two is stored", 2, FETCHED, (f"{LEDGER}.store_file", "after", 1)),
    Crash("when both are stored, before that is recorded", 2, FREE,
          (f"{LEDGER}.mark_stored", "before", 1)),
    Crash("when all is recorded, before the node returns", 2, FREE,
          (f"{LEDGER}.mark_stored", "after", 1)),
)  # fmt: skip


INSIDE = (
    Crash("before the file in the response is saved", 1, UNSURE,
          (f"{LEDGER}.store_file", "before", 1)),
    Crash("before a saved file is recorded", 1, FREE, ("storage.atomic_files.write", "after", 1)),
    Crash("before the answer of a saved file is recorded", 1, FREE,
          (f"{LEDGER}.mark_answered", "before", 1)),
    Crash("when the answer of a saved file is recorded", 1, FREE,
          (f"{LEDGER}.mark_answered", "after", 1)),
)  # fmt: skip
"""Those of an endpoint whose result is in its response."""


VIDEO = "SiliconFlowTextToVideo"
WORDS = {"model": "Wan-AI/Wan2.2-T2V-A14B", "prompt": "waves", "image_size": "960x960", "seed": 7}
CLIP = "siliconflow.resources.video"
SUBMITTED = (
    Crash("before anything is recorded", 0, PAID, (f"{LEDGER}.claim", "before", 1)),
    Crash("recorded, before it is submitted", 0, UNSURE, (f"{CLIP}.submit", "before", 1)),
    Crash("submitted, before the ticket is recorded", 1, UNSURE,
          (f"{LEDGER}.mark_submitted", "before", 1)),
    Crash("when the ticket is recorded", 1, FETCHED, (f"{LEDGER}.mark_submitted", "after", 1)),
    Crash("before the first poll", 1, FETCHED, (f"{CLIP}.status", "before", 1)),
    Crash("when the result is told", 1, FETCHED, (f"{CLIP}.status", "after", 1)),
    Crash("when its URL is recorded", 1, FETCHED, (f"{LEDGER}.mark_answered", "after", 1)),
    Crash("before the file is safe on disk", 1, FETCHED, ("os.fsync", "before", 1)),
    Crash("before the file on disk is recorded", 1, FETCHED,
          ("storage.atomic_files.write", "after", 1)),
    Crash("when the file is stored, before that is recorded", 1, FREE,
          (f"{LEDGER}.mark_stored", "before", 1)),
    Crash("when all is recorded", 1, FREE, (f"{LEDGER}.mark_stored", "after", 1)),
)  # fmt: skip
"""Those of an endpoint whose requests are submitted, polled for, and downloaded to the disk."""


@pytest.mark.parametrize("crash", SUBMITTED, ids=lambda crash: crash.name)
@pytest.mark.usefixtures("data")
def test_a_video_survives_the_death_of_its_process_with_one_charge(
    bench: Bench, child: Start, crash: Crash
) -> None:
    before = bench.paid
    _die(bench, child, crash, VIDEO, WORDS)
    assert bench.paid - before == crash.charged
    run = bench.run(VIDEO, **WORDS)
    assert (run.error, run.origins) == (None, {crash.again.origin})
    assert run.charged == crash.again.charged
    assert (WARNING in run.notes) is crash.again.has_warning
    assert bench.run(VIDEO, **WORDS).origins == {"reused"}


@pytest.mark.parametrize("crash", CRASHES, ids=lambda crash: crash.name)
def test_what_a_killed_process_paid_is_not_lost_and_not_paid_again(
    bench: Bench, data: Path, child: Start, crash: Crash
) -> None:
    before = bench.paid
    _die(bench, child, crash)
    assert bench.paid - before == crash.charged
    run = bench.run(DRAW, **PAIR)
    assert (run.error, run.images, run.origins) == (None, 2, {crash.again.origin})
    assert (run.requests, run.charged) == (crash.again.requests, 2 * crash.again.charged)
    assert (WARNING in run.notes) is crash.again.has_warning
    assert bench.run(DRAW, **PAIR).origins == {"reused"}
    assert data.exists()


@pytest.mark.parametrize("node", ["SiliconFlowChat", "SiliconFlowTextToSpeech"])
@pytest.mark.parametrize("crash", INSIDE, ids=lambda crash: crash.name)
@pytest.mark.usefixtures("data")
def test_what_a_response_brought_to_a_killed_process_is_not_lost_and_not_paid_again(
    bench: Bench, child: Start, crash: Crash, node: str
) -> None:
    before = bench.paid
    _die(bench, child, crash, node, CALLS[node])
    assert bench.paid - before == crash.charged
    run = bench.run(node)
    assert (run.error, run.origins) == (None, {crash.again.origin})
    assert (run.requests, run.charged) == (crash.again.requests, crash.again.charged)
    assert (WARNING in run.notes) is crash.again.has_warning


def _die(
    bench: Bench,
    child: Start,
    crash: Crash,
    node: str = DRAW,
    inputs: Mapping[str, Any] = PAIR,
) -> None:
    if crash.holds:
        where, breaker = crash.holds
        bench.server.break_next(breaker, where, 1)
    process = child(node=node, inputs={**inputs}, hold=crash.hook)
    process.go()
    if crash.hook:
        process.expect("held")
    else:
        assert bench.server.holding.wait(30)
    process.kill()
    bench.server.mend()
    assert bench.server.quiet()


def test_a_process_that_ends_does_not_wait_for_its_request(bench: Bench, child: Start) -> None:
    bench.server.break_next(breakers.stop(0, head=False), "send", 1)
    process = child(node=DRAW, inputs=PAIR, leave=True)
    process.go()
    assert bench.server.holding.wait(30)
    process.send()
    process.expect("leaving")
    until(lambda: process.ended)
    assert not bench.server.quiet(0.0)  # its request is still held


def test_two_processes_that_ask_the_same_at_once_pay_once(bench: Bench, child: Start) -> None:
    before, bench.simulator.latency = bench.paid, 0.5
    both = [child(node=DRAW, inputs=PAIR) for _ in range(2)]
    for process in both:
        process.go()
    results = [process.result() for process in both]
    bench.simulator.latency = 0.0
    assert [result["images"] for result in results] == [2, 2]
    assert bench.paid - before == 2
    assert bench.server.posts == 1
    origins = [result["info"]["requests"][0]["origin"] for result in results]
    assert origins.count("paid") == 1
    # The other one may look between the answer and its files: it downloads them too, for nothing.
    assert {*origins} - {"paid"} <= {"reused", "downloaded"}


@pytest.mark.skipif(sys.platform == "win32", reason="only Unix can limit the size of files")
@pytest.mark.parametrize("most_file_bytes", [0, 10_000, 40_000])
def test_on_a_full_disk_the_images_reach_the_graph_with_a_note(
    bench: Bench, child: Start, most_file_bytes: int
) -> None:
    process = child(node=DRAW, inputs=PAIR, most_file_bytes=most_file_bytes)
    process.go()
    result = process.result()
    assert result["images"] == 2, result
    assert any("ledger cannot be used" in note for note in result["info"]["notes"])
    assert bench.server.posts == 1
