"""The record of every paid request, so that no result is lost and nothing is paid twice.

A request is recorded as sent before it leaves, as submitted before the first poll for its result,
as answered before any download begins, and a file is on disk before it is recorded. Whenever the
process dies, the record says what is known: nothing was sent; sent, with an unknown outcome;
submitted, with the ticket to poll with; answered, with URLs that work for an hour; or stored. Files
that no record names yet say by their own names which request they complete.
The account is only part of the hash that is a request's fingerprint.

What requests cost is recorded in the same transactions, see `spend_book.py`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import re
import shutil
import sqlite3
import stat
import statistics
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Literal

from . import atomic_files
from .database import Database, ledger_errors
from .migrations import LEDGER
from .spend_book import CHANGE_HOLD, RECORD_SPEND, SPEND_SECONDS, Spend, SpendBook, record_spend_of

URL_SECONDS = 3600
"""How long a result's URL works (API reference: "A returned URL is valid for ONE HOUR")."""
_SWEEP_SECONDS = 3600
"""A partly written or unknown file that is younger may be one that another process is writing."""
_DAY = 86400
_GOES_ON_SECONDS = _DAY
"""How long ago a request may have been submitted that is gone on with after a restart."""
_LEARNED_FROM = 20
"""The last requests for a model from which it is learned how long one takes."""
_NOBODY = "nobody"
"""The owner of a request that no process is busy with."""
_FOLDER = "siliconflow-ledger"
_SUBFOLDERS = tuple(f"{first:02x}" for first in range(256))
_SHORT_FINGERPRINT, _SHORT_ID = 32, 16
"""Hex digits of them in a file's name: Windows takes 259 characters a path."""
_FILE_NAME = re.compile(
    r"(?P<fingerprint>[0-9a-f]{32}|[0-9a-f]{64})-(?P<id>[0-9a-f]{16}|[0-9a-f]{32})"
    r"-(?P<index>\d+)of(?P<count>\d+)\.(?:png|jpg|webp|gif|wav|mp3|mp4|webm|json|bin)"
    r"(?P<part>\.[0-9a-f]{32}\.part)?"
)
"""The names of stored files: they say which request a file belongs to if the database is lost.

Version 0.1.0 wrote the whole fingerprint and id, and its partly written files stand among them.
"""
_MOST_REFUSED = 4
"""Files that are kept to be shown to the service: videos are large."""
_DELETED_AT_ONCE = 64
_CLEARED_AT_ONCE = 512
"""Requests that one transaction deletes at most: whoever else writes waits for it."""
_RECORD_FILE = (
    "INSERT INTO pictures (request, place, file, bytes) VALUES (?, ?, ?, ?)"
    " ON CONFLICT DO UPDATE SET file = excluded.file, bytes = excluded.bytes, is_damaged = 0"
)
_SUFFIXES = (
    (re.compile(rb"\x89PNG"), ".png"),
    (re.compile(rb"\xff\xd8"), ".jpg"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), ".webp"),
    (re.compile(rb"RIFF....WAVE", re.DOTALL), ".wav"),
    (re.compile(rb"GIF8"), ".gif"),
    (re.compile(rb"ID3|\xff[\xf2\xf3\xfb]"), ".mp3"),
    (re.compile(rb"....ftyp", re.DOTALL), ".mp4"),
    (re.compile(rb"\x1aE\xdf\xa3"), ".webm"),
    (re.compile(rb"\{"), ".json"),
)

EntryState = Literal["new", "busy", "submitted", "answered", "stored"]


@dataclass(frozen=True)
class ResponseMetadata:
    """What the ledger stores of a response besides its files; durations in seconds."""

    trace_id: str = ""
    seed: int | None = None
    inference: float | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class StoredFile:
    """One file of a result, counted from 0: its URL at the service, and its path on disk."""

    index: int
    url: str | None
    path: Path | None


@dataclass(frozen=True)
class LostRequest:
    """An identical request that may have been charged, and whose result is not here."""

    sent_at: float
    trace_id: str


@dataclass(frozen=True)
class LedgerEntry:
    """What the ledger knows of a request, and so what to do.

    `new`: send it; `lost_request` is an earlier one that may have been charged. `busy`: wait,
    another process runs it. `submitted`: poll with `ticket`. `answered`: download the files
    without a path. `stored`: read the files.
    """

    id: str
    fingerprint: str
    state: EntryState
    metadata: ResponseMetadata = ResponseMetadata()
    files: tuple[StoredFile, ...] = ()
    lost_request: LostRequest | None = None
    ticket: str | None = None
    answered_at: float = 0.0
    """When its URLs were told; 0: not yet."""
    sent_at: float = 0.0
    was_given_up: bool = False
    """Whether the service did not know its ticket any more, the last time that it was asked."""
    is_known_unpaid: bool = False
    """Of a `new` one, see `Ledger.is_known_unpaid`."""


