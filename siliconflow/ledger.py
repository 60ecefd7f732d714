"""What was sent, answered and stored: so that nothing paid is lost, and nothing paid twice.

A request is recorded as sent before it leaves, as answered before any download begins, and each
picture's file is on disk before it is recorded. Whatever instant the process dies at, the record
says what is known: nothing sent; sent, with a fate that nobody knows; answered, with URLs that
work for an hour; or stored. Of the account only a hash is kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from . import files
from .lease import Lease

URL_SECONDS = 3600
"""How long a result's URL works (facts: "A returned URL is valid for ONE HOUR")."""
_LOCK_SECONDS = 5.0
_SWEEP_SECONDS = 3600
"""A file younger than this may be one that another process is about to record."""
_DAY = 86400
_SCHEMA = """
CREATE TABLE IF NOT EXISTS requests (
    id INTEGER PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    account TEXT NOT NULL,
    model TEXT NOT NULL,
    state TEXT NOT NULL,
    owner TEXT NOT NULL,
    sent_at REAL NOT NULL,
    answered_at REAL,
    trace_id TEXT NOT NULL DEFAULT '',
    seed INTEGER,
    inference REAL,
    seconds REAL NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS by_fingerprint ON requests (fingerprint, id);
CREATE TABLE IF NOT EXISTS pictures (
    request INTEGER NOT NULL REFERENCES requests (id) ON DELETE CASCADE,
    place INTEGER NOT NULL,
    url TEXT,
    file TEXT,
    bytes INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (request, place)
);
"""
_SUFFIXES = ((b"\x89PNG", ".png"), (b"\xff\xd8", ".jpg"), (b"RIFF", ".webp"), (b"GIF8", ".gif"))

State = Literal["new", "busy", "answered", "stored"]


class LedgerError(Exception):
    """The ledger cannot be read or written now: its disk is full, or it is locked or damaged."""


@dataclass(frozen=True)
class Facts:
    """What an answer told, as far as it is kept."""

    trace_id: str = ""
    seed: int | None = None
    inference: float | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Kept:
    """One picture of a request: where it can be fetched, and where it is stored."""

    url: str | None
    file: Path | None


@dataclass(frozen=True)
class Entry:
    """What the ledger knows of a request, and so what is to be done.

    `new`: send it; `earlier` then tells of one before it whose pictures never came. `busy`:
    another process is at it. `answered`: download what is not stored. `stored`: read the files.
    """

    id: int
    state: State
    facts: Facts = Facts()
    pictures: tuple[Kept, ...] = ()
    earlier: Earlier | None = None


@dataclass(frozen=True)
class Earlier:
    """An identical request that may have been paid without its pictures being here."""

    sent_at: float
    trace_id: str


def account_of(key: str, base_url: str) -> str:
    """Give a name for an account that does not give its key away."""
    return hashlib.sha256(f"siliconflow account\0{base_url}\0{key}".encode()).hexdigest()[:32]


