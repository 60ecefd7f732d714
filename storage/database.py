"""An SQLite file of the data folder: opened on demand, shared by threads and processes.

A file is created, filled and migrated in one transaction that sets its version last: a process
that dies in between leaves nothing half done, and another process waits for the complete file.
A damaged file is renamed and a new one is created, so that no run stops for it. Where the drive
has no shared memory, as network drives have not, SQLite's rollback journal takes the place of its
write-ahead log.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import mmap
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path, PurePath

from ..strings.text import SiliconFlowError, Text, text
from . import atomic_files, notices
from .process_locks import ProcessLock, exclusive

_LOCK_SECONDS = 5.0
_SHORT_LOCK_SECONDS = 0.5
_MIGRATION_SECONDS = 600.0
"""How long to wait for another process that creates or migrates the file; a dead one lets go."""
_LOCK_PAUSE = 0.02
_DAMAGE = ("malformed", "not a database")
_NO_SHARED_MEMORY = ("disk I/O error", "locking protocol", "unable to open database file")
_KEPT_DAMAGED = 2
"""Damaged files that are kept for whoever wants to look into them; older ones are deleted."""
logger = logging.getLogger("siliconflow")


class LedgerError(SiliconFlowError):
    """The ledger or the job history cannot be read or written now.

    `text` is a clause that says why, such as "the disk is full".
    """


class LedgerTooNew(LedgerError):
    """The file is of a newer version of the pack: what it holds is whole, but cannot be read."""


class Database:
    """One SQLite file in a data folder, and the lock that shows that this process runs."""

    def __init__(
        self,
        folder: Path,
        name: str,
        migrations: Sequence[Sequence[str]],
        *,
        fill: Callable[[sqlite3.Connection], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Describe the file; nothing is opened yet.

        `migrations` are the SQL statements of each version, oldest first. `fill` writes into a
        file what is known from elsewhere and not in it yet, within the transaction that brings it
        to its newest version: released code could die between its tables and that.
        """
        self.folder = folder
        self.clock = clock
        self._name = name
        self._migrations = migrations
        self._fill = fill
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._process_lock: ProcessLock | None = None

    def change(self, *, durable: bool = True) -> AbstractContextManager[sqlite3.Connection]:
        """Open a transaction that writes, all or nothing; raises `LedgerError`.

        One that is not `durable` survives the end of the process, but maybe not a power failure,
        and waits only shortly where another process has locked the file.
        """
        return self._transaction("BEGIN IMMEDIATE", durable=durable)

    def read(self) -> AbstractContextManager[sqlite3.Connection]:
        """Open a transaction that reads one snapshot and blocks no writer; raises `LedgerError`."""
        return self._transaction("BEGIN", durable=False)

    @contextlib.contextmanager
    def _transaction(self, begin: str, *, durable: bool) -> Iterator[sqlite3.Connection]:
        with self._lock, ledger_errors():
            try:
                connection = self._open()
                _configure(connection, durable=durable)
                connection.execute(begin)
                with _rollback_on_error(connection):
                    yield connection
                    connection.execute("COMMIT")
            except sqlite3.DatabaseError as error:
                if _is_damage(error):
                    self._set_aside()
                elif _lacks_shared_memory(error):
                    self._disconnect()  # a network drive that was gone needs a new connection
                raise

    def checkpoint(self) -> None:
        """Empty SQLite's write-ahead log, so that deleted rows are in no file any more."""
        with self._lock, ledger_errors():
            self._open().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    @property
    def process_lock(self) -> ProcessLock:
        """The lock of this process in this folder; acquired at the first use."""
        with self._lock, ledger_errors():
            if self._process_lock is None:
                self._process_lock = ProcessLock(self.folder / "running")
                self._process_lock.sweep()
            return self._process_lock

    def delete_damaged(self, keep: int = 0) -> None:
        """Delete damaged files that were set aside, but for the newest `keep`."""
        damaged = sorted(self.folder.glob(f"{self._name}.damaged-*"), reverse=True)
        for file in damaged[keep:]:
            with contextlib.suppress(OSError):
                file.unlink()

    def close(self) -> None:
        """Close the file and release the process lock; both are opened again on demand."""
        with self._lock:
            self._disconnect()
            if self._process_lock:
                self._process_lock.release()
            self._process_lock = None

    def _disconnect(self) -> None:
        if self._connection:
            self._connection.close()
        self._connection = None

    @property
    def _file(self) -> Path:
        return self.folder / f"{self._name}.sqlite3"

    def _open(self) -> sqlite3.Connection:
        if self._connection and self._identity != self._identity_now():
            self._disconnect()  # another process has set the file aside, or somebody deleted it
        if self._connection is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                self._connection = self._connect()
            except sqlite3.DatabaseError as error:
                if not _is_damage(error):
                    raise
                self._set_aside()
                self._connection = self._connect()
        return self._connection

    def _identity_now(self) -> tuple[int, int] | None:
        """Return what tells the file from another of the same name; `None` if there is none."""
        try:
            status = self._file.stat()
        except FileNotFoundError:
            return None
        return status.st_dev, status.st_ino

    def _connect(self) -> sqlite3.Connection:
        """Connect, also while another process creates the file: SQLite does not wait for that."""
        deadline = time.monotonic() + _MIGRATION_SECONDS
        while True:
            try:
                self._identity = self._identity_now()
                self._refuse_newer_version()
                return self._connect_once()
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(_LOCK_PAUSE)

    def _refuse_newer_version(self) -> None:
        """Raise `LedgerTooNew` for a file of a newer version, without writing a byte to it."""
        if self._identity:
            uri = read_only_uri(self._file.absolute())
            with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=_LOCK_SECONDS)) as file:
                try:
                    self._version(file)
                except sqlite3.OperationalError as error:
                    if not _lacks_shared_memory(error):  # then it is checked further below
                        raise

    def _version(self, connection: sqlite3.Connection) -> int:
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        newest = len(self._migrations)
        if version > newest:
            raise LedgerTooNew(
                text("ledger.newer", file=self._file.name, version=version, newest=newest)
            )
        return version

    def _connect_once(self) -> sqlite3.Connection:
        try:
            return self._prepared(has_shared_memory=True)
        except sqlite3.OperationalError as error:
            if not _lacks_shared_memory(error) or _shares_memory(self.folder):
                raise  # a passing fault must not change the file for good
            connection = self._prepared(has_shared_memory=False)
        notices.tell("disk.no_shared_memory", folder=self.folder)
        return connection

    def _prepared(self, *, has_shared_memory: bool) -> sqlite3.Connection:
        """Return a connection to the file at its newest version.

        Without shared memory the file is locked for this process alone until it has a rollback
        journal, which it keeps: two processes must not disagree about the journal.
        """
        connection = sqlite3.connect(
            self._file, timeout=_LOCK_SECONDS, isolation_level=None, check_same_thread=False
        )
        self._identity = self._identity_now()
        try:
            connection.row_factory = sqlite3.Row
            if not has_shared_memory:
                connection.execute("PRAGMA locking_mode = EXCLUSIVE")
                connection.execute("PRAGMA journal_mode = TRUNCATE")
            elif not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
                connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA secure_delete = ON")
            if self._version(connection) < len(self._migrations):
                self._migrate(connection)
            connection.execute("PRAGMA locking_mode = NORMAL")
            connection.execute("SELECT 1 FROM sqlite_master").fetchone()  # lets go of the lock
        except BaseException:
            connection.close()
            raise
        return connection

    def _migrate(self, connection: sqlite3.Connection) -> None:
        """Bring the file to the newest version. A version 0 with tables is version 1."""
        connection.execute(f"PRAGMA busy_timeout = {int(_MIGRATION_SECONDS * 1000)}")
        connection.execute("BEGIN IMMEDIATE")
        with _rollback_on_error(connection):
            version = self._version(connection)  # another process may have migrated it meanwhile
            for statements in self._migrations[version:]:
                for statement in statements:
                    connection.execute(statement)
            if self._fill and version < len(self._migrations):
                self._fill(connection)
            connection.execute(f"PRAGMA user_version = {len(self._migrations)}")
            connection.execute("COMMIT")

    def _set_aside(self) -> None:
        """Rename a damaged file, so that the next use creates a new one.

        Not if another process has done so since it was opened: then a new one is there already.
        One process at a time does that, and the rename comes last: from then on there may be a
        new file, whose log is not to be touched.
        """
        self._disconnect()
        with exclusive(self.folder / f"{self._name}.lock"):
            if self._identity != self._identity_now():
                return
            aside = self._file.with_name(f"{self._name}.damaged-{int(self.clock())}.sqlite3")
            logger.warning("%s is damaged: renamed to %s", self._file, aside.name)
            for suffix in ("-wal", "-shm", "-journal"):
                self._file.with_name(self._file.name + suffix).unlink(missing_ok=True)
            with contextlib.suppress(FileNotFoundError):
                atomic_files.rename(self._file, aside)
            self.delete_damaged(_KEPT_DAMAGED)


