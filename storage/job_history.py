"""The jobs: who asked for what, when, and what came of it. For people; no run depends on it.

A job is one request of a run, also one that was answered from the ledger, failed or was never
sent. It names the requests whose pictures it got, and the workflow that asked for it.
"""

from __future__ import annotations

import hashlib
import json
import math
import sqlite3
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ..strings.text import Text
from .database import Database, LedgerError
from .migrations import HISTORY

PROMPT_CHARACTERS = 120
MOST_LISTED = 500
MOST_WORKFLOW_BYTES = 16 << 20
"""A larger workflow carries pictures, and is not kept."""
MOST_WORKFLOWS_BYTES = 64 << 20
"""All that are kept together, packed; the oldest go first."""

_WITH_WORKFLOW = (
    "SELECT jobs.*, workflows.hash AS kept FROM jobs"
    " LEFT JOIN workflows ON workflows.hash = jobs.workflow"
)
_QUICK = 1
"""How hard to pack: a request waits for it, and more effort brings little."""

State = Literal["running", "done", "reused", "failed", "cancelled"]
_ENDED = Text(
    "ComfyUI ended before this came. What was sent is found again by the same run.",
    "ComfyUI 在结果到达前退出。已发出的请求，再次运行相同内容即可找回。",
)


@dataclass(frozen=True)
class JobRecord:
    """One job as it is kept. `pictures` tells of each picture whether its file is here."""

    id: str
    began_at: float
    task: str = ""
    node_type: str = ""
    node_id: str = ""
    model: str = ""
    prompt: str = ""
    state: State = "running"
    seconds: float = 0.0
    trace_id: str = ""
    origins: tuple[str, ...] = ()
    reason: Text | None = None
    pictures: tuple[bool, ...] = ()
    has_workflow: bool = False
    is_ours: bool = False
    """Whether this very process wrote it."""