def fingerprint(account: str, path: str, body: Mapping[str, Any]) -> str:
    """Give the name of a request: the same for the same account, endpoint and body."""
    text = json.dumps([account, path, body], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


class Ledger:
    """The ledger of one data folder. Safe for many threads, and for several processes."""

    def __init__(
        self,
        directory: Path,
        *,
        most_bytes: int = 2 << 30,
        most_seconds: float = 30 * _DAY,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Touch nothing yet: the files are made when the first request is recorded."""
        self.most_bytes = most_bytes
        self.most_seconds = most_seconds
        self._directory = directory
        self._clock = clock
        self._lock = threading.RLock()
        self._opened: sqlite3.Connection | None = None
        self._leased: Lease | None = None
        self._swept = False

    def __del__(self) -> None:
        """Leave no file open behind."""
        self.close()

    def claim(self, name: str, account: str, model: str, *, reuse: bool = True) -> Entry:
        """Say what is known of a request; if it is to be sent, it is recorded as sent by now.

        Without `reuse` nothing that was done before is looked at.
        """
        with self._change() as rows:
            known = _latest(rows, name) if reuse else None
            if known is None:
                return self._sent(rows, name, account, model)
            entry = self._known(rows, known)
            if entry is not None:
                return entry
            rows.execute("UPDATE requests SET state = 'unknown' WHERE id = ?", (known["id"],))
            earlier = Earlier(known["sent_at"], known["trace_id"])
            return self._sent(rows, name, account, model, earlier)

    def look(self, name: str) -> bool:
        """Tell whether a request is paid already, or on its way: whether it would cost nothing."""
        with self._change() as rows:
            known = _latest(rows, name)
            return known is not None and self._known(rows, known) is not None

    def answered(self, entry: Entry, facts: Facts, urls: Sequence[str | None]) -> None:
        """Record the answer, before any download begins."""
        with self._change() as rows:
            rows.execute(
                "UPDATE requests SET state = 'answered', answered_at = ?, trace_id = ?, seed = ?,"
                " inference = ?, seconds = ? WHERE id = ?",
                (
                    self._clock(),
                    facts.trace_id,
                    facts.seed,
                    facts.inference,
                    facts.seconds,
                    entry.id,
                ),
            )
            rows.executemany(
                "INSERT INTO pictures (request, place, url) VALUES (?, ?, ?)"
                " ON CONFLICT DO UPDATE SET url = excluded.url",
                [(entry.id, place, url) for place, url in enumerate(urls)],
            )

    def store(self, entry: Entry, place: int, content: bytes) -> None:
        """Put a picture's file on disk, then record it."""
        suffix = next((end for start, end in _SUFFIXES if content.startswith(start)), ".bin")
        digest = hashlib.sha256(content).hexdigest()
        relative = f"{digest[:2]}/{digest[:32]}-{entry.id}-{place}{suffix}"
        with _ledger_errors():
            files.write(self._pictures / relative, content)
        with self._change() as rows:
            rows.execute(
                "INSERT INTO pictures (request, place, file, bytes) VALUES (?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET file = excluded.file, bytes = excluded.bytes",
                (entry.id, place, relative, len(content)),
            )

    def finish(self, entry: Entry) -> None:
        """Record that every picture is stored, and keep within the bounds of size and age."""
        self._mark(entry, "stored")
        self.prune()
        if not self._swept:
            self._swept = True
            self.sweep()

    def failed(self, entry: Entry, *, paid: bool) -> None:
        """Record a request that brought nothing: surely unpaid, or with an unknown fate."""
        self._mark(entry, "unknown" if paid else "failed")

    def damaged(self, entry: Entry) -> None:
        """Record that what is stored cannot be read, so that it counts as not here."""
        with self._change() as rows:
            rows.execute(
                "UPDATE pictures SET file = NULL, bytes = 0 WHERE request = ?", (entry.id,)
            )
            rows.execute("UPDATE requests SET state = 'answered' WHERE id = ?", (entry.id,))

    def prune(self) -> None:
        """Remove what is too old, and the oldest of what is too much."""
        with self._change() as rows:
            doomed = [row["id"] for row in _too_old(rows, self._clock() - self.most_seconds)]
            doomed += _too_much(rows, self.most_bytes, doomed)
            names = [name for request in doomed for name in _files_of(rows, request)]
            rows.executemany("DELETE FROM requests WHERE id = ?", [(item,) for item in doomed])
        for name in names:
            with contextlib.suppress(OSError):
                (self._pictures / name).unlink()

    def sweep(self) -> None:
        """Remove files that no record knows: left by a process that died while it wrote them."""
        with self._change() as rows:
            known = {row["file"] for row in rows.execute("SELECT file FROM pictures")}
        before = time.time() - _SWEEP_SECONDS
        for file in self._pictures.rglob("*"):
            with contextlib.suppress(OSError):
                name = file.relative_to(self._pictures).as_posix()
                if file.is_file() and name not in known and file.stat().st_mtime < before:
                    file.unlink()

    def close(self) -> None:
        """Close the files; they are opened again when they are needed."""
        with self._lock:
            if self._opened:
                self._opened.close()
            if self._leased:
                self._leased.end()
            self._opened = self._leased = None

    @property
    def _pictures(self) -> Path:
        return self._directory / "pictures"

    @property
    def _file(self) -> Path:
        return self._directory / "ledger.sqlite3"

    def _known(self, rows: sqlite3.Connection, row: sqlite3.Row) -> Entry | None:
        """Give what can be done with a known request without sending it; `None`: nothing."""
        if row["state"] == "sent":
            return Entry(row["id"], "busy") if self._lease().lives(row["owner"]) else None
        if row["state"] == "unknown":
            return None
        pictures = self._kept(rows, row)
        facts = Facts(row["trace_id"], row["seed"], row["inference"], row["seconds"])
        if pictures and all(picture.file for picture in pictures):
            return Entry(row["id"], "stored", facts, pictures)
        fresh = self._clock() - row["answered_at"] < URL_SECONDS
        if fresh and pictures and all(picture.file or picture.url for picture in pictures):
            return Entry(row["id"], "answered", facts, pictures)
        return None

    def _kept(self, rows: sqlite3.Connection, row: sqlite3.Row) -> tuple[Kept, ...]:
        found = rows.execute(
            "SELECT url, file FROM pictures WHERE request = ? ORDER BY place", (row["id"],)
        )
        return tuple(Kept(item["url"], self._existing(item["file"])) for item in found)

    def _existing(self, name: str | None) -> Path | None:
        file = self._pictures / name if name else None
        return file if file and file.is_file() else None

    def _sent(
        self,
        rows: sqlite3.Connection,
        name: str,
        account: str,
        model: str,
        earlier: Earlier | None = None,
    ) -> Entry:
        made = rows.execute(
            "INSERT INTO requests (fingerprint, account, model, state, owner, sent_at)"
            " VALUES (?, ?, ?, 'sent', ?, ?)",
            (name, account, model, self._lease().token, self._clock()),
        )
        return Entry(made.lastrowid or 0, "new", earlier=earlier)

    def _mark(self, entry: Entry, state: str) -> None:
        with self._change() as rows:
            rows.execute("UPDATE requests SET state = ? WHERE id = ?", (state, entry.id))

    def _lease(self) -> Lease:
        if self._leased is None:
            self._leased = Lease(self._directory / "running")
            self._leased.sweep()
        return self._leased

    @contextlib.contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        """Give the rows for one change that happens wholly or not at all."""
        with self._lock, _ledger_errors():
            try:
                rows = self._open()
                rows.execute("BEGIN IMMEDIATE")
                try:
                    yield rows
                except BaseException:
                    rows.execute("ROLLBACK")
                    raise
                rows.execute("COMMIT")
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError:
                self._set_aside()
                raise

    def _open(self) -> sqlite3.Connection:
        if self._opened is None:
            self._directory.mkdir(parents=True, exist_ok=True)
            try:
                self._opened = _connect(self._file)
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError:
                self._set_aside()
                self._opened = _connect(self._file)
        return self._opened

    def _set_aside(self) -> None:
        """Keep a damaged ledger for whoever wants to look at it, and begin a new one."""
        if self._opened:
            self._opened.close()
            self._opened = None
        aside = self._file.with_name(f"ledger.damaged-{int(self._clock())}.sqlite3")
        with contextlib.suppress(FileNotFoundError):
            self._file.replace(aside)
        for end in ("-wal", "-shm"):
            self._file.with_name(self._file.name + end).unlink(missing_ok=True)


def _connect(file: Path) -> sqlite3.Connection:
    rows = sqlite3.connect(
        file, timeout=_LOCK_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        rows.row_factory = sqlite3.Row
        rows.execute("PRAGMA journal_mode = WAL")
        rows.execute("PRAGMA synchronous = FULL")
        rows.execute("PRAGMA foreign_keys = ON")
        rows.executescript(_SCHEMA)
    except BaseException:
        rows.close()
        raise
    return rows


@contextlib.contextmanager
def _ledger_errors() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise LedgerError(str(error) or type(error).__name__) from error


def _latest(rows: sqlite3.Connection, name: str) -> sqlite3.Row | None:
    found: sqlite3.Row | None = rows.execute(
        "SELECT * FROM requests WHERE fingerprint = ? AND state <> 'failed'"
        " ORDER BY id DESC LIMIT 1",
        (name,),
    ).fetchone()
    return found


def _too_old(rows: sqlite3.Connection, before: float) -> list[sqlite3.Row]:
    return rows.execute("SELECT id FROM requests WHERE sent_at < ?", (before,)).fetchall()


def _too_much(rows: sqlite3.Connection, most: int, gone: Sequence[int]) -> list[int]:
    """Give the oldest requests beyond those that are `gone` that do not fit into `most` bytes."""
    found = rows.execute(
        "SELECT request, SUM(bytes) AS size FROM pictures GROUP BY request ORDER BY request DESC"
    ).fetchall()
    total, doomed = 0, []
    for row in found:
        total += row["size"] * (row["request"] not in gone)
        if total > most:
            doomed.append(row["request"])
    return doomed


def _files_of(rows: sqlite3.Connection, request: int) -> list[str]:
    found = rows.execute("SELECT file FROM pictures WHERE request = ?", (request,))
    return [row["file"] for row in found if row["file"]]