@dataclass(frozen=True)
class Submitter:
    """Who submitted a request, as far as another process needs it to go on with it."""

    account: str
    task: str
    job: str
    """The id of its job in the history."""


@dataclass(frozen=True)
class Unfinished:
    """A submitted request whose result is not here, and whose process is gone."""

    fingerprint: str
    model: str
    submitter: Submitter


@dataclass(frozen=True)
class Totals:
    """How many answered requests and stored files the ledger holds, and their size in bytes."""

    requests: int
    files: int
    size: int


class Ledger:
    """The ledger of one data folder, for many threads and several processes.

    Every method raises `LedgerError` where the database or a file cannot be read or written.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_bytes: int = 2 << 30,
        max_age: float = 30 * _DAY,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Describe the ledger; its files are created with the first request.

        Files beyond `max_bytes` in all, or older than `max_age` seconds, are deleted.
        """
        self.max_bytes = max_bytes
        self.max_age = max_age
        self.database = Database(
            folder / _FOLDER, "ledger", LEDGER, fill=self._rebuild, clock=clock
        )
        self._clock = clock
        self._is_swept = False
        self._passed_over: dict[str, tuple[float, int]] = {}

    def __del__(self) -> None:
        """Close the files."""
        self.close()

    @property
    def files_folder(self) -> Path:
        """The folder of the stored files."""
        return self.database.folder / "pictures"

    def claim(
        self,
        fingerprint: str,
        model: str,
        job: str = "",
        *,
        reuse: bool = True,
        revive: bool = True,
    ) -> LedgerEntry:
        """Return what is known of a request; one that has to be sent is recorded as waiting.

        `job` is the id of the job in the history that sends it.
        A submitted request becomes this process's own. Without `reuse` every request is new, and
        without `revive` one is whose ticket was given up.
        """
        with self.database.change() as db:
            row, lock = self._latest(db, fingerprint) if reuse else None, self.database.process_lock
            while row and row["state"] == "waiting" and not lock.is_alive(row["owner"]):
                _mark(db, row["id"], "failed")  # it was never sent: what was before it counts
                row = self._latest(db, fingerprint)
            entry = self._entry(db, row) if row else None
            if row and entry is None and revive and self._may_be_known(row):
                _mark(db, row["id"], "submitted")
                entry = LedgerEntry(
                    row["id"],
                    row["fingerprint"],
                    "submitted",
                    ResponseMetadata(row["trace_id"]),
                    ticket=row["ticket"],
                    sent_at=row["sent_at"],
                    was_given_up=True,
                )
            if entry is None:
                lost_request = LostRequest(row["sent_at"], row["trace_id"]) if row else None
                if row:
                    _mark(db, row["id"], "unknown")
                entry = LedgerEntry(
                    uuid.uuid4().hex,
                    fingerprint,
                    "new",
                    lost_request=lost_request,
                    is_known_unpaid=self._is_known_unpaid(db, fingerprint),
                )
                db.execute(
                    "INSERT INTO requests (id, fingerprint, model, state, owner, sent_at, job)"
                    " VALUES (?, ?, ?, 'waiting', ?, ?, ?)",
                    (entry.id, fingerprint, model, lock.token, self._clock(), job),
                )
            elif entry.state == "submitted":
                db.execute("UPDATE requests SET owner = ? WHERE id = ?", (lock.token, entry.id))
            return entry

    def is_paid(self, fingerprint: str) -> bool:
        """Return whether a request would cost nothing: it is paid already, or under way."""
        return bool(self.paid_of([fingerprint]))

    def paid_of(self, fingerprints: Iterable[str]) -> set[str]:
        """Return those of several requests that would cost nothing, in one transaction."""
        with self.database.change() as db:
            rows = {name: self._latest(db, name) for name in fingerprints}
            return {name for name, row in rows.items() if row and self._entry(db, row)}

    def is_stored(self, fingerprint: str) -> bool:
        """Return whether the whole result of a request is here."""
        with self.database.change() as db:
            row = self._latest(db, fingerprint)
            entry = self._entry(db, row) if row else None
            return entry is not None and entry.state == "stored"

    def plan(self, requests: Iterable[tuple[str, str]], model: str) -> None:
        """Record requests that are to be sent in their turn, so that it is known if none was.

        Each is a fingerprint, and the id of the job in the history that sends it.
        """
        with self.database.change() as db:
            for name, job in requests:
                if not _all(db, name):
                    db.execute(
                        "INSERT INTO requests (id, fingerprint, model, state, owner, sent_at, job)"
                        " VALUES (?, ?, ?, 'failed', ?, ?, ?)",
                        (uuid.uuid4().hex, name, model, _NOBODY, self._clock(), job),
                    )

    def is_known_unpaid(self, fingerprint: str, *parts: str) -> bool:
        """Return whether a request was planned before, and surely never charged, nor its parts."""
        with self.database.read() as db:
            return self._is_known_unpaid(db, fingerprint, *parts)

    def _is_known_unpaid(self, db: sqlite3.Connection, fingerprint: str, *parts: str) -> bool:
        rows, of_parts = _all(db, fingerprint), (row for part in parts for row in _all(db, part))
        return bool(rows) and all(map(self._was_never_charged, (*rows, *of_parts)))

    def _was_never_charged(self, row: sqlite3.Row) -> bool:
        """Return whether a request was planned, or refused, and surely never charged."""
        if row["state"] == "waiting":
            return not self.database.process_lock.is_alive(row["owner"])
        return row["state"] == "failed" and not row["answered_at"]

    def is_job_unpaid(self, job: str) -> bool:
        """Return whether what a job asked for is known, and surely none of it was ever charged."""
        with self.database.read() as db:
            rows = db.execute(
                "SELECT * FROM requests WHERE job <> '' AND job = ?", (job,)
            ).fetchall()
        return bool(rows) and all(map(self._was_never_charged, rows))

    def lost_of(self, fingerprints: Iterable[str], since: float = 0.0) -> set[str]:
        """Return those that were sent after `since`, and may have been charged in vain."""
        with self.database.read() as db:
            return {
                name
                for name in fingerprints
                for row in _all(db, name)
                if row["sent_at"] >= since and row["state"] in {"sent", "unknown"}
            }

    def withdraw(self, entry: LedgerEntry) -> None:
        """Forget a `new` request that is not sent after all."""
        with self.database.change() as db:
            db.execute("DELETE FROM requests WHERE id = ?", (entry.id,))

    def has_former_names(self) -> bool:
        """Return whether any request may have a name that this version gives none any more."""
        with self.database.read() as db:
            older = (
                "SELECT 1 FROM requests WHERE sent_at <= (SELECT until FROM former_names) LIMIT 1"
            )
            return db.execute(older).fetchone() is not None

    def adopt(self, former: str, fingerprint: str) -> None:
        """Record the requests of a former fingerprint under the one that they have now."""
        with self.database.change() as db:
            if self._latest(db, former):
                db.execute(
                    "UPDATE requests SET fingerprint = ? WHERE fingerprint IN (?, ?)",
                    (fingerprint, former, former[:_SHORT_FINGERPRINT]),
                )

    def mark_waiting(self, entry: LedgerEntry) -> None:
        """Record that the request is not sent yet, or was refused and will be sent again."""
        with self.database.change() as db:
            _mark(db, entry.id, "waiting")
            db.execute("UPDATE spend SET state = 'held' WHERE id = ?", (entry.id,))

    def mark_sent(self, entry: LedgerEntry, spend: Spend | None = None, held_as: str = "") -> None:
        """Record that the request is about to be sent, and what it costs at most.

        That counts as spent from now on, and no more as what is held under `held_as`.
        """
        now, owner = self._clock(), self.database.process_lock.token
        with self.database.change() as db:
            db.execute(
                "UPDATE requests SET state = 'sent', sent_at = ? WHERE id = ?", (now, entry.id)
            )
            if spend:
                if not db.execute("SELECT 1 FROM spend WHERE id = ?", (entry.id,)).fetchone():
                    db.execute(CHANGE_HOLD, (-spend.items, -(spend.cost or 0), held_as))
                db.execute(RECORD_SPEND, (entry.id, now, "sent", owner, *vars(spend).values()))
            db.execute("DELETE FROM spend WHERE at < ?", (now - SPEND_SECONDS,))

    def mark_submitted(
        self,
        entry: LedgerEntry,
        ticket: str,
        submitter: Submitter | None = None,
        trace_id: str = "",
    ) -> None:
        """Record that the service accepted the request; `ticket` is what to poll with.

        It is on disk when this returns. From then on the same request is polled, not sent again,
        until it is answered or marked as failed: a poll that fails changes nothing here.
        """
        with self.database.change() as db:
            who = vars(submitter).values() if submitter else ("", "", "")
            db.execute(
                "UPDATE requests SET state = 'submitted', ticket = ?, account = ?, task = ?,"
                " job = ?, trace_id = ? WHERE id = ?",
                (ticket, *who, trace_id, entry.id),
            )

    def leave(self, entry: LedgerEntry) -> None:
        """Record that this process asks no more for a submitted request: any other one may."""
        with self.database.change() as db:
            db.execute("UPDATE requests SET owner = ? WHERE id = ?", (_NOBODY, entry.id))

    def unfinished(self, account: str) -> list[Unfinished]:
        """Return what an account's dead processes submitted, and what can still be fetched of it.

        What has expired at the service is not known here: asking for it is free.
        """
        if not self.database.folder.is_dir():
            return []
        now, lock = self._clock(), self.database.process_lock
        with self.database.read() as db:
            rows = db.execute(
                "SELECT * FROM requests WHERE ticket IS NOT NULL AND account = ? AND sent_at > ?"
                " AND (state = 'submitted' OR (state = 'answered' AND answered_at > ?))"
                " ORDER BY sent_at",
                (account, now - _GOES_ON_SECONDS, now - URL_SECONDS),
            ).fetchall()
        return [
            Unfinished(
                row["fingerprint"],
                row["model"],
                Submitter(row["account"], row["task"], row["job"]),
            )
            for row in rows
            if row["owner"] != lock.token and not lock.is_alive(row["owner"])
        ]

    def usual_seconds(self, model: str) -> float | None:
        """Return how long a submitted request for a model mostly takes; `None`: not known yet."""
        with self.database.read() as db:
            rows = db.execute(
                "SELECT answered_at - sent_at AS seconds FROM requests WHERE model = ? AND"
                " ticket IS NOT NULL AND answered_at > sent_at ORDER BY rowid DESC LIMIT ?",
                (model, _LEARNED_FROM),
            ).fetchall()
        return statistics.median(row["seconds"] for row in rows) if rows else None

    def mark_answered(
        self,
        entry: LedgerEntry,
        metadata: ResponseMetadata,
        urls: Sequence[str | None],
        cost: int | None = None,
        unrecorded: Spend | None = None,
    ) -> None:
        """Record the response before any download, and what it cost in billionths.

        A URL of `None`: the file was in it. A cost of `None`: what it costs at most. As many items
        are paid as it has. `unrecorded` is what `mark_sent` could not record.
        """
        with self.database.change() as db:
            if unrecorded:
                row = entry.id, self._clock(), "sent", self.database.process_lock.token
                db.execute(RECORD_SPEND, (*row, *vars(unrecorded).values()))
            db.execute(
                "UPDATE spend SET state = 'paid', cost = COALESCE(?, cost), items = ? WHERE id = ?",
                (cost, len(urls), entry.id),
            )
            db.execute(
                "UPDATE requests SET state = 'answered', answered_at = ?, trace_id = ?, seed = ?,"
                " inference = ?, seconds = ? WHERE id = ?",
                (
                    self._clock(),
                    metadata.trace_id,
                    metadata.seed,
                    metadata.inference,
                    metadata.seconds,
                    entry.id,
                ),
            )
            db.executemany(
                "INSERT INTO pictures (request, place, url) VALUES (?, ?, ?)"
                " ON CONFLICT DO UPDATE SET url = excluded.url",
                [(entry.id, index, url) for index, url in enumerate(urls)],
            )

    def store_file(
        self,
        entry: LedgerEntry,
        index: int,
        count: int,
        content: bytes | Callable[[BinaryIO], None],
        suffix: str = "",
    ) -> Path:
        """Write file `index` (from 0) of `count` to disk, then record it; return its path.

        `content` may be a function that writes it and checks it, see `atomic_files.write`: then
        `suffix` is that of its name.
        """
        if not callable(content):
            suffix = next((suffix for start, suffix in _SUFFIXES if start.match(content)), ".bin")
        short, short_id = entry.fingerprint[:_SHORT_FINGERPRINT], entry.id[:_SHORT_ID]
        name = f"{short[:2]}/{short}-{short_id}-{index}of{count}{suffix}"
        path = self.files_folder / name
        with ledger_errors():
            size = atomic_files.write(path, content, part_folder=self._part_folder)
        with self.database.change() as db:
            _record_file(db, entry.id, index, name, size)
        return path

    def keep_refused(self, part: Path, suffix: str) -> Path:
        """Copy a file that is not what was paid for, to show it to the service; return the copy.

        The last few are kept.
        """
        with ledger_errors():
            self._refused_folder.mkdir(exist_ok=True)
            copy = self._refused_folder / f"{part.stem}{suffix}"
            shutil.copyfile(part, copy)
            by_age = sorted(self._refused_folder.iterdir(), key=lambda file: file.stat().st_mtime)
            for oldest in by_age[:-_MOST_REFUSED]:
                oldest.unlink()
        return copy

    def mark_stored(self, entry: LedgerEntry) -> None:
        """Record that every file is stored, and delete what exceeds the bounds."""
        with self.database.change() as db:
            _mark(db, entry.id, "stored")
        self.prune()
        if not self._is_swept:
            self._is_swept = True
            self.sweep()

    def mark_failed(
        self,
        entry: LedgerEntry,
        *,
        may_be_paid: bool,
        held_as: str = "",
        is_over: bool = False,
    ) -> None:
        """Record that the request brought no result, and whether it may have been charged.

        What was not charged is held again under `held_as`: it may be sent in parts. `is_over`: to
        ask with its ticket once more would bring nothing.
        """
        with self.database.change() as db:
            _mark(db, entry.id, "unknown" if may_be_paid else "failed")
            if is_over:
                db.execute("UPDATE requests SET ticket = NULL WHERE id = ?", (entry.id,))
            unpaid = "FROM spend WHERE id = ? AND state <> 'paid'"
            row = db.execute(f"SELECT items, cost {unpaid}", (entry.id,)).fetchone()
            if row and not may_be_paid:
                db.execute(CHANGE_HOLD, (row["items"], row["cost"] or 0, held_as))
                db.execute(f"DELETE {unpaid}", (entry.id,))

    def mark_reused(self, entry: LedgerEntry) -> None:
        """Record that a stored result was used once more, at no cost."""
        with self.database.change(durable=False) as db:
            db.execute(
                "INSERT INTO spend SELECT ?, ?, 'free', owner, model, currency, items, cost,"
                " content FROM spend WHERE id = ?",
                (uuid.uuid4().hex, self._clock(), entry.id),
            )

    @contextlib.contextmanager
    def spending(self) -> Iterator[SpendBook]:
        """Open what was spent, for one process at a time: what is judged by it stays true."""
        with self.database.change() as db:
            lock = self.database.process_lock
            owners = db.execute("SELECT DISTINCT owner FROM spend WHERE state = 'held'").fetchall()
            for owner in (row["owner"] for row in owners):
                if owner != lock.token and not lock.is_alive(owner):  # it sent none of this
                    db.execute("DELETE FROM spend WHERE state = 'held' AND owner = ?", (owner,))
            yield SpendBook(db, self._clock(), lock.token)

    def paid_lately(self, content: str, seconds: float, is_asked_for: Callable[[str], bool]) -> int:
        """Return how many items of this content were paid since then, or since it was confirmed.

        Not what `is_asked_for` again, by its fingerprint: it is here, and free.
        """
        with self.database.read() as db:
            confirmed = "SELECT confirmed_at FROM confirmations WHERE content = ?"
            row = db.execute(confirmed, (content,)).fetchone()
            since = max(self._clock() - seconds, row["confirmed_at"] if row else 0)
            rows = db.execute(
                "SELECT items, requests.state AS state, fingerprint"
                " FROM spend LEFT JOIN requests USING (id)"
                " WHERE at > ? AND content = ? AND spend.state IN ('sent', 'paid')",
                (since, content),
            ).fetchall()
        items = 0
        for row in rows:
            is_here = row["state"] in {"answered", "stored"}
            if not is_here or not is_asked_for(row["fingerprint"]):
                items += row["items"]
        return items

    def let_go(self, held_as: Sequence[str]) -> None:
        """Count no more what jobs held and did not send."""
        with self.database.change(durable=False) as db:
            db.executemany(
                "DELETE FROM spend WHERE id = ? AND state = 'held'", [(id_,) for id_ in held_as]
            )

    def mark_damaged(self, entry: LedgerEntry, index: int) -> None:
        """Record that a stored file cannot be decoded, so that it counts as missing.

        It stays on disk until its request is deleted: the fault may be in what decodes it.
        """
        with self.database.change() as db:
            db.execute(
                "UPDATE pictures SET is_damaged = 1 WHERE request = ? AND place = ?",
                (entry.id, index),
            )

    def discard(self, request_id: str) -> None:
        """Record that a result is of no use: the same request is sent again the next time."""
        with self.database.change() as db:
            _mark(db, request_id, "failed")

    def file_names_of(self, request_id: str) -> list[str]:
        """Return the stored files of a request in order, as paths below `files_folder`."""
        with self.database.read() as db:
            return _file_names(db, request_id)

    def totals(self) -> Totals:
        """Count what is stored, and what is paid and still to be downloaded."""
        with self.database.read() as db:
            return Totals(*db.execute("SELECT requests, files, bytes FROM totals").fetchone())

    def prune(self) -> None:
        """Delete what is too old, and the oldest of what is too much, but nothing under way.

        A bounded number at once: this costs each request the same, however much is stored.
        """
        with self.database.change() as db:
            self._delete_oldest(db, "sent_at < ?", self._oldest())
            excess = db.execute("SELECT bytes FROM totals").fetchone()[0] - self.max_bytes
            self._delete_oldest(db, "bytes > ?", 0, excess)

    def clear(self) -> None:
        """Delete every request and its files, but nothing under way or paid and not yet here.

        Damaged databases and files that no record names, left by older versions, go as well.
        """
        last = 0
        while rows := self._delete_after(last):
            last = rows[-1]["rowid"]
        self.sweep()
        for path in self._refused_folder.glob("*"):
            self._unlink_old(path, 0.0)
        self._delete_unknown_files()
        self.database.delete_damaged()

    def sweep(self) -> None:
        """Delete files that a process left partly written when it died.

        A complete file is never deleted here: it is all that is left if the database is lost.
        """
        with self.database.read():  # raises where the ledger is not this version's to tidy
            parts = list(self._part_folder.glob("*"))
        for path in parts:
            self._unlink_old(path)
        for path in self._refused_folder.glob("*"):
            self._unlink_old(path, self.max_age)

    def close(self) -> None:
        """Close the files; they are opened again on demand."""
        self.database.close()

    def _entry(self, db: sqlite3.Connection, row: sqlite3.Row) -> LedgerEntry | None:
        """Return what can be done with a request without sending it; `None`: nothing."""
        state, unfinished = row["state"], {"waiting", "sent", "submitted"}
        metadata = ResponseMetadata(row["trace_id"], row["seed"], row["inference"], row["seconds"])
        entry = LedgerEntry(
            row["id"],
            row["fingerprint"],
            "new",
            metadata,
            ticket=row["ticket"],
            sent_at=row["sent_at"],
        )
        if state in unfinished and self.database.process_lock.is_alive(row["owner"]):
            return replace(entry, state="busy")
        if state == "submitted":
            return replace(entry, state="submitted")
        if state == "waiting":
            return None
        files, is_answered = self._stored_files(db, row["id"]), state in {"answered", "stored"}
        can_download = is_answered and self._clock() - row["answered_at"] < URL_SECONDS
        is_whole = is_answered and all(file.path for file in files)
        if can_download and not is_whole and all(file.path or file.url for file in files):
            return replace(entry, state="answered", files=files, answered_at=row["answered_at"])
        if not is_whole:
            count = self._record_unnamed_files(db, row)
            files = self._stored_files(db, row["id"])
        on_disk = tuple(file for file in files if file.path)
        if not is_answered and on_disk and len(on_disk) == count:
            was_inside = "UPDATE requests SET state = 'stored', answered_at = 0 WHERE id = ?"
            db.execute(was_inside, (entry.id,))
            is_answered = True
        return replace(entry, state="stored", files=on_disk) if on_disk and is_answered else None

    def _may_be_known(self, row: sqlite3.Row) -> bool:
        """Return whether the service may know a ticket that was given up: it has not failed."""
        is_young = row["sent_at"] > self._clock() - _GOES_ON_SECONDS
        return row["state"] == "unknown" and bool(row["ticket"]) and is_young

    def _stored_files(self, db: sqlite3.Connection, request_id: str) -> tuple[StoredFile, ...]:
        rows = db.execute("SELECT * FROM pictures WHERE request = ? ORDER BY place", (request_id,))
        return tuple(
            StoredFile(
                row["place"],
                row["url"],
                self._existing(row["file"]) if row["file"] and not row["is_damaged"] else None,
            )
            for row in rows
        )

    def _record_unnamed_files(self, db: sqlite3.Connection, row: sqlite3.Row) -> int:
        """Record files that a process saved and died before it said so; return N of "0ofN"."""
        subfolder, count = row["fingerprint"][:2], 0
        recorded = _file_names(db, row["id"])
        with contextlib.suppress(OSError):  # not readable now: all that is recorded is known
            for entry, match in self._files(subfolder):
                if match["id"][:_SHORT_ID] == row["id"][:_SHORT_ID] and not match["part"]:
                    count, name = int(match["count"]), f"{subfolder}/{entry.name}"
                    if name not in recorded:
                        _record_file(db, row["id"], int(match["index"]), name, _size(entry))
        return count

    def _existing(self, name: str) -> Path | None:
        """Return the path of a file; `None` if it is surely gone, and so paid again."""
        path = self.files_folder / name
        try:
            return path if stat.S_ISREG(path.stat().st_mode) else None
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError:
            return path  # whoever reads it says why that fails

    def _delete_oldest(
        self, db: sqlite3.Connection, where: str, value: float, excess: float = math.inf
    ) -> None:
        """Delete the oldest requests where something holds, until `excess` bytes are free.

        The next time begins behind those that stay, until the end is reached: they hold up none.
        """
        rows = db.execute(
            f"SELECT rowid, * FROM requests WHERE {where} AND (sent_at, rowid) > (?, ?)"  # noqa: S608
            " ORDER BY sent_at, rowid LIMIT ?",
            (value, *self._passed_over.pop(where, (0.0, 0)), _DELETED_AT_ONCE),
        ).fetchall()
        passed_over = None
        for row in rows:
            if excess <= 0:
                break
            if self._delete(db, row):
                excess -= row["bytes"]
            else:
                passed_over = row["sent_at"], row["rowid"]
        if passed_over and len(rows) == _DELETED_AT_ONCE:
            self._passed_over[where] = passed_over

    def _delete(self, db: sqlite3.Connection, row: sqlite3.Row) -> bool:
        """Delete a request that is not under way, files first; return whether it is gone.

        A record whose file cannot be deleted stays for the next time: without it nobody would
        delete the file. A record without its files does no harm.
        """
        if self._is_under_way(row):
            return False
        if row["state"] in {"sent", "unknown", "answered"}:
            self._record_unnamed_files(db, row)
        if not all(map(self._unlink, _file_names(db, row["id"]))):
            return False
        db.execute("DELETE FROM requests WHERE id = ?", (row["id"],))
        return True

    def _is_under_way(self, row: sqlite3.Row) -> bool:
        """Return whether a request runs, or is paid and its result can still be fetched."""
        if row["state"] == "answered":
            return bool(self._clock() - row["answered_at"] < URL_SECONDS)
        if row["state"] == "submitted" and row["sent_at"] >= self._oldest():
            return True
        lock = self.database.process_lock
        is_running = row["owner"] == lock.token or lock.is_alive(row["owner"])
        return row["state"] in {"waiting", "sent", "submitted"} and is_running

    def _oldest(self) -> float:
        return self._clock() - self.max_age

    def _unlink(self, name: str) -> bool:
        try:
            (self.files_folder / name).unlink(missing_ok=True)
        except OSError:
            return False
        return True

    def _unlink_old(self, path: Path, seconds: float = _SWEEP_SECONDS) -> None:
        """Delete a file so old that no process can be writing it any more."""
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < time.time() - seconds:
                path.unlink()

    @property
    def _part_folder(self) -> Path:
        return self.files_folder / "parts"

    @property
    def _refused_folder(self) -> Path:
        return self.database.folder / "refused"

    def _files(self, subfolder: str) -> list[tuple[os.DirEntry[str], re.Match[str]]]:
        """Return the files of a subfolder with a name of the ledger; raise `OSError`."""
        try:
            with os.scandir(self.files_folder / subfolder) as entries:
                matches = [(entry, _FILE_NAME.fullmatch(entry.name)) for entry in entries]
        except FileNotFoundError:
            return []
        return [(entry, match) for entry, match in matches if match]

    def _delete_after(self, rowid: int) -> list[sqlite3.Row]:
        """Delete the next requests of the table, and return them; empty at its end."""
        with self.database.change() as db:
            rows = db.execute(
                "SELECT rowid, * FROM requests WHERE rowid > ? ORDER BY rowid LIMIT ?",
                (rowid, _CLEARED_AT_ONCE),
            ).fetchall()
            for row in rows:
                self._delete(db, row)
        return rows

    def _delete_unknown_files(self) -> None:
        """Delete old files that no record names, and partly written ones of version 0.1.0."""
        with self.database.read() as db:
            known = {row["file"] for row in db.execute("SELECT file FROM pictures")}
        for subfolder in _SUBFOLDERS:
            with contextlib.suppress(OSError):
                for entry, _ in self._files(subfolder):
                    if f"{subfolder}/{entry.name}" not in known:
                        self._unlink_old(Path(entry))

    def _latest(self, db: sqlite3.Connection, fingerprint: str) -> sqlite3.Row | None:
        """Return the newest record of a request, also from a folder that could not be read."""
        row = _latest(db, fingerprint)
        unread = "SELECT 1 FROM unread_folders WHERE name = ?"
        if row is None and db.execute(unread, (fingerprint[:2],)).fetchone():
            self._record_folders(db, [fingerprint[:2]])
            row = _latest(db, fingerprint)
        return row

    def _rebuild(self, db: sqlite3.Connection) -> None:
        """Record the complete files of a lost database as stored, and what it tells of spend."""
        self._record_folders(db, _SUBFOLDERS)
        for file in sorted(self.database.folder.glob("ledger.damaged-*.sqlite3"))[-1:]:
            record_spend_of(db, file)

    def _record_folders(self, db: sqlite3.Connection, subfolders: Sequence[str]) -> None:
        """Record the complete files in subfolders of requests that have no record."""
        known = {row["id"][:_SHORT_ID] for row in db.execute("SELECT id FROM requests")}
        for subfolder in subfolders:
            self._record_folder(db, subfolder, known)

    def _record_folder(self, db: sqlite3.Connection, subfolder: str, known: set[str]) -> None:
        """Record the complete files of a subfolder, or that it cannot be read now."""
        now = self._clock()
        try:
            files = self._files(subfolder)
        except OSError:
            db.execute("INSERT OR IGNORE INTO unread_folders VALUES (?)", (subfolder,))
            return
        db.execute("DELETE FROM unread_folders WHERE name = ?", (subfolder,))
        lost = [
            (entry, match)
            for entry, match in files
            if not match["part"] and match["id"][:_SHORT_ID] not in known
        ]
        if lost:
            db.execute("UPDATE former_names SET until = ?", (now,))
        db.executemany(
            "INSERT OR IGNORE INTO requests (id, fingerprint, model, state, owner, sent_at,"
            " answered_at) VALUES (?, ?, '', 'stored', '', ?, ?)",
            ((match["id"], match["fingerprint"], now, now - URL_SECONDS) for _, match in lost),
        )
        db.executemany(
            _RECORD_FILE,
            (
                (match["id"], int(match["index"]), f"{subfolder}/{entry.name}", _size(entry))
                for entry, match in lost
            ),
        )


