"""Many images through many nodes at once, a fifth of all requests meeting a fault.

    python -m comfyui_siliconflow.tests.reliability.soak [--images 2000] [--seed 1]

What failed is queued again until all are there. The simulator and the fault server live in a
process of their own, so that threads, files and memory measured here are those of the pack.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.dev.simulator.server import FLAT_PRICE
from comfyui_siliconflow.nodes import NODE_CLASS_MAPPINGS
from comfyui_siliconflow.siliconflow.errors import RequestError
from comfyui_siliconflow.storage.ledger import Ledger
from comfyui_siliconflow.strings.text import SiliconFlowError
from comfyui_siliconflow.tests.reliability.faults import FAULTS, KEY, Fault
from comfyui_siliconflow.tests.reliability.server import Breaker, FaultServer, Where
from comfyui_siliconflow.tests.reliability.trial import (
    NODES,
    WARNING,
    environment,
    wording,
    write_settings,
)
from comfyui_siliconflow.tests.waiting import pack_threads

DRAW = "SiliconFlowTextToImage"
NODES_AT_ONCE = 16
SHARE = 0.2
MOST_QUEUES = 40
MINUTE = 0.1
"""Seconds that a minute of rate limits lasts: a fault's 429 slows down all that follow."""
MOST_SECONDS = 60.0
"""Longest that one queueing of a node may take, its waits being scaled down."""
HEAVY = ("million", "100 MB", "gibibyte", "60 MB", "without end", "in each other", "a year")


def usable() -> list[Fault]:
    """Return the faults that strike one request and leave a way to its image."""
    return [
        fault
        for fault in FAULTS
        if fault.breaker
        and fault.where in {"send", "download"}
        and fault.transport == "plain"
        and fault.again.origin
        and not any(word in fault.name for word in HEAVY)
    ]


class Dice:
    """Lets a share of the requests meet a fault, the same ones for the same seed."""

    def __init__(self, seed: int) -> None:
        """Count what struck."""
        self._dice = random.Random(seed)
        self._lock = threading.Lock()
        self._faults = {
            where: [fault for fault in usable() if fault.where == where]
            for where in ("send", "download")
        }
        self.struck: Counter[str] = Counter()
        self.seen = 0

    def choose(self, where: Where, _path: str) -> Breaker | None:
        """Choose a fault for a request, or none."""
        with self._lock:
            if where not in self._faults:
                return None
            self.seen += 1
            if self._dice.random() >= SHARE:
                return None
            fault = self._dice.choice(self._faults[where])
            self.struck[fault.name] += 1
            return fault.breaker


def serve(pipe: Connection, seed: int) -> None:
    """Be the service, until the other end asks for what happened."""
    with Simulator(key=KEY, balance="1000000") as simulator:
        server, dice = FaultServer(simulator), Dice(seed)
        server.choose = dice.choose
        pipe.send(server.environment())
        pipe.recv()
        server.quiet()
        paid = Counter(
            record.body["prompt"] for record in simulator.generations if record.charged > 0
        )
        charged = f"{sum(charge.amount for charge in simulator.charges):.2f}"
        pipe.send((paid, charged, dice.seen, sum(dice.struck.values()), len(dice.struck)))
        server.close()


@dataclass
class Sample:
    """What the process uses at one moment, in MiB, threads and open files."""

    images: int
    mib: float
    threads: int
    files: int


@dataclass
class Tally:
    """What happened to all of the images."""

    images: int
    got: int = 0
    queued: int = 0
    unsure: Counter[str] = field(default_factory=Counter)
    """By prompt: how often the user was warned that the request may have been charged."""
    raw_errors: Counter[str] = field(default_factory=Counter)
    leaked: int = 0
    hung: int = 0
    samples: list[Sample] = field(default_factory=list)


def measure(images: int) -> Sample:
    """Look at this process, as Linux shows it."""
    fields = Path("/proc/self/statm").read_text(encoding="ascii").split()
    mib = int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
    files = len(list(Path("/proc/self/fd").iterdir()))
    return Sample(images, round(mib, 1), threading.active_count(), files)


