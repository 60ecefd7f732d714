"""Tells whether the process that began something still lives, without asking for its number.

A process holds a lock on a file of its own for as long as it runs; the system gives the lock
back however the process ends, `kill -9` included.
"""

from __future__ import annotations

import contextlib
import os
import sys
import uuid
from pathlib import Path
from typing import IO

if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[bytes]) -> None:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


_TRIES = 10


class ProcessLock:
    """The sign of life of this process, under a name that no other process has."""

    def __init__(self, directory: Path) -> None:
        """Take the lock; OSError where the folder cannot be written."""
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        for _ in range(_TRIES):
            self.token = uuid.uuid4().hex
            self._file = (directory / self.token).open("wb")
            if self._is_taken():
                return
            self._file.close()
        raise OSError(f"no lock can be had in {directory}")

    def _is_taken(self) -> bool:
        """Lock the file; a sweep of another process may have come between, and removed it."""
        try:
            _lock(self._file)
            own = os.fstat(self._file.fileno())
            return os.path.samestat(own, (self._directory / self.token).stat())
        except OSError:
            return False

    def lives(self, token: str) -> bool:
        """Tell whether another process with this token still runs; never true of this one."""
        if token == self.token:
            return False
        try:
            with (self._directory / token).open("r+b") as file:
                _lock(file)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return False

    def sweep(self) -> None:
        """Remove the files of processes that have ended.

        Each is removed while its lock is held: a process that is just taking it notices.
        """
        for path in list(self._directory.iterdir()):
            with contextlib.suppress(OSError):
                if path.name != self.token:
                    with path.open("r+b") as file:
                        _lock(file)
                        path.unlink()

    def end(self) -> None:
        """Give the lock back."""
        self._file.close()
        with contextlib.suppress(OSError):
            (self._directory / self.token).unlink()
