"""Runs every trial and the soak, and writes `docs/reliability.md`.

python -m comfyui_siliconflow.tests.reliability.report [--images 2000] [--seed 1]
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import re
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.tests.refusing_drive import compile_library
from comfyui_siliconflow.tests.reliability.calls import of_node
from comfyui_siliconflow.tests.reliability.drives import DRIVES, try_drive
from comfyui_siliconflow.tests.reliability.endings import ENDINGS, KILLS, WAYS, try_ending
from comfyui_siliconflow.tests.reliability.faults import FAULTS, KEY, UNSURE, Fault
from comfyui_siliconflow.tests.reliability.free import DELETE, of_free_node, try_out_free
from comfyui_siliconflow.tests.reliability.resolvers import (
    RESOLVERS,
    named_bench,
    try_resolver,
)
from comfyui_siliconflow.tests.reliability.rows import Row
from comfyui_siliconflow.tests.reliability.server import FaultServer
from comfyui_siliconflow.tests.reliability.test_crashes import CRASHES, SUBMITTED
from comfyui_siliconflow.tests.reliability.trial import (
    CALLS,
    FREE_CALLS,
    LONGEST,
    MOST_MIB,
    NODES,
    Bench,
    Outcome,
)
from comfyui_siliconflow.tests.reliability.video_steps import FAULTS as STEP_FAULTS
from comfyui_siliconflow.tests.reliability.video_steps import STEPS, Trial, try_step

FILE = Path(__file__).parents[2] / "docs" / "reliability.md"
SOAK_MODULE = "comfyui_siliconflow.tests.reliability.soak"
HEAD = """\
# Reliability: nothing paid is lost, nothing is paid twice, nothing hangs, nothing leaks

Written by a program; to write it again (about ten minutes, Linux):

```
python -m comfyui_siliconflow.tests.reliability.report
```

Measured on: {machine}.

A server that breaks on purpose (`tests/reliability/server.py`) stands between the pack and the
simulated service, which counts what it charges. Each fault of the table
(`tests/reliability/faults.py`) strikes a run of each of the {nodes} image nodes, and those that
have no download strike the {calls} nodes of the other endpoints too, with more of their own
(`tests/reliability/calls.py`): streams cut, garbled and silent, answers that do not fit. The
{free} nodes that cost nothing meet them as well (`tests/reliability/free.py`). Then all is mended
and the same is queued again. The same trials are part of the test suite, with others beside them
that this page does not list: processes killed with `kill -9` at {crashes} steps, two processes on
one ledger, cancelled nodes, partial results, rate limits, bounds on spending, full disks, locked
and damaged ledgers.

How the words are meant:

- **Lost**: the service made an image and gave a usable URL, or sent the image, text, sound or
  numbers themselves, and neither the run nor the next queue of the same brought it.
- **Paid twice**: a charge that the pack could have avoided. It sent a request again by itself
  although the first may have been charged; or it sent one although the ledger held the answer; or
  the user queued again without having been warned that the first may have been charged.
- **Fate unknown, queued again**: the answer never reached this machine in a readable form, so
  nobody can know here whether it was charged; the error said that it may have been, the user queued
  again, and the notes of that run say so once more. These are listed by themselves.
- **Hung**: a run that took longer than {longest} s with every wait scaled down.
- **Leaked**: the key, or the echo of it in an answer, in an error's text, `repr` or traceback, in
  `info`, in any file of the data folder, or in a request to anything but the API. The test suite
  looks through the log as well.

A 429 and a 503 are taken at their documented word: not charged, so they are sent again.

"""
TOTALS = """\
## Totals

| trials | as expected | lost | paid twice | hung | leaked | fate unknown, queued again |
|---|---|---|---|---|---|---|
| {trials} | {good} | {lost} | {twice} | {hung} | {leaked} | {unknown} |

"Fate unknown, queued again" counts the trials whose first request was charged without its answer
ever being readable, and whose second was charged as well, after the warning. The most memory that
a trial added was {peak} MiB (allowed: {most}).

"""
SOAK = """\
## Soak

{images} images through 16 nodes at once; every request and every download meets a fault with a
probability of 20 % ({kinds} kinds struck, {faults} of {requests} requests); what failed is queued
again until all are there. The same command without the trials:
`python -m comfyui_siliconflow.tests.reliability.soak --images {images} --seed {seed}`.

| images | arrived | lost | paid twice | hung | leaked | other errors | fate unknown, queued again |
|---|---|---|---|---|---|---|---|
| {images} | {got} | {lost} | {paid_twice} | {hung} | {leaked} | {raw} | {warned} |

The simulator charged {charged}; the pack's records have {recorded_as_paid} as paid and
{recorded_as_maybe_paid} as of unknown fate, which counts as paid.

