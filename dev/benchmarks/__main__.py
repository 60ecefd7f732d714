"""Measure everything and write `docs/benchmarks.md`.

    python -m comfyui_siliconflow.dev.benchmarks

With names of topics (`... encode loop`) it measures these, and writes nothing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib import import_module

from . import comfy, decode, encode, loop, many_results, mask, memory, node, pacing, startup, upload
from .measure import Row

TOPICS: dict[str, Callable[[], list[Row]]] = {
    "encode": encode.rows,
    "decode": decode.rows,
    "node": node.rows,
    "loop": loop.rows,
    "many-results": many_results.rows,
    "memory": memory.rows,
    "mask": mask.rows,
    "startup": startup.rows,
    "pacing": pacing.rows,
    "comfy": comfy.rows,
}


def main(names: list[str]) -> int:
    """Measure, print, and write if everything was requested; 1 if a target was missed."""
    _keep_to_two_cores()
    rows = [row for name in names or TOPICS for row in _measured(name)]
    if not names:
        _write(rows)
    return int(not all(row.met for row in rows))


def _keep_to_two_cores() -> None:
    """The targets are for two cores; where the system cannot do that, all are used."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])


def _write(rows: list[Row]) -> None:
    """Load what only the document needs when it is needed."""
    report, libraries = (import_module(f".{name}", __package__) for name in ("report", "libraries"))
    report.write(rows, upload.table(), libraries.text())


def _measured(name: str) -> list[Row]:
    rows = TOPICS[name]()
    for row in rows:
        print(f"{'ok ' if row.met else 'NO '} {row.what}: {row.found} ({row.target})", flush=True)
        if row.detail:
            print(f"      {row.detail}", flush=True)
    return rows


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
