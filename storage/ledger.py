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
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Literal

from . import atomic_files as files
from .database import Database, errors
from .migrations import REQUESTS

URL_SECONDS = 3600
"""How long a result's URL works (facts: "A returned URL is valid for ONE HOUR")."""
_SWEEP_SECONDS = 3600
"""A file younger than this may be one that another process is about to record."""
_DAY = 86400
_FOLDER = "siliconflow-ledger"
_OURS = re.compile(
    r"(?P<name>[0-9a-f]{64})-(?P<id>[0-9a-f]{32})-(?P<place>\d+)of(?P<count>\d+)"
    r"\.(?:png|jpg|webp|gif|wav|json|bin)(?P<part>\.[0-9a-f]{32}\.part)?"
)
"""The names of stored pictures: they tell whose they are should the records be lost."""
_SUFFIXES = (
    (re.compile(rb"\x89PNG"), ".png"),
    (re.compile(rb"\xff\xd8"), ".jpg"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), ".webp"),
    (re.compile(rb"RIFF....WAVE", re.DOTALL), ".wav"),
    (re.compile(rb"GIF8"), ".gif"),
    (re.compile(rb"\{"), ".json"),
)

State = Literal["new", "busy", "answered", "stored"]


@dataclass(frozen=True)
class ResponseMetadata:
    """What an answer told, as far as it is kept."""

    trace_id: str = ""
    seed: int | None = None
    inference: float | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class StoredFile:
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
    facts: ResponseMetadata = ResponseMetadata()
    pictures: tuple[StoredFile, ...] = ()
    earlier: LostRequest | None = None


@dataclass(frozen=True)
class LostRequest:
    """An identical request that may have been paid without its pictures being here."""

    sent_at: float
    trace_id: str