{queued} queues in {seconds} s. What the process of the nodes used when no request was under way:

| after images | memory (RSS) | threads | open files |
|---|---|---|---|
{samples}

Open files are the connections kept for the next request, which the pool bounds. The process runs
with `MALLOC_ARENA_MAX=1`: with glibc's arena for each thread it also keeps some 15 MiB more at the
end than at the beginning, which belong to no object.

"""

DRIVES_HEAD = """

## Drives that refuse, and kills upon them: {drives} trials

A process that sees its data folder as such a drive (`tests/refusing_drive.c`, SQLite included) is
killed with `kill -9` as it creates the ledger; another, when it has saved one of two images; the
next queues the same. Then the ledger is lost, a process is killed half way through its rebuild, and
the same is queued once more.

| drive | charged | after the kill while saving | after the kill within the rebuild |
|---|---|---|---|
"""
PAID_ONCE, FOUND, REBUILT = "2 images", "the rest downloaded, free", "free, from disk"

RESOLVERS_HEAD = """

## Resolvers: {rows} trials

The service is at its own names, behind TLS; a resolver answers for them, or does not. Then every
name is at 198.18.0.7, `SILICONFLOW_RESULT_HOSTS` names the other host, and the same is queued
again. An address in place of a name is never connected to, so such a result, which was charged,
cannot be had.

"""
ENDINGS_HEAD = """

## Processes that are killed within a ledger, or told to end: {rows} trials

A process is killed with `kill -9` while it rebuilds or migrates; one that is told to end, by Ctrl+C
or because its main program is over, stands still in the middle of what the row names. The next
process does the same again. "Paid" after an encoding: the first had sent nothing yet.

"""
VIDEOS_HEAD = """

## The three steps of a video: {faults} faults, {trials} trials

Each fault strikes the submission of a video, then six polls in a row, one download, and every
download of a run; then all is mended, and the same is queued again. What was submitted is charged
once, whatever its polls and downloads meet. "Done, then" is a fault behind which the request was
carried out; where such a reply to a submission says that nothing was charged, it is taken at its
word, a 503 only with a code of the service: behind one of a gateway the video may be made. Videos
are killed, too: `kill -9` at {crashes} steps (`tests/reliability/test_crashes.py`).

| step | what the user sees | charged | queued again | faults |
|---|---|---|---|---|
"""
COLUMNS = """\
| what was broken | what happened | results kept | charged | as expected |
|---|---|---|---|---|
"""


def trials() -> list[Outcome]:
    """Try out every fault on every node."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    with Simulator(key=KEY, balance="100000") as simulator, tempfile.TemporaryDirectory() as folder:
        server = FaultServer(simulator)
        bench = Bench(simulator, server, Path(folder))
        outcomes = [tried(bench, fault, node) for fault in FAULTS for node in NODES]
        outcomes += [tried(bench, fault, node) for node in CALLS for fault in of_node(node)]
        outcomes += [
            tried(bench, fault, node) for node in FREE_CALLS for fault in of_free_node(node)
        ]
        bench.close()
    return outcomes


def tried_drives() -> dict[str, list[str]]:
    """Try out every drive; returns what is not as expected, by its name."""
    problems = {}
    with Simulator(key=KEY, balance="100000") as simulator, tempfile.TemporaryDirectory() as name:
        server, folder = FaultServer(simulator), Path(name)
        bench, library = Bench(simulator, server, folder), compile_library(folder)
        for place, drive in enumerate(DRIVES):
            data = folder / str(place)
            data.mkdir()
            problems[drive.name] = try_drive(bench, data, library, drive)
            sys.stderr.writelines(f"{drive.name}: {item}\n" for item in problems[drive.name])
        bench.close()
    return problems


def table_of_drives(problems: Mapping[str, Sequence[str]]) -> str:
    """Write one line for each drive."""
    rows = [
        f"| {name} | {'NOT AS EXPECTED' if found else f'{PAID_ONCE} | {FOUND} | {REBUILT}'} |"
        for name, found in problems.items()
    ]
    return DRIVES_HEAD.format(drives=len(problems)) + "\n".join([*rows, ""])


def tried_resolvers() -> list[Row]:
    """Try out every resolver."""
    with tempfile.TemporaryDirectory() as name, named_bench(Path(name)) as (bench, server):
        return [
            try_resolver(bench, server, Path(name, str(place)), resolver)
            for place, resolver in enumerate(RESOLVERS)
        ]


