"""What a request pays for all that is saved already: at 1,000, 20,000 and 200,000 results."""

from __future__ import annotations

import itertools
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

from comfyui_siliconflow.storage.job_history import JobHistory, JobRecord
from comfyui_siliconflow.storage.ledger import Ledger, ResponseMetadata, Totals

from .measure import Row, Times, in_turns

SIZES = (1_000, 20_000, 200_000)
MOST_TIMES = 1.5
BYTES = 1_500_000
"""Of each result."""
JOBS_A_WORKFLOW, WORKFLOW_BYTES, MAX_AGE = 10, 1_000, 30 * 86_400
_NUMBERS = itertools.count(1)


def rows() -> list[Row]:
    """Measure a request, a job and the settings page's totals against the former ways."""
    with tempfile.TemporaryDirectory() as folder:
        saved = [_Saved(Path(folder) / str(size), size) for size in SIZES]
        measured = [
            _row("a request in the ledger, at its bound", [item.requests for item in saved]),
            _row("a job in the history, at its bound", [item.jobs for item in saved]),
            _row("the totals of the settings page", [item.totals for item in saved]),
        ]
        for item in saved:
            item.close()
    return measured


def _row(what: str, of_sizes: Sequence[tuple[Callable[[], object], Callable[[], object]]]) -> Row:
    """Time ours and the former way at every size, all in turns."""
    ways = {
        f"{way} {size}": work
        for size, both in zip(SIZES, of_sizes, strict=True)
        for way, work in zip(("ours", "former"), both, strict=True)
    }
    times = in_turns(ways)
    ours, former = ([times[f"{way} {size}"] for size in SIZES] for way in ("ours", "former"))
    growth = ours[-1].best / ours[0].best
    return Row(
        f"{what}: {SIZES[-1]:,} results against {SIZES[0]:,}",
        f"{growth:.2f}x the time; the former way {former[-1].best / ours[-1].best:.0f}x ours",
        f"at most {MOST_TIMES}x the time",
        growth <= MOST_TIMES,
        "; ".join(map(_detail, SIZES, ours, former)),
    )


def _detail(size: int, ours: Times, former: Times) -> str:
    return f"at {size:,} ours {ours}, the former way {former}, {former.best / ours.best:.1f}x"


class _FormerLedger(Ledger):
    """Reads every record after every request, as 0.1.0 did; the tables have today's indexes."""

    def prune(self) -> None:
        with self.database.change() as db:
            old = db.execute("SELECT * FROM requests WHERE sent_at < ?", (self._oldest(),))
            rows = db.execute(
                "SELECT *, (SELECT SUM(bytes) FROM pictures WHERE request = id) AS size"
                " FROM requests WHERE size > 0 ORDER BY sent_at DESC, rowid DESC"
            ).fetchall()
            sums = accumulate(row["size"] for row in rows)
            large = [row for row, sum_ in zip(rows, sums, strict=True) if sum_ > self.max_bytes]
            for row in old.fetchall() + large:
                self._delete(db, row)

    def totals(self) -> Totals:
        with self.database.read() as db:
            answered = "SELECT COUNT(*) FROM requests WHERE state IN ('answered', 'stored')"
            files = "SELECT COUNT(*), COALESCE(SUM(bytes), 0) FROM pictures WHERE file IS NOT NULL"
            return Totals(db.execute(answered).fetchone()[0], *db.execute(files).fetchone())


class _FormerHistory(JobHistory):
    """Looks at every workflow with every job, as 0.1.0 did."""

    def begin(self, jobs: Sequence[JobRecord], workflow: Any = None) -> str | None:
        with self._database.change(durable=False) as db:
            db.execute("SELECT hash, LENGTH(content) FROM workflows ORDER BY rowid").fetchall()
        return super().begin(jobs, workflow)

    def end(self, job: JobRecord, request_ids: Any) -> JobRecord:
        with self._database.change(durable=False) as db:
            db.execute(
                "DELETE FROM workflows WHERE hash NOT IN"
                " (SELECT workflow FROM jobs WHERE workflow IS NOT NULL)"
            )
        return super().end(job, request_ids)


class _Saved:
    """A data folder with so many results and jobs, and what a request does there."""

    def __init__(self, folder: Path, size: int) -> None:
        """Fill the databases; the files are not on disk, and deleting them costs as little."""
        self._now = time.time()
        self._ledgers = Ledger(folder), _FormerLedger(folder)
        for ledger in self._ledgers:
            ledger.max_bytes = size * BYTES
        self._fill_ledger(size)
        self._histories = [
            kind(
                ledger.database.folder,
                ledger.files_folder,
                lambda _: [],
                max_age=MAX_AGE,
                clock=lambda: self._now,
            )
            for kind, ledger in zip((JobHistory, _FormerHistory), self._ledgers, strict=True)
        ]
        self._fill_history(size)
        ours, former = self._ledgers
        self.requests = partial(_request, ours), partial(_request, former)
        self.totals = ours.totals, former.totals
        self.jobs = partial(self._job, self._histories[0]), partial(self._job, self._histories[1])

    def close(self) -> None:
        """Close the databases."""
        for history, ledger in zip(self._histories, self._ledgers, strict=True):
            history.close()
            ledger.close()

    def _fill_ledger(self, size: int) -> None:
        names = [(secrets.token_hex(16), secrets.token_hex(32)) for _ in range(size)]
        with self._ledgers[0].database.change() as db:
            db.executemany(
                "INSERT INTO requests (id, fingerprint, model, state, owner, sent_at)"
                " VALUES (?, ?, 'm', 'stored', '', ?)",
                [(*name, self._now - size + at) for at, name in enumerate(names)],
            )
            db.executemany(
                "INSERT INTO pictures (request, place, file, bytes) VALUES (?, 0, ?, ?)",
                [(id_, f"{print_[:2]}/{print_}-0of1.png", BYTES) for id_, print_ in names],
            )

    def _fill_history(self, size: int) -> None:
        """Store a job a second up to the highest age, so that each new one makes the oldest go."""
        workflows = [secrets.token_hex(32) for _ in range(size // JOBS_A_WORKFLOW)]
        with self._histories[0]._database.change() as db:  # noqa: SLF001 - thousands at once
            content = os.urandom(WORKFLOW_BYTES)
            db.executemany("INSERT INTO workflows VALUES (?, ?)", [(w, content) for w in workflows])
            db.executemany(
                "INSERT INTO jobs (id, owner, began_at, state, task, node_type, node_id, model,"
                " prompt, workflow) VALUES (?, '', ?, 'done', '', '', '', '', '', ?)",
                [
                    (str(at), self._now - MAX_AGE + at, workflows[at // JOBS_A_WORKFLOW])
                    for at in range(size)
                ],
            )

    def _job(self, history: JobHistory) -> None:
        self._now += 1
        job = JobRecord(f"new {next(_NUMBERS)}", self._now)
        history.begin([job], {"nodes": job.id})
        history.end(job, [])


def _request(ledger: Ledger) -> None:
    """Take a request all the way, with a file as small as can be: the bound counts what it says."""
    entry = ledger.claim(secrets.token_hex(32), "m")
    ledger.mark_sent(entry)
    ledger.mark_answered(entry, ResponseMetadata(), [None])
    ledger.store_file(entry, 0, 1, b"\x89PNG")
    with ledger.database.change() as db:
        db.execute("UPDATE pictures SET bytes = ? WHERE request = ?", (BYTES, entry.id))
    ledger.mark_stored(entry)