def fingerprint(account: str, path: str, body: Mapping[str, Any], *, encoded: bool = False) -> str:
    """Return 64 hex digits: the same for the same account, endpoint path and body.

    What has a `digest`, an image or a recording, counts by it, whatever encoded it; with `encoded`
    by its bytes, as it did until December 2026.
    The ledger finds paid requests by it: a change here loses every result stored so far.
    """
    content = json.dumps(
        [account, path, body if encoded else _by_digests(body)],
        sort_keys=True,
        separators=(",", ":"),
        default=lambda file: file.content_digest,
    )
    return hashlib.sha256(content.encode()).hexdigest()


def has_digests(body: Mapping[str, Any]) -> bool:
    """Return whether the fingerprint of a body depends on `encoded`. Hashes nothing."""
    return bool(_by_digests(body) != body)


def _by_digests(value: Any) -> Any:
    """Return a value of a body with the digest of each part that has one in its place."""
    if digest := getattr(value, "digest", ""):
        return digest
    if isinstance(value, Mapping):
        return {name: _by_digests(item) for name, item in value.items()}
    return [_by_digests(item) for item in value] if isinstance(value, list | tuple) else value


def _latest(db: sqlite3.Connection, fingerprint: str) -> sqlite3.Row | None:
    return next((row for row in _all(db, fingerprint) if row["state"] != "failed"), None)


def _all(db: sqlite3.Connection, fingerprint: str) -> list[sqlite3.Row]:
    return db.execute(
        "SELECT * FROM requests WHERE fingerprint IN (?, ?) ORDER BY sent_at DESC, rowid DESC",
        (fingerprint, fingerprint[:_SHORT_FINGERPRINT]),  # of one that was rebuilt
    ).fetchall()


def _mark(db: sqlite3.Connection, request_id: str, state: str) -> None:
    db.execute("UPDATE requests SET state = ? WHERE id = ?", (state, request_id))


def _record_file(db: sqlite3.Connection, request_id: str, index: int, name: str, size: int) -> None:
    db.execute(_RECORD_FILE, (request_id, index, name, size))


def _size(entry: os.DirEntry[str]) -> int:
    """Return the bytes of a file; 0 if they cannot be told now, for it may be read later."""
    try:
        return entry.stat().st_size
    except OSError:
        return 0


def _file_names(db: sqlite3.Connection, request_id: str) -> list[str]:
    rows = db.execute(
        "SELECT file FROM pictures WHERE request = ? AND file IS NOT NULL ORDER BY place",
        (request_id,),
    )
    return [row["file"] for row in rows]