def tried_endings() -> list[Row]:
    """Kill processes within a ledger, and tell others to end."""
    with Simulator(key=KEY, balance="100000") as simulator, tempfile.TemporaryDirectory() as name:
        server, folder = FaultServer(simulator), Path(name)
        bench = Bench(simulator, server, folder)
        tries: list[Callable[[Path], Row]] = [partial(kill, bench) for kill in KILLS]
        tries += [
            partial(try_ending, bench, ending=ending, how=how) for ending in ENDINGS for how in WAYS
        ]
        rows = []
        for place, attempt in enumerate(tries):
            data = folder / str(place)
            data.mkdir()
            rows.append(attempt(data))
        bench.close()
    return rows


def tried_videos() -> list[Trial]:
    """Try out every fault on every step of a video."""
    trials = []
    with Simulator(key=KEY, balance="100000") as simulator, tempfile.TemporaryDirectory() as name:
        server = FaultServer(simulator)
        bench = Bench(simulator, server, Path(name))
        for place, (step, fault) in enumerate(product(STEPS, STEP_FAULTS)):
            data = Path(name, str(place))
            data.mkdir()
            trials.append(try_step(bench, data, step, fault))
            sys.stderr.writelines(f"{step.name}, {fault}: {each}\n" for each in trials[-1].problems)
        bench.close()
    return trials


def table_of_videos(trials: Sequence[Trial]) -> str:
    """Write one line for each way in which faults on a step end."""
    ways: dict[tuple[str, ...], list[str]] = {}
    for trial in trials:
        again = "NOT AS EXPECTED" if trial.problems else trial.again
        way = (trial.step.name, trial.seen, str(trial.charged), again)
        ways.setdefault(way, []).append(trial.fault)
    lines = [
        f"| {' | '.join(way)} | {len(faults)}: {'; '.join(faults)} |\n"
        for way, faults in ways.items()
    ]
    numbers = {"faults": len(STEP_FAULTS), "trials": len(trials), "crashes": len(SUBMITTED)}
    return "".join([VIDEOS_HEAD.format(**numbers), *lines])


def table_of_rows(head: str, rows: Sequence[Row]) -> str:
    """Write one line for each; tells at once what is not as expected."""
    sys.stderr.writelines(f"{row.broken}: {item}\n" for row in rows for item in row.problems)
    lines = [
        f"| {row.broken} | {row.happened} | {row.kept} of {row.results} | {row.charged} | "
        f"{'NO' if row.problems else 'yes'} |\n"
        for row in rows
    ]
    return "".join([head.format(rows=len(rows)), COLUMNS, *lines])


def tried(bench: Bench, fault: Fault, node: str) -> Outcome:
    """Try out a fault on a node of any kind; tells at once what is not as expected."""
    bench.server.mend()
    is_free = node in FREE_CALLS
    outcome = try_out_free(bench, fault, node) if is_free else bench.try_out(fault, node)
    for problem in outcome.problems:
        sys.stderr.write(f"{fault.name}, {node}: {problem}\n")
    return outcome


def soak(images: int, seed: int) -> dict[str, Any]:
    """Soak in a process of its own; memory that the allocator merely keeps would hide a leak."""
    arguments = ["--images", str(images), "--seed", str(seed)]
    command = [sys.executable, "-W", "ignore", "-m", SOAK_MODULE, *arguments]
    one_arena = {**os.environ, "MALLOC_ARENA_MAX": "1"}
    ran = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=one_arena)
    content: dict[str, Any] = json.loads(ran.stdout)
    return content


def machine() -> str:
    """Name what the figures depend on."""
    python = platform.python_version()
    system = f"{platform.system()} {platform.machine()}"
    return f"{system}, {os.cpu_count()} cores, Python {python}, torch {torch.__version__}"


def totals(outcomes: Sequence[Outcome]) -> str:
    """Count what must be nothing."""
    unknown = sum(item.paid_again and not item.paid_twice for item in outcomes)
    return TOTALS.format(
        trials=len(outcomes),
        good=sum(not item.problems for item in outcomes),
        lost=sum(item.lost for item in outcomes),
        twice=sum(item.paid_twice for item in outcomes),
        hung=sum(item.hung for item in outcomes),
        leaked=sum(bool(item.leaks) for item in outcomes),
        unknown=unknown,
        peak=round(max(item.peak_mib for item in outcomes)),
        most=MOST_MIB,
    )


def table(outcomes: Sequence[Outcome]) -> str:
    """Write one line for each fault: the nodes agree, or the line says that they do not."""
    lines = [
        f"## The {len(FAULTS)} faults\n",
        "| fault | what the user sees | charged | delivered | queued again |",
        "|---|---|---|---|---|",
    ]
    by_fault = [[item for item in outcomes if item.fault is fault] for fault in FAULTS]
    return "\n".join([*lines, *map(_row, by_fault), ""])


