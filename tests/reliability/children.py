"""Starts and kills the processes of `child`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

DATA = "SILICONFLOW_DATA_DIR"
SCRIPT = Path(__file__).parent / "child.py"
LONGEST = 60.0


class Child:
    """One process. What it does is bounded in time: a child that hangs is killed."""

    def __init__(self, orders: dict[str, Any], environment: dict[str, str]) -> None:
        """Start it, and wait until all is loaded."""
        self._process = subprocess.Popen(
            [sys.executable, str(SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        self._alarm = threading.Timer(LONGEST, self._process.kill)
        self._alarm.start()
        self._write(json.dumps(orders))

    def go(self) -> None:
        """Let it begin."""
        self.expect("ready")
        self._write("go")

    def send(self) -> None:
        """Return it a sign."""
        self._write("now")

    def expect(self, text: str) -> None:
        """Wait until it says something."""
        said = self._line()
        assert said == text, f"the child said {said!r}"

    def result(self) -> dict[str, Any]:
        """Wait for the outcome of its run."""
        result: dict[str, Any] = json.loads(self._line())
        return result

    def kill(self) -> None:
        """Kill it with `kill -9`."""
        self._process.kill()
        self._process.wait()

    def interrupt(self) -> None:
        """Press Ctrl+C."""
        self._process.send_signal(signal.SIGINT)

    @property
    def was_killed(self) -> bool:
        """Whether it did not end by itself."""
        return self._process.returncode == -signal.SIGKILL

    @property
    def ended(self) -> bool:
        """Whether it has ended by itself."""
        return self._process.poll() is not None

    def end(self) -> None:
        """Leave nothing behind."""
        self._alarm.cancel()
        self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()

    def _write(self, text: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(f"{text}\n")
        self._process.stdin.flush()

    def _line(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline().strip()