async def soak(images: int) -> Tally:
    """Get all the images, some nodes at a time; a tenth of them warms up."""
    tally, warm = Tally(images), images // 10
    ends = (0, warm, (warm + images) // 2, images)
    for begin, end in pairwise(ends):
        left = iter(range(begin, end))
        await asyncio.gather(*(_worker(left, tally) for _ in range(NODES_AT_ONCE)))
        await _calm()
        tally.samples.append(measure(tally.got))
    return tally


async def _worker(left: Iterator[int], tally: Tally) -> None:
    for number in left:
        await _obtain(f"image {number}", tally)


async def _obtain(prompt: str, tally: Tally) -> None:
    """Queue one image until it is there."""
    for _ in range(MOST_QUEUES):
        tally.queued += 1
        if await _queued(prompt, tally):
            tally.got += 1
            return


async def _queued(prompt: str, tally: Tally) -> bool:
    started = time.monotonic()
    try:
        _, _, info, *_ = await NODE_CLASS_MAPPINGS[DRAW]().execute(
            **{**NODES[DRAW], "prompt": prompt, "seed": 1}
        )
    except Exception as error:  # noqa: BLE001 - what it is, is judged here
        _judge(error, prompt, tally)
        return False
    finally:
        tally.hung += time.monotonic() - started > MOST_SECONDS
    tally.leaked += KEY in info
    return True


def _judge(error: Exception, prompt: str, tally: Tally) -> None:
    tally.leaked += KEY in wording(error)
    if not isinstance(error, SiliconFlowError):
        tally.raw_errors[type(error).__name__] += 1
    if isinstance(error, RequestError) and error.charged is None:
        tally.unsure[prompt] += WARNING in str(error)


async def _calm() -> None:
    """Wait until no thread of the pack works any more."""
    for _ in range(200):
        if not pack_threads():
            return
        await asyncio.sleep(0.1)


@contextmanager
def _service(seed: int) -> Iterator[Connection]:
    here, there = get_context("spawn").Pipe()
    process = get_context("spawn").Process(target=serve, args=(there, seed), daemon=True)
    process.start()
    try:
        yield here
    finally:
        process.join(30)
        process.kill()


def figures(images: int, seed: int) -> dict[str, Any]:
    """Soak, and give the figures."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, _service(seed) as pipe:
        prices = {NODES[DRAW]["model"]: float(FLAT_PRICE)}
        write_settings(Path(folder), read_timeout=3.0, longest_wait=30.0, prices=prices)
        with environment({**pipe.recv(), "SILICONFLOW_DATA_DIR": folder}, MINUTE):
            tally = asyncio.run(soak(images))
        pipe.send("done")
        paid, charged, seen, struck, kinds = pipe.recv()
        spend = _recorded(Path(folder))
        leaks = sum(KEY.encode() in file.read_bytes() for file in _files(Path(folder)))
    return {
        "images": images,
        "got": tally.got,
        "lost": images - tally.got,
        "paid_twice": _paid_twice(paid, tally),
        "paid_again_after_a_warning": sum(paid.values()) - len(paid) - _paid_twice(paid, tally),
        "charged": charged,
        "recorded_as_paid": spend["paid"],
        "recorded_as_maybe_paid": spend["sent"],
        "hung": tally.hung,
        "leaked": tally.leaked + leaks,
        "raw_errors": dict(tally.raw_errors),
        "queued": tally.queued,
        "requests": seen,
        "faults": struck,
        "kinds": kinds,
        "seconds": round(time.monotonic() - started),
        "samples": [asdict(sample) for sample in tally.samples],
    }


def _paid_twice(paid: Counter[str], tally: Tally) -> int:
    """Count the charges beyond the first that no warning came before."""
    return sum(max(0, times - 1 - tally.unsure[prompt]) for prompt, times in paid.items())


def _recorded(folder: Path) -> dict[str, str]:
    """Return what the pack recorded as spent, by state: the charges lie between the two."""
    with Ledger(folder).database.read() as db:
        rows = db.execute("SELECT state, SUM(cost) FROM spend GROUP BY state").fetchall()
    sums = {"paid": 0, "sent": 0, **dict(map(tuple, rows))}
    return {state: f"{cost / 10**9:.2f}" for state, cost in sums.items()}


def _files(folder: Path) -> Iterator[Path]:
    return (file for file in folder.rglob("*") if file.is_file())


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    json.dump(figures(chosen.images, chosen.seed), sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