def table_of_calls(outcomes: Sequence[Outcome]) -> str:
    """Write one line for each fault of the other endpoints and each way in which it ends."""
    columns = "| fault | nodes | what the user sees | charged | delivered | queued again |"
    return _grouped(outcomes, CALLS, "The other endpoints", columns, _cells)


def table_of_free(outcomes: Sequence[Outcome]) -> str:
    """Write one line for each fault of the calls that cost nothing and each way it ends."""
    columns = "| fault | nodes | what the user sees | requested again |"
    return _grouped(outcomes, FREE_CALLS, "The calls that cost nothing", columns, _free_cells)


def _grouped(
    outcomes: Sequence[Outcome],
    nodes: Collection[str],
    title: str,
    columns: str,
    cells: Callable[[Outcome], tuple[str, ...]],
) -> str:
    items = [item for item in outcomes if item.node in nodes]
    ways: dict[str, dict[tuple[str, ...], list[str]]] = {}
    for item in items:
        agreeing = ways.setdefault(item.fault.name, {})
        agreeing.setdefault(cells(item), []).append(item.node.removeprefix("SiliconFlow"))
    lines = [
        f"\n## {title}: {len(ways)} faults, {len(items)} trials\n",
        columns,
        re.sub(r"[^|]+", "---", columns),
    ]
    rows = [
        f"| {' | '.join([way[0], 'all' if len(who) == len(nodes) else ', '.join(who), *way[1:]])} |"
        for agreeing in ways.values()
        for way, who in agreeing.items()
    ]
    return "\n".join([*lines, *rows, ""])


def _row(outcomes: Sequence[Outcome]) -> str:
    cells = list(dict.fromkeys(map(_cells, outcomes)))
    joined = [" / ".join(dict.fromkeys(column)) for column in zip(*cells, strict=True)]
    return f"| {' | '.join(joined)} |"


def _cells(outcome: Outcome) -> tuple[str, ...]:
    first = outcome.first
    return (
        _name(outcome),
        first.seen,
        str(first.charged),
        "yes" if first.images else "no",
        _story(outcome),
    )


def _free_cells(outcome: Outcome) -> tuple[str, ...]:
    first, second = (
        run.seen if run.error else "the answer" for run in (outcome.first, outcome.second)
    )
    if outcome.node == DELETE and second == "BadRequest":
        second = "there is no such voice any more"
    return _name(outcome), first, "NOT AS EXPECTED" if outcome.problems else second


def _name(outcome: Outcome) -> str:
    return outcome.fault.name.replace("|", "\\|").replace("<", "&lt;")


def _story(outcome: Outcome) -> str:
    """Say what the second queue did; a fault that is not as expected says so."""
    if outcome.problems:
        return "NOT AS EXPECTED"
    again = outcome.fault.again
    if again is UNSURE and not outcome.first.charged:
        return "paid now, with a note (the first was not charged, which nobody can know)"
    return again.story


def soaked(seed: int, found: dict[str, Any]) -> str:
    """Write the figures of the soak."""
    samples = "\n".join(
        f"| {item['images']} | {item['mib']} MiB | {item['threads']} | {item['files']} |"
        for item in found["samples"]
    )
    others = sum(found["raw_errors"].values())
    warned = found["paid_again_after_a_warning"]
    return SOAK.format(**{**found, "samples": samples, "raw": others, "warned": warned}, seed=seed)


def head() -> str:
    """Say what all of this is."""
    return HEAD.format(
        machine=machine(),
        nodes=len(NODES),
        calls=len(CALLS),
        free=len(FREE_CALLS),
        crashes=len(CRASHES),
        longest=round(LONGEST),
    )


def main() -> int:
    """Write the document; 1 if anything is not as expected."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    outcomes, found = trials(), soak(chosen.images, chosen.seed)
    tables = [table(outcomes), table_of_calls(outcomes), table_of_free(outcomes)]
    drives, resolvers, endings = tried_drives(), tried_resolvers(), tried_endings()
    tables.append(table_of_drives(drives))
    tables.append(table_of_rows(RESOLVERS_HEAD, resolvers))
    tables.append(table_of_rows(ENDINGS_HEAD, endings))
    videos = tried_videos()
    tables.append(table_of_videos(videos))
    parts = [head(), totals(outcomes), soaked(chosen.seed, found), *tables]
    FILE.write_text("".join(parts), encoding="utf-8")
    good = not any(item.problems for item in outcomes) and not any(drives.values())
    good = good and not any(each.problems for each in [*resolvers, *endings])
    good = good and not any(each.problems for each in videos)
    return 0 if good and found["got"] == chosen.images and not found["paid_twice"] else 1


if __name__ == "__main__":
    sys.exit(main())
