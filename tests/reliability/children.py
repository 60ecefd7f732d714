"""Starts and kills the processes of `child`."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any

import pytest

DATA = "SILICONFLOW_DATA_DIR"
SCRIPT = Path(__file__).parent / "child.py"
LONGEST = 60.0


class Nursery:
    """Forks children from one process that has loaded the pack, which takes seconds.

    Each is a process of its own from then on, and ends as any Python program does.
    """

    def __init__(self, environment: dict[str, str] | None = None) -> None:
        """Start that process when the first child is wanted; its environment may have more."""
        self.environment = environment or {}
        self._control: socket.socket | None = None

    def start(self) -> socket.socket:
        """Start a child, and return the connection to it."""
        if not hasattr(os, "fork"):
            pytest.skip("only Unix can fork")
        if self._control is None:
            self._control, theirs = socket.socketpair()
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, str(SCRIPT), str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    env={**os.environ, **self.environment},
                )
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self._control, [b"1"], [theirs.fileno()])
        return ours

    def close(self) -> None:
        """End the process that forks them."""
        if self._control is not None:
            self._control.close()
            self._process.wait()


class Child:
    """One process. What it does is bounded in time: a child that hangs is killed."""

    def __init__(
        self, nursery: Nursery, orders: dict[str, Any], environment: dict[str, str] | None = None
    ) -> None:
        """Start it; its environment is this process's and what a dict adds."""
        self._connection = nursery.start()
        self._lines: IO[str] = self._connection.makefile("rw", encoding="utf-8")
        self._alarm = threading.Timer(LONGEST, self._too_long)
        self._alarm.start()
        self.was_killed = False
        self._write(
            json.dumps(
                {
                    **orders,
                    "environment": {**os.environ, **nursery.environment, **(environment or {})},
                }
            )
        )
        self._pid = int(self._line())

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
        """Kill it with `kill -9`, and wait until it is gone."""
        os.kill(self._pid, signal.SIGKILL)
        self._lines.read()

    def interrupt(self) -> None:
        """Press Ctrl+C."""
        os.kill(self._pid, signal.SIGINT)

    @property
    def ended(self) -> bool:
        """Whether it has ended, and all that it said was read."""
        try:
            return not self._connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False

    def end(self) -> None:
        """Leave nothing behind."""
        self._alarm.cancel()
        self.kill()
        self._lines.close()
        self._connection.close()

    def _too_long(self) -> None:
        self.was_killed = True
        self.kill()

    def _write(self, text: str) -> None:
        self._lines.write(f"{text}\n")
        self._lines.flush()

    def _line(self) -> str:
        return self._lines.readline().strip()
