"""A simulator in a process of its own: it takes neither our interpreter's lock nor our memory."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

_PROGRAM = """
import json, sys
from comfyui_siliconflow.dev.simulator import Simulator
with Simulator(**json.loads(sys.argv[1])) as simulator:
    print(simulator.base_url, simulator.key, flush=True)
    sys.stdin.read()
"""


def use(base_url: str, key: str, folder: str) -> None:
    """Let the nodes talk to this address, with a ledger in this folder.

    The simulator is the service of the older documents, which wants `batch_size`. The same is
    queued again and again, and asked about never.
    """
    settings = {"native_batch": True, "confirm_images": 0, "auto_run_images": 0}
    (Path(folder) / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    os.environ["SILICONFLOW_BASE_URL"] = base_url
    os.environ["SILICONFLOW_API_KEY"] = key
    os.environ["SILICONFLOW_DATA_DIR"] = folder


@contextlib.contextmanager
def serving(options: str = "{}") -> Iterator[None]:
    """Start it with these options (JSON), and let the nodes talk to it."""
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        output = process.stdout
        try:
            base_url, key = (output.readline() if output else "").split()
            use(base_url, key, folder)
            yield
        finally:
            process.communicate(timeout=20)
