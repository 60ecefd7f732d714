"""A file of records: opened when it is needed, shared by threads and processes.

A damaged file is set aside and a new one begun, so that no run stops for it.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from .process_locks import ProcessLock

_LOCK_SECONDS = 5.0
_SHORT_LOCK_SECONDS = 0.5
_LOCK_PAUSE = 0.02
_DAMAGE = ("malformed", "not a database")


class LedgerError(Exception):
    """The ledger cannot be read or written now: its disk is full, or it is locked or damaged."""


class _Damaged(Exception):
    """The records were damaged, and are set aside by now."""


class Database:
    """Records of one kind in a data folder, and the sign that this process lives."""

    def __init__(
        self,
        folder: Path,
        name: str,
        schema: str,
        *,
        fill: Callable[[sqlite3.Connection], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Touch nothing yet. `fill` writes into a new file what is known from elsewhere."""
        self.folder = folder
        self.clock = clock
        self._name = name
        self._schema = schema
        self._fill = fill
        self._lock = threading.RLock()
        self._opened: sqlite3.Connection | None = None
        self._leased: ProcessLock | None = None

    def change(self, *, durable: bool = True) -> AbstractContextManager[sqlite3.Connection]:
        """Give the rows for one change that happens wholly or not at all; raises `LedgerError`.

        One that need not be `durable` is for people alone: it may be lost with the machine's power,
        though not with the process, and is not waited for long where another process has the file.
        """
        return self._transaction("BEGIN IMMEDIATE", durable=durable)

    def read(self) -> AbstractContextManager[sqlite3.Connection]:
        """Give the rows of one moment to be read; no other process that writes waits for it."""
        return self._transaction("BEGIN", durable=False)

    @contextlib.contextmanager
    def _transaction(self, begin: str, *, durable: bool) -> Iterator[sqlite3.Connection]:
        with self._lock, errors():
            try:
                rows = self._open()
                _set(rows, durable=durable)
                rows.execute(begin)
                try:
                    yield rows
                except BaseException:
                    rows.execute("ROLLBACK")
                    raise
                rows.execute("COMMIT")
            except sqlite3.DatabaseError as error:
                if _is_damage(error):
                    self._set_aside()
                raise

    def write_through(self) -> None:
        """Leave nothing of what was deleted in the file beside this one that SQLite writes to."""
        with self._lock, errors():
            self._open().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    @property
    def lease(self) -> ProcessLock:
        """Give the sign of life of this process; it is taken when it is first asked for."""
        with self._lock, errors():
            if self._leased is None:
                self._leased = ProcessLock(self.folder / "running")
                self._leased.sweep()
            return self._leased

    def close(self) -> None:
        """Close the files; they are opened again when they are needed."""
        with self._lock:
            if self._opened:
                self._opened.close()
            if self._leased:
                self._leased.end()
            self._opened = self._leased = None

    @property
    def _file(self) -> Path:
        return self.folder / f"{self._name}.sqlite3"

    def _open(self) -> sqlite3.Connection:
        if self._opened is None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(_Damaged):
                self._opened = self._connected()
            if self._opened is None:
                self._opened = self._connected()
        return self._opened

    def _connected(self) -> sqlite3.Connection:
        """Open the file; a new one is filled with what is known from elsewhere."""
        is_new = not self._file.exists()
        try:
            rows = _connect_patiently(self._file, self._schema)
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise
            self._set_aside()
            raise _Damaged from None
        if is_new and self._fill:
            self._fill(rows)
        return rows

    def _set_aside(self) -> None:
        """Keep a damaged file for whoever wants to look at it, and begin a new one."""
        if self._opened:
            self._opened.close()
            self._opened = None
        aside = self._file.with_name(f"{self._name}.damaged-{int(self.clock())}.sqlite3")
        with contextlib.suppress(FileNotFoundError):
            self._file.replace(aside)
        for end in ("-wal", "-shm"):
            self._file.with_name(self._file.name + end).unlink(missing_ok=True)


def _set(rows: sqlite3.Connection, *, durable: bool) -> None:
    patience = _LOCK_SECONDS if durable else min(_LOCK_SECONDS, _SHORT_LOCK_SECONDS)
    rows.execute(f"PRAGMA busy_timeout = {int(patience * 1000)}")
    rows.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")


@contextlib.contextmanager
def errors() -> Iterator[None]:
    """Turn what a file or SQLite raises into a `LedgerError`."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise LedgerError(str(error) or type(error).__name__) from error


def _is_damage(error: sqlite3.Error) -> bool:
    """Tell a damaged file from a lock, a full disk or a refused change."""
    return any(words in str(error) for words in _DAMAGE)


def _connect_patiently(file: Path, schema: str) -> sqlite3.Connection:
    """Connect, also while another process makes the same file: SQLite itself waits for no WAL."""
    ends = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            return _connect(file, schema)
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > ends:
                raise
            time.sleep(_LOCK_PAUSE)


def _connect(file: Path, schema: str) -> sqlite3.Connection:
    rows = sqlite3.connect(
        file, timeout=_LOCK_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        rows.row_factory = sqlite3.Row
        rows.execute("PRAGMA journal_mode = WAL")
        rows.execute("PRAGMA foreign_keys = ON")
        rows.execute("PRAGMA secure_delete = ON")
        rows.executescript(schema)
    except BaseException:
        rows.close()
        raise
    return rows
