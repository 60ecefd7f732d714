"""What was sent, answered and stored: so that nothing paid is lost, and nothing paid twice.

A request is recorded as sent before it leaves, as answered before any download begins, and each
picture's file is on disk before it is recorded. Whatever instant the process dies at, the record
says what is known: nothing sent; sent, with a fate that nobody knows; answered, with URLs that
work for an hour; or stored. Of the account there is only a hash in the requests' fingerprints.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from . import files
from .lease import Lease

URL_SECONDS = 3600
"""How long a result's URL works (facts: "A returned URL is valid for ONE HOUR")."""
_LOCK_SECONDS = 5.0
_LOCK_PAUSE = 0.02
_SWEEP_SECONDS = 3600
"""A file younger than this may be one that another process is about to record."""
_DAY = 86400
_SCHEMA = """
CREATE TABLE IF NOT EXISTS requests (
    id TEXT PRIMARY KEY,
    fingerprint TEXT NOT NULL,
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
CREATE INDEX IF NOT EXISTS by_fingerprint ON requests (fingerprint);
CREATE TABLE IF NOT EXISTS pictures (
    request TEXT NOT NULL REFERENCES requests (id) ON DELETE CASCADE,
    place INTEGER NOT NULL,
    url TEXT,
    file TEXT,
    bytes INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (request, place)
);
"""
_FOLDER = "siliconflow-ledger"
_OURS = re.compile(
    r"(?P<name>[0-9a-f]{64})-(?P<id>[0-9a-f]{32})-(?P<place>\d+)of(?P<count>\d+)"
    r"\.(?:png|jpg|webp|gif|bin)(?P<part>\.[0-9a-f]{32}\.part)?"
)
"""The names of stored pictures: they tell whose they are should the records be lost."""
_DAMAGE = ("malformed", "not a database")
_SUFFIXES = ((b"\x89PNG", ".png"), (b"\xff\xd8", ".jpg"), (b"RIFF", ".webp"), (b"GIF8", ".gif"))

State = Literal["new", "busy", "answered", "stored"]


class LedgerError(Exception):
    """The ledger cannot be read or written now: its disk is full, or it is locked or damaged."""


class _Damaged(Exception):
    """The records were damaged, and are set aside by now."""


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

    place: int
    url: str | None
    file: Path | None


@dataclass(frozen=True)
class Entry:
    """What the ledger knows of a request, and so what is to be done.

    `new`: send it; `earlier` then tells of one before it whose pictures never came. `busy`:
    another process is at it. `answered`: download what is not stored. `stored`: read the files.
    """

    id: str
    name: str
    state: State
    facts: Facts = Facts()
    pictures: tuple[Kept, ...] = ()
    earlier: Earlier | None = None


