"""Processes that are killed while a ledger is made anew, or told to end while the pack works."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from comfyui_siliconflow.storage.job_history import JobHistory
from comfyui_siliconflow.storage.ledger import Ledger
from comfyui_siliconflow.tests.reliability import breakers
from comfyui_siliconflow.tests.reliability.children import DATA, Child
from comfyui_siliconflow.tests.reliability.drives import DRAW, PAIR, REBUILDING
from comfyui_siliconflow.tests.reliability.rows import Row, row
from comfyui_siliconflow.tests.reliability.trial import Bench, environment, write_settings
from comfyui_siliconflow.tests.storage.conftest import Clock
from comfyui_siliconflow.tests.storage.test_released_files import MIGRATE, RELEASED, claim
from comfyui_siliconflow.tests.waiting import until

REDRAW = "SiliconFlowImageToImage"
LARGE = {"width": 512, "height": 512, "image_size": "custom"}
"""So large that its rows are shared out."""
DRAWN = {"model": "Kwai-Kolors/Kolors", "prompt": "a cat", "seed": 7, **LARGE}
RELEASED_RESULTS = ("stored", "mixed", "answered", "rot")
RELEASED_JOBS = 6
WAYS = ("interrupted", "at its end")


@dataclass(frozen=True)
class Ending:
    """Where a process stands still as it is told to end, and what the next does then.

    Without a `target` it waits for the rest of a download.
    """

    name: str
    target: str = ""
    node: str = DRAW
    orders: dict[str, Any] = field(default_factory=dict)
    again: str = "downloaded"


ENDINGS = (
    Ending("a download that stands still"),
    Ending("an image is encoded: its pixels", "media.image_files._convert", REDRAW,
           {"image_side": 512}, "paid"),
    Ending("an image is encoded: its rows", "media.png._filtered", REDRAW,
           {"image_side": 512}, "paid"),
    Ending("an image is decoded", "media.image_files.decode"),
    Ending("an image is decoded: its pixels", "media.image_files._to_float", again="reused"),
    Ending("a preview is made", "engine.progress.to_preview", again="reused"),
)  # fmt: skip


def try_ending(bench: Bench, data: Path, ending: Ending, how: str) -> Row:
    """Tell a process to end while it stands still, and let the next one run the same node."""
    charged = bench.paid
    write_settings(data, read_timeout=3600)
    orders = {"node": ending.node, "inputs": DRAWN, **ending.orders}
    hold = {"hold": (ending.target, "before", 1)} if ending.target else {}
    if not ending.target:
        bench.server.break_next(breakers.stop(0.5), "download", 1)
    process = _child(bench, data, {**orders, **hold, "leave": how == "at its end"})
    try:
        process.go()
        if ending.target:
            process.expect("held")
        else:
            until(bench.server.holding.is_set)
        _end(process, how)
        ended = "was killed" if process.was_killed else "ended at once"
        if not ending.target and bench.server.quiet(0.0):
            ended = "ended when the server had gone on"
    finally:
        process.end()
    bench.server.mend()
    images, origin = _run_here(bench, data, orders)
    return row(
        f"{ending.name}; {how}",
        (ended, origin),
        (images, 1, bench.paid - charged),
        (("ended at once", ending.again), (1, 1, 1)),
    )


def _end(process: Child, how: str) -> None:
    """Press Ctrl+C, or let the main program come to its end."""
    if how == "interrupted":
        process.interrupt()
    else:
        process.send()
        process.expect("leaving")
    until(lambda: process.ended)


def try_killed_rebuild(bench: Bench, data: Path) -> Row:
    """Pay, lose the ledger, and kill a process half way through its rebuild."""
    charged = bench.paid
    write_settings(data)
    orders = {"node": DRAW, "inputs": PAIR}
    _, first = _run(bench, data, orders)
    for file in (data / "siliconflow-ledger").glob("ledger.sqlite3*"):
        file.unlink()
    process = _child(bench, data, {**orders, "hold": REBUILDING})
    try:
        process.go()
        process.expect("held")
    finally:
        process.end()
    images, origin = _run(bench, data, orders)
    return row(
        "killed half way through a rebuild of the ledger",
        (first, origin),
        (images, 2, bench.paid - charged),
        (("paid", "reused"), (2, 2, 2)),
    )


def try_killed_migration(_: Bench, data: Path) -> Row:
    """Kill a process as it migrates the ledger of released code; its requests are claimed then.

    What is claimed as new would be sent, and charged, again.
    """
    _kill_migration(data, "ledger")
    with closing(Ledger(data, clock=Clock())) as ledger:
        states = [claim(ledger, prompt).state for prompt in RELEASED_RESULTS]
    return row(
        "killed within the migration of a released ledger",
        tuple(dict.fromkeys(states)),
        (len(states) - states.count("new"), len(states), states.count("new")),
        (("stored", "answered"), (len(states), len(states), 0)),
    )


def try_killed_history(_: Bench, data: Path) -> Row:
    """Kill a process as it migrates the job history of released code; its jobs are listed then."""
    _kill_migration(data, "history")
    with (
        closing(Ledger(data, clock=Clock())) as ledger,
        closing(
            JobHistory(
                ledger.database.folder,
                ledger.files_folder,
                ledger.file_names_of,
                max_age=30 * 86400,
                clock=Clock(),
            )
        ) as history,
    ):
        jobs = len(history.since(0))
    return row(
        "killed within the migration of a released job history",
        ("every job is listed" if jobs == RELEASED_JOBS else "jobs are missing",),
        (jobs, RELEASED_JOBS, 0),
        (("every job is listed",), (RELEASED_JOBS, RELEASED_JOBS, 0)),
    )


KILLS: tuple[Callable[[Bench, Path], Row], ...] = (
    try_killed_rebuild,
    try_killed_migration,
    try_killed_history,
)


def _kill_migration(data: Path, name: str) -> None:
    shutil.copytree(RELEASED, data, dirs_exist_ok=True)
    command = [sys.executable, "-c", MIGRATE, str(data), name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "migrating\n"
        process.kill()


def _child(bench: Bench, data: Path, orders: dict[str, Any]) -> Child:
    return Child(bench.nursery, orders, {**bench.server.environment(), DATA: str(data)})


def _run_here(bench: Bench, data: Path, orders: dict[str, Any]) -> tuple[int, str]:
    """Run a node in this process, which is the next; return its images, and their origin."""
    side = orders.get("image_side")
    image = {"image": torch.zeros(1, side, side, 3)} if side else {}
    with environment({**bench.server.environment(), DATA: str(data)}):
        run = bench.run(orders["node"], **orders["inputs"], **image)
    return run.images, run.info["requests"][0]["origin"] if not run.error else run.seen


def _run(bench: Bench, data: Path, orders: dict[str, Any]) -> tuple[int, str]:
    """Run a node in a process of its own; return its images, and their origin or the error."""
    process = _child(bench, data, orders)
    try:
        process.go()
        result = process.result()
    finally:
        process.end()
    origin = result.get("error") or result["info"]["requests"][0]["origin"]
    return int(result["images"]), str(origin)