@dataclass(frozen=True)
class Totals:
    """What the ledger holds: answered requests, the pictures that are here, and their size."""

    requests: int
    pictures: int
    size: int


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
        self.records = Database(
            directory / _FOLDER, "ledger", REQUESTS, fill=self._rebuild, clock=clock
        )
        self._clock = clock
        self._swept = False

    def __del__(self) -> None:
        """Leave no file open behind."""
        self.close()

    def claim(self, name: str, model: str, *, reuse: bool = True) -> Entry:
        """Say what is known of a request; if it is to be sent, it is recorded as waiting by now.

        Without `reuse` nothing that was done before is looked at.
        """
        with self.records.change() as rows:
            known = _latest(rows, name) if reuse else None
            entry = self._known(rows, known) if known else None
            if entry is not None:
                return entry
            earlier = _given_up(rows, known) if known else None
            new = Entry(uuid.uuid4().hex, name, "new", earlier=earlier)
            rows.execute(
                "INSERT INTO requests (id, fingerprint, model, state, owner, sent_at)"
                " VALUES (?, ?, ?, 'waiting', ?, ?)",
                (new.id, name, model, self.records.lease.token, self._clock()),
            )
            return new

    def waiting(self, entry: Entry) -> None:
        """Record that the request waits to be sent, for the first time or after a refusal."""
        self._mark(entry.id, "waiting")

    def sent(self, entry: Entry) -> None:
        """Record that the request leaves now."""
        with self.records.change() as rows:
            rows.execute(
                "UPDATE requests SET state = 'sent', sent_at = ? WHERE id = ?",
                (self._clock(), entry.id),
            )

    def look(self, name: str) -> bool:
        """Tell whether a request is paid already, or on its way: whether it would cost nothing."""
        with self.records.change() as rows:
            known = _latest(rows, name)
            return known is not None and self._known(rows, known) is not None

    def answered(self, entry: Entry, facts: ResponseMetadata, urls: Sequence[str | None]) -> None:
        """Record the answer, before any download begins."""
        with self.records.change() as rows:
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
        suffix = next((end for start, end in _SUFFIXES if start.match(content)), ".bin")
        file = f"{entry.name[:2]}/{entry.name}-{entry.id}-{place}of{count}{suffix}"
        with errors():
            files.write(self.pictures / file, content)
        with self.records.change() as rows:
            _record_file(rows, entry.id, place, file, len(content))

    def finish(self, entry: Entry) -> None:
        """Record that every picture is stored, and keep within the bounds of size and age."""
        self._mark(entry.id, "stored")
        self.prune()
        if not self._swept:
            self._swept = True
            self.sweep()

    def failed(self, entry: Entry, *, paid: bool) -> None:
        """Record a request that brought nothing: surely unpaid, or with an unknown fate."""
        self._mark(entry.id, "unknown" if paid else "failed")

    def discard(self, request: str) -> None:
        """Let go of what came: it is of no use, and the same request is to be sent anew."""
        self._mark(request, "failed")

    def damaged(self, entry: Entry, place: int) -> None:
        """Record that a stored picture cannot be decoded, so that it counts as not here."""
        with self.records.change() as rows:
            rows.execute(
                "UPDATE pictures SET file = NULL, bytes = 0 WHERE request = ? AND place = ?",
                (entry.id, place),
            )

    def prune(self) -> None:
        """Remove what is too old, and the oldest of what is too much, but not what is on its way.

        Another run's request may be under way for longer than anything is kept.
        """
        with self.records.change() as rows:
            found = _too_old(rows, self._clock() - self.most_seconds)
            found += _too_much(rows, self.most_bytes)
            names = _forget(rows, [row["id"] for row in found if not self._is_on_its_way(row)])
        self._unlink(names)

    def files_of(self, request: str) -> list[str]:
        """Name the stored pictures of a request in their order, as they lie below `pictures`."""
        with self.records.read() as rows:
            return _files_of(rows, request)

    def totals(self) -> Totals:
        """Count what is stored, and what waits to be."""
        with self.records.read() as rows:
            requests = rows.execute(
                "SELECT COUNT(*) FROM requests WHERE state IN ('answered', 'stored')"
            ).fetchone()[0]
            pictures, size = rows.execute(
                "SELECT COUNT(*), COALESCE(SUM(bytes), 0) FROM pictures WHERE file IS NOT NULL"
            ).fetchone()
        return Totals(requests, pictures, size)

    def clear(self) -> None:
        """Remove every request and its pictures, but nothing that is on its way here."""
        with self.records.change() as rows:
            found = rows.execute("SELECT * FROM requests").fetchall()
            names = _forget(rows, [row["id"] for row in found if not self._is_on_its_way(row)])
        self._unlink(names)

    def _is_on_its_way(self, row: sqlite3.Row) -> bool:
        if row["state"] in {"waiting", "sent"}:
            lease = self.records.lease
            return row["owner"] == lease.token or lease.lives(row["owner"])
        return row["state"] == "answered" and bool(self._clock() - row["answered_at"] < URL_SECONDS)

    def sweep(self) -> None:
        """Remove our own files that no record knows: left by a process that died writing them."""
        with self.records.change() as rows:
            known = {row["file"] for row in rows.execute("SELECT file FROM pictures")}
        before = time.time() - _SWEEP_SECONDS
        for file, name in self._own_files():
            with contextlib.suppress(OSError):
                if name not in known and file.stat().st_mtime < before:
                    file.unlink()

    def close(self) -> None:
        """Close the files; they are opened again when they are needed."""
        self.records.close()

    @property
    def pictures(self) -> Path:
        """The folder of the stored pictures."""
        return self.records.folder / "pictures"

    def _unlink(self, names: Sequence[str]) -> None:
        """Remove files that no record names any more; what stays is found by the sweep."""
        for name in names:
            with contextlib.suppress(OSError):
                (self.pictures / name).unlink()

    def _own_files(self) -> list[tuple[Path, str]]:
        """List the files that bear a name of ours, with that name."""
        found = [file for file in self.pictures.glob("??/*") if _OURS.fullmatch(file.name)]
        return [(file, f"{file.parent.name}/{file.name}") for file in found]

    def _known(self, rows: sqlite3.Connection, row: sqlite3.Row) -> Entry | None:
        """Give what can be done with a known request without sending it; `None`: nothing."""
        if row["state"] in {"waiting", "sent"}:
            lives = self.records.lease.lives(row["owner"])
            return Entry(row["id"], row["fingerprint"], "busy") if lives else None
        if row["state"] == "unknown":
            return None
        pictures = self._kept(rows, row)
        fresh = self._clock() - row["answered_at"] < URL_SECONDS
        here = tuple(picture for picture in pictures if picture.file)
        facts = ResponseMetadata(row["trace_id"], row["seed"], row["inference"], row["seconds"])
        if fresh and len(here) < len(pictures) and all(item.file or item.url for item in pictures):
            return Entry(row["id"], row["fingerprint"], "answered", facts, pictures)
        return Entry(row["id"], row["fingerprint"], "stored", facts, here) if here else None

    def _kept(self, rows: sqlite3.Connection, row: sqlite3.Row) -> tuple[StoredFile, ...]:
        found = rows.execute(
            "SELECT place, url, file FROM pictures WHERE request = ? ORDER BY place", (row["id"],)
        )
        return tuple(
            StoredFile(item["place"], item["url"], self._existing(item["file"])) for item in found
        )

    def _existing(self, name: str | None) -> Path | None:
        file = self.pictures / name if name else None
        return file if file and file.is_file() else None

    def _mark(self, request: str, state: str) -> None:
        with self.records.change() as rows:
            rows.execute("UPDATE requests SET state = ? WHERE id = ?", (state, request))

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


