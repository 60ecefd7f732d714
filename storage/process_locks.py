"""Find out whether another process still runs, without relying on process numbers.

Each process locks a file named after a random token for as long as it runs. The operating system
releases the lock however the process ends, `kill -9` included.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from . import notices

if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[bytes]) -> None:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


_HELD = (BlockingIOError, PermissionError)
"""What locking a file raises that another process has locked."""
_UNSUPPORTED = {errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOLCK}
_DELETES_OPEN_FILES = sys.platform != "win32"
_ATTEMPTS = 10
_HELD_SECONDS = 5.0
"""A file that is held for longer is given up: whoever holds one only writes a small file."""


@contextlib.contextmanager
def exclusive(file: Path) -> Iterator[None]:
    """Hold a file that one thread of one process holds at a time; raise `OSError` if that fails."""
    file.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + _HELD_SECONDS
    with file.open("ab") as opened:
        while True:
            try:
                _lock(opened)
                break
            except _HELD:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.01)
        yield


class ProcessLock:
    """The lock file of this process. Its `token` is unique among all processes."""

    def __init__(self, folder: Path) -> None:
        """Create and lock a file in `folder`; raise `OSError` if it cannot be written."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        for _ in range(_ATTEMPTS):
            self.token = uuid.uuid4().hex
            self._file = (folder / self.token).open("wb")
            try:
                if self._acquire():
                    return
            except OSError as error:
                self.release()
                if error.errno in _UNSUPPORTED:
                    notices.tell("disk.no_locks", folder=folder)
                raise
            self._file.close()
        raise OSError(f"no lock file can be created in {folder}")

    def _acquire(self) -> bool:
        """Lock the file. Return false if the sweep of another process has just deleted it.

        Raises `OSError` where the drive has no locks.
        """
        try:
            _lock(self._file)
            opened = os.fstat(self._file.fileno())
            return os.path.samestat(opened, (self._folder / self.token).stat())
        except (*_HELD, FileNotFoundError):
            return False

    def is_alive(self, token: str) -> bool:
        """Return whether another process with this token runs. False for this process's token.

        A file that cannot be opened or locked for good, and not since it is held, is nobody's.
        """
        if token == self.token:
            return False
        file = self._folder / token
        try:
            with file.open("r+b" if os.access(file, os.W_OK) else "rb") as opened:
                _lock(opened)
        except OSError as error:
            return isinstance(error, _HELD) or error.errno in {errno.EMFILE, errno.ENFILE}
        return False

    def sweep(self) -> None:
        """Delete the lock files of processes that have ended.

        Each is deleted while its lock is held, so that a process that is just taking it notices.
        Windows deletes no open file, this one's own included, and so none that is being taken.
        """
        for path in list(self._folder.iterdir()):
            with contextlib.suppress(OSError):
                if path.name != self.token:
                    with path.open("r+b") as file:
                        _lock(file)
                        if _DELETES_OPEN_FILES:
                            path.unlink()
                    if not _DELETES_OPEN_FILES:
                        path.unlink()

    def release(self) -> None:
        """Release the lock and delete the file."""
        self._file.close()
        with contextlib.suppress(OSError):
            (self._folder / self.token).unlink()