@dataclass(frozen=True)
class Earlier:
    """An identical request that may have been paid without its pictures being here."""

    sent_at: float
    trace_id: str


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

    def claim(self, name: str, model: str, *, reuse: bool = True) -> Entry:
        """Say what is known of a request; if it is to be sent, it is recorded as waiting by now.

        Without `reuse` nothing that was done before is looked at.
        """
        with self._change() as rows:
            known = _latest(rows, name) if reuse else None
            entry = self._known(rows, known) if known else None
            if entry is not None:
                return entry
            earlier = _given_up(rows, known) if known else None
            new = Entry(uuid.uuid4().hex, name, "new", earlier=earlier)
            rows.execute(
                "INSERT INTO requests (id, fingerprint, model, state, owner, sent_at)"
                " VALUES (?, ?, ?, 'waiting', ?, ?)",
                (new.id, name, model, self._lease().token, self._clock()),
            )
            return new

    def waiting(self, entry: Entry) -> None:
        """Record that the request waits to be sent, for the first time or after a refusal."""
        self._mark(entry, "waiting")

    def sent(self, entry: Entry) -> None:
        """Record that the request leaves now."""
        with self._change() as rows:
            rows.execute(
                "UPDATE requests SET state = 'sent', sent_at = ? WHERE id = ?",
                (self._clock(), entry.id),
            )

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

    def store(self, entry: Entry, place: int, count: int, content: bytes) -> None:
        """Put a picture's file on disk, then record it; it is number `place` of `count`."""
        suffix = next((end for start, end in _SUFFIXES if content.startswith(start)), ".bin")
        file = f"{entry.name[:2]}/{entry.name}-{entry.id}-{place}of{count}{suffix}"
        with _ledger_errors():
            files.write(self._pictures / file, content)
        with self._change() as rows:
            _record_file(rows, entry.id, place, file, len(content))

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

    def damaged(self, entry: Entry, place: int) -> None:
        """Record that a stored picture cannot be decoded, so that it counts as not here."""
        with self._change() as rows:
            rows.execute(
                "UPDATE pictures SET file = NULL, bytes = 0 WHERE request = ? AND place = ?",
                (entry.id, place),
            )

    def prune(self) -> None:
        """Remove what is too old, and the oldest of what is too much."""
        now = self._clock()
        with self._change() as rows:
            doomed = _too_old(rows, now - self.most_seconds)
            doomed += _too_much(rows, self.most_bytes, now - URL_SECONDS, doomed)
            names = [name for request in doomed for name in _files_of(rows, request)]
            rows.executemany("DELETE FROM requests WHERE id = ?", [(item,) for item in doomed])
        for name in names:
            with contextlib.suppress(OSError):
                (self._pictures / name).unlink()

    def sweep(self) -> None:
        """Remove our own files that no record knows: left by a process that died writing them."""
        with self._change() as rows:
            known = {row["file"] for row in rows.execute("SELECT file FROM pictures")}
        before = time.time() - _SWEEP_SECONDS
        for file, name in self._own_files():
            with contextlib.suppress(OSError):
                if name not in known and file.stat().st_mtime < before:
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
        return self._directory / _FOLDER / "pictures"

    @property
    def _file(self) -> Path:
        return self._directory / _FOLDER / "ledger.sqlite3"

    def _own_files(self) -> list[tuple[Path, str]]:
        """List the files that bear a name of ours, with that name."""
        found = [file for file in self._pictures.glob("??/*") if _OURS.fullmatch(file.name)]
        return [(file, f"{file.parent.name}/{file.name}") for file in found]

    def _known(self, rows: sqlite3.Connection, row: sqlite3.Row) -> Entry | None:
        """Give what can be done with a known request without sending it; `None`: nothing."""
        if row["state"] in {"waiting", "sent"}:
            lives = self._lease().lives(row["owner"])
            return Entry(row["id"], row["fingerprint"], "busy") if lives else None
        if row["state"] == "unknown":
            return None
        pictures = self._kept(rows, row)
        fresh = self._clock() - row["answered_at"] < URL_SECONDS
        here = tuple(picture for picture in pictures if picture.file)
        facts = Facts(row["trace_id"], row["seed"], row["inference"], row["seconds"])
        if fresh and len(here) < len(pictures) and all(item.file or item.url for item in pictures):
            return Entry(row["id"], row["fingerprint"], "answered", facts, pictures)
        return Entry(row["id"], row["fingerprint"], "stored", facts, here) if here else None

    def _kept(self, rows: sqlite3.Connection, row: sqlite3.Row) -> tuple[Kept, ...]:
        found = rows.execute(
            "SELECT place, url, file FROM pictures WHERE request = ? ORDER BY place", (row["id"],)
        )
        return tuple(
            Kept(item["place"], item["url"], self._existing(item["file"])) for item in found
        )

    def _existing(self, name: str | None) -> Path | None:
        file = self._pictures / name if name else None
        return file if file and file.is_file() else None

    def _mark(self, entry: Entry, state: str) -> None:
        with self._change() as rows:
            rows.execute("UPDATE requests SET state = ? WHERE id = ?", (state, entry.id))

    def _lease(self) -> Lease:
        if self._leased is None:
            self._leased = Lease(self._directory / _FOLDER / "running")
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
            except sqlite3.DatabaseError as error:
                if _is_damage(error):
                    self._set_aside()
                raise

    def _open(self) -> sqlite3.Connection:
        if self._opened is None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(_Damaged):
                self._opened = self._connected()
            if self._opened is None:
                self._opened = self._connected()
        return self._opened

    def _connected(self) -> sqlite3.Connection:
        """Open the file; a new one learns from the pictures that are there already."""
        is_new = not self._file.exists()
        try:
            rows = _connect_patiently(self._file)
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise
            self._set_aside()
            raise _Damaged from None
        if is_new:
            self._rebuild(rows)
        return rows

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

    def _rebuild(self, rows: sqlite3.Connection) -> None:
        """Record anew what the names of the stored files tell."""
        now = self._clock()
        for file, name in self._own_files():
            told = _OURS.fullmatch(file.name)
            if told is None or told["part"]:
                continue
            rows.execute(
                "INSERT OR IGNORE INTO requests (id, fingerprint, model, state, owner, sent_at,"
                " answered_at) VALUES (?, ?, '', 'stored', '', ?, ?)",
                (told["id"], told["name"], now, now - URL_SECONDS),
            )
            _record_file(rows, told["id"], int(told["place"]), name, file.stat().st_size)


