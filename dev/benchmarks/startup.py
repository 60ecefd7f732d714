"""What importing the pack adds to ComfyUI's start, measured in fresh processes."""

from __future__ import annotations

import json
import subprocess
import sys

from .measure import Row

IMPORT_MS = 30
ROUNDS = 7
_PROGRAM = """
import json, socket, sys, threading, time
import torch, numpy, PIL.Image
def refuse(*_args, **_kwargs):
    raise AssertionError("the network was used")
socket.socket.connect = socket.getaddrinfo = refuse
modules, threads = set(sys.modules), threading.active_count()
started = time.perf_counter()
import comfyui_siliconflow
taken = time.perf_counter() - started
print(json.dumps([taken, len(set(sys.modules) - modules), threading.active_count() - threads]))
"""


def rows() -> list[Row]:
    """Measure the import with torch, numpy and Pillow already there."""
    found = [_import() for _ in range(ROUNDS)]
    taken, modules, threads = min(found)
    return [
        Row(
            "import the pack, torch, numpy and Pillow being there",
            f"{taken * 1e3:.0f} ms, {modules} modules, {threads} threads, no network",
            f"at most {IMPORT_MS} ms, no thread, no network",
            taken * 1e3 <= IMPORT_MS and not threads,
            f"best of {ROUNDS} fresh processes, worst {max(found)[0] * 1e3:.0f} ms",
        )
    ]


def _import() -> tuple[float, int, int]:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True
    )
    taken, modules, threads = json.loads(done.stdout)
    return taken, modules, threads