def read_only_uri(file: PurePath) -> str:
    """Return the URI with which SQLite opens an absolute path; it takes no host for a UNC path."""
    uri = file.as_uri()
    return f"{uri if uri.startswith('file:///') else f'file://{uri[5:]}'}?mode=ro"


def _configure(connection: sqlite3.Connection, *, durable: bool) -> None:
    seconds = _LOCK_SECONDS if durable else min(_LOCK_SECONDS, _SHORT_LOCK_SECONDS)
    connection.execute(f"PRAGMA busy_timeout = {int(seconds * 1000)}")
    connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
    connection.execute(f"PRAGMA fullfsync = {int(durable)}")  # macOS: beyond the drive's cache


@contextlib.contextmanager
def _rollback_on_error(connection: sqlite3.Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        if connection.in_transaction:  # SQLite itself rolls back where a disk is full
            connection.execute("ROLLBACK")
        raise


@contextlib.contextmanager
def ledger_errors() -> Iterator[None]:
    """Raise a `LedgerError` with a readable reason for what a file or SQLite raises."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise LedgerError(_reason(error)) from error


def _reason(error: sqlite3.Error | OSError) -> Text:
    message = str(error) or type(error).__name__
    if "locked" in message:
        return text("ledger.locked")
    if "disk is full" in message or getattr(error, "errno", None) == errno.ENOSPC:
        return text("ledger.disk_full")
    if isinstance(error, sqlite3.Error) and _is_damage(error):
        return text("ledger.damaged")
    return Text(message)


def _is_damage(error: sqlite3.Error) -> bool:
    """Return whether a file is damaged, and not just locked, full or refused."""
    return any(words in str(error) for words in _DAMAGE)


def _shares_memory(folder: Path) -> bool:
    """Return whether a file of a folder can be shared memory; raise `OSError` if none opens."""
    with tempfile.TemporaryFile(dir=folder) as file:
        file.truncate(mmap.PAGESIZE)
        try:
            mmap.mmap(file.fileno(), mmap.PAGESIZE).close()
        except OSError as error:
            if error.errno in {errno.EMFILE, errno.ENFILE, errno.ENOMEM}:
                raise
            return False
    return True


def _lacks_shared_memory(error: sqlite3.Error) -> bool:
    """Return whether SQLite failed as it does where a drive cannot share memory or locks."""
    return any(words in str(error) for words in _NO_SHARED_MEMORY)