def _is_damage(error: sqlite3.Error) -> bool:
    """Tell a damaged file from a lock, a full disk or a refused change."""
    return any(words in str(error) for words in _DAMAGE)


def _connect_patiently(file: Path) -> sqlite3.Connection:
    """Connect, also while another process makes the same file: SQLite itself waits for no WAL."""
    ends = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            return _connect(file)
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > ends:
                raise
            time.sleep(_LOCK_PAUSE)


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
        " ORDER BY sent_at DESC, rowid DESC LIMIT 1",
        (name,),
    ).fetchone()
    return found


def _given_up(rows: sqlite3.Connection, row: sqlite3.Row) -> Earlier | None:
    """Close a record that leads nowhere; tell of it unless it surely never left."""
    left = row["state"] != "waiting"
    state = "unknown" if left else "failed"
    rows.execute("UPDATE requests SET state = ? WHERE id = ?", (state, row["id"]))
    return Earlier(row["sent_at"], row["trace_id"]) if left else None


def _record_file(rows: sqlite3.Connection, request: str, place: int, file: str, size: int) -> None:
    rows.execute(
        "INSERT INTO pictures (request, place, file, bytes) VALUES (?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET file = excluded.file, bytes = excluded.bytes",
        (request, place, file, size),
    )


def _too_old(rows: sqlite3.Connection, before: float) -> list[str]:
    found = rows.execute("SELECT id FROM requests WHERE sent_at < ?", (before,))
    return [row["id"] for row in found]


def _too_much(rows: sqlite3.Connection, most: int, before: float, gone: Sequence[str]) -> list[str]:
    """Give the oldest requests, beyond those `gone`, that do not fit into `most` bytes.

    One that is not finished and began after `before` may be at work, and stays.
    """
    found = rows.execute(
        "SELECT id, state, sent_at, (SELECT SUM(bytes) FROM pictures WHERE request = id) AS size"
        " FROM requests WHERE size > 0 ORDER BY sent_at DESC, rowid DESC"
    ).fetchall()
    total, doomed = 0, []
    for row in found:
        total += row["size"] * (row["id"] not in gone)
        if total > most and (row["state"] == "stored" or row["sent_at"] < before):
            doomed.append(row["id"])
    return doomed


def _files_of(rows: sqlite3.Connection, request: str) -> list[str]:
    found = rows.execute("SELECT file FROM pictures WHERE request = ?", (request,))
    return [row["file"] for row in found if row["file"]]