class JobHistory:
    """The jobs of one data folder, in a file of their own: what is paid does not depend on it.

    Everything raises `LedgerError` where the file fails. Safe for many threads and processes.
    """

    def __init__(
        self,
        folder: Path,
        pictures: Path,
        files_of: Callable[[str], list[str]],
        *,
        most_seconds: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Touch nothing yet. `files_of` names what lies below `pictures` of a request."""
        self.most_seconds = most_seconds
        self._pictures = pictures
        self._files_of = files_of
        self._store = Database(folder, "history", HISTORY, clock=clock)

    def __del__(self) -> None:
        """Leave no file open behind."""
        self.close()

    def begin(self, jobs: Sequence[JobRecord], workflow: Any = None) -> str | None:
        """Record jobs that begin now; gives the name of their workflow, if it is kept."""
        packed = _packed(workflow)
        owner = self._store.lease.token
        with self._store.change(durable=False) as rows:
            if packed:
                rows.execute("INSERT OR IGNORE INTO workflows VALUES (?, ?)", packed)
                _drop_oldest_workflows(rows)
            rows.executemany(
                "INSERT INTO jobs (id, owner, began_at, state, task, node_type, node_id, model,"
                " prompt, workflow) VALUES (?, ?, ?, 'running', ?, ?, ?, ?, ?, ?)",
                [(*_begun(job, owner), packed and packed[0]) for job in jobs],
            )
        return packed[0] if packed else None

    def end(self, job: JobRecord, requests: Iterable[str]) -> JobRecord:
        """Record what came of a job, and from which requests; gives it as it is kept."""
        names = self._stored(requests)
        reason = job.reason or (None, None)
        told = (job.state, job.seconds, job.trace_id, ",".join(job.origins), *reason)
        with self._store.change(durable=False) as rows:
            rows.execute(
                "UPDATE jobs SET state = ?, seconds = ?, trace_id = ?, origins = ?, reason_en = ?,"
                " reason_zh = ?, pictures = ? WHERE id = ?",
                (*told, "\n".join(names), job.id),
            )
            self._forget(rows, self._store.clock() - self.most_seconds)
        return replace(job, pictures=self._here(names))

    def since(self, moment: float) -> list[JobRecord]:
        """Give the jobs that began since then, newest first: the newest `MOST_LISTED` of them."""
        return self._select(
            "WHERE began_at >= ? ORDER BY began_at DESC, jobs.rowid DESC LIMIT ?",
            (moment, MOST_LISTED),
        )

    def find(self, job: str) -> JobRecord | None:
        """Give one job, if it is kept."""
        return next(iter(self._select("WHERE id = ?", (job,))), None)

    def _select(self, which: str, values: Sequence[object]) -> list[JobRecord]:
        """Read jobs in one question; their files are looked for when others may write again."""
        with self._store.read() as rows:
            found = rows.execute(f"{_WITH_WORKFLOW} {which}", values).fetchall()
        return [self._record(row) for row in found]

    def picture(self, job: str, place: int) -> Path | None:
        """Give the file of a job's picture, if it is still here."""
        with self._store.read() as rows:
            row = rows.execute("SELECT pictures FROM jobs WHERE id = ?", (job,)).fetchone()
        names = _names(row) if row else []
        return self._existing(names[place]) if place < len(names) else None

    def workflow(self, job: str) -> bytes | None:
        """Give the workflow that asked for a job, as JSON, if it is kept."""
        with self._store.read() as rows:
            row = rows.execute(
                "SELECT content FROM workflows JOIN jobs ON hash = workflow WHERE id = ?", (job,)
            ).fetchone()
        return zlib.decompress(row["content"]) if row else None

    def clear(self) -> None:
        """Forget every job that is at its end, with its workflow."""
        with self._store.change() as rows:
            self._forget(rows, math.inf)
        self._store.write_through()

    def close(self) -> None:
        """Close the files; they are opened again when they are needed."""
        self._store.close()

    def _lives(self, owner: str) -> bool:
        return owner == self._store.lease.token or self._store.lease.lives(owner)

    def _record(self, row: sqlite3.Row) -> JobRecord:
        left = row["state"] == "running" and not self._runs(row)
        said = row["reason_en"] is not None
        return JobRecord(
            id=row["id"],
            began_at=row["began_at"],
            task=row["task"],
            node_type=row["node_type"],
            node_id=row["node_id"],
            model=row["model"],
            prompt=row["prompt"],
            state="failed" if left else row["state"],
            seconds=row["seconds"],
            trace_id=row["trace_id"],
            origins=tuple(filter(None, row["origins"].split(","))),
            reason=Text(row["reason_en"], row["reason_zh"]) if said else _ENDED if left else None,
            pictures=self._here(_names(row)),
            has_workflow=row["kept"] is not None,
            is_ours=row["owner"] == self._store.lease.token,
        )

    def _stored(self, requests: Iterable[str]) -> list[str]:
        """Name the pictures of requests; where the ledger fails, the job ends without."""
        try:
            return [name for request in requests for name in self._files_of(request)]
        except LedgerError:
            return []

    def _here(self, names: Sequence[str]) -> tuple[bool, ...]:
        return tuple(self._existing(name) is not None for name in names)

    def _existing(self, name: str) -> Path | None:
        file = self._pictures / name
        return file if file.is_file() else None

    def _forget(self, rows: sqlite3.Connection, before: float) -> None:
        """Forget the jobs that began before then, but none that still runs."""
        found = rows.execute("SELECT id, state, owner FROM jobs WHERE began_at < ?", (before,))
        gone = [(row["id"],) for row in found if not self._runs(row)]
        if gone:
            rows.executemany("DELETE FROM jobs WHERE id = ?", gone)
            _drop_unused_workflows(rows)

    def _runs(self, row: sqlite3.Row) -> bool:
        return row["state"] == "running" and self._lives(row["owner"])


def _begun(job: JobRecord, owner: str) -> tuple[Any, ...]:
    prompt = job.prompt[:PROMPT_CHARACTERS]
    who = (job.task, job.node_type, job.node_id, job.model)
    return (job.id, owner, job.began_at, *who, prompt)


def _packed(workflow: Any) -> tuple[str, bytes] | None:
    """Give a workflow's name and its packed JSON; `None` for none, or one that is not kept.

    Other nodes may change it at this very moment; and it is only a convenience.
    """
    if not workflow:
        return None
    try:
        text = json.dumps(workflow, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        content = text.encode()
    except (TypeError, ValueError, RuntimeError):
        return None
    if len(content) > MOST_WORKFLOW_BYTES:
        return None
    return hashlib.sha256(content).hexdigest(), zlib.compress(content, _QUICK)


def _names(row: sqlite3.Row) -> list[str]:
    return str(row["pictures"]).splitlines()


def _drop_unused_workflows(rows: sqlite3.Connection) -> None:
    rows.execute(
        "DELETE FROM workflows WHERE hash NOT IN"
        " (SELECT workflow FROM jobs WHERE workflow IS NOT NULL)"
    )


def _drop_oldest_workflows(rows: sqlite3.Connection) -> None:
    """Keep the packed workflows within their bound, whoever still names them."""
    total = rows.execute("SELECT COALESCE(SUM(LENGTH(content)), 0) FROM workflows").fetchone()[0]
    if total <= MOST_WORKFLOWS_BYTES:
        return
    found = rows.execute("SELECT hash, LENGTH(content) AS size FROM workflows ORDER BY rowid")
    for row in found.fetchall():
        if total <= MOST_WORKFLOWS_BYTES:
            break
        total -= row["size"]
        rows.execute("DELETE FROM workflows WHERE hash = ?", (row["hash"],))