def _latest(rows: sqlite3.Connection, name: str) -> sqlite3.Row | None:
    found: sqlite3.Row | None = rows.execute(
        "SELECT * FROM requests WHERE fingerprint = ? AND state <> 'failed'"
        " ORDER BY sent_at DESC, rowid DESC LIMIT 1",
        (name,),
    ).fetchone()
    return found


def _given_up(rows: sqlite3.Connection, row: sqlite3.Row) -> LostRequest | None:
    """Close a record that leads nowhere; tell of it unless it surely never left."""
    left = row["state"] != "waiting"
    state = "unknown" if left else "failed"
    rows.execute("UPDATE requests SET state = ? WHERE id = ?", (state, row["id"]))
    return LostRequest(row["sent_at"], row["trace_id"]) if left else None


def _record_file(rows: sqlite3.Connection, request: str, place: int, file: str, size: int) -> None:
    rows.execute(
        "INSERT INTO pictures (request, place, file, bytes) VALUES (?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET file = excluded.file, bytes = excluded.bytes",
        (request, place, file, size),
    )


def _too_old(rows: sqlite3.Connection, before: float) -> list[sqlite3.Row]:
    return rows.execute("SELECT * FROM requests WHERE sent_at < ?", (before,)).fetchall()


def _too_much(rows: sqlite3.Connection, most: int) -> list[sqlite3.Row]:
    """Give the oldest requests that do not fit into `most` bytes."""
    found = rows.execute(
        "SELECT *, (SELECT SUM(bytes) FROM pictures WHERE request = id) AS size"
        " FROM requests WHERE size > 0 ORDER BY sent_at DESC, rowid DESC"
    ).fetchall()
    totals = accumulate(row["size"] for row in found)
    return [row for row, total in zip(found, totals, strict=True) if total > most]


def _forget(rows: sqlite3.Connection, requests: Sequence[str]) -> list[str]:
    """Remove the records of requests, and name the files that they had."""
    names = [name for request in requests for name in _files_of(rows, request)]
    rows.executemany("DELETE FROM requests WHERE id = ?", [(item,) for item in requests])
    return names


def _files_of(rows: sqlite3.Connection, request: str) -> list[str]:
    found = rows.execute("SELECT file FROM pictures WHERE request = ? ORDER BY place", (request,))
    return [row["file"] for row in found if row["file"]]
