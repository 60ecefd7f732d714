"""The job history: which node requested what, when, and the outcome. No run depends on it.

A job is one request of a run, including those answered from the ledger, failed or never sent. It
names the files of its result, which are the ledger's, and the workflow that it was queued with.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import re
import sqlite3
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ..strings.text import DEFAULT, LANGUAGES, Text, text, well_formed
from .database import Database, LedgerError
from .migrations import HISTORY

MAX_PROMPT_CHARACTERS = 4000
"""Enough to find a job by any word of its prompt, and to copy the prompt."""
MAX_LISTED = 500
MAX_EXAMINED = 5000
"""Jobs that one search reads at most; it is continued where it stopped."""
MAX_WORDS = 8
MAX_WORKFLOW_BYTES = 16 << 20
"""A larger workflow has images embedded, and is not stored."""
MAX_WORKFLOWS_BYTES = 64 << 20
"""All stored workflows together, compressed; the oldest are deleted first."""
MAX_DELETED = 64
"""Jobs that one more deletes at most, so that none waits long for the disk."""
_COMPRESSION_LEVEL = 1
"""A request waits for it, and more effort saves little."""
_SELECT = (
    "SELECT jobs.*, jobs.rowid AS row, workflows.hash AS stored_workflow FROM jobs"
    " LEFT JOIN workflows ON workflows.hash = jobs.workflow"
)

JobState = Literal["running", "done", "reused", "failed", "asked", "cancelled"]


@dataclass(frozen=True)
class JobRecord:
    """One job as it is stored. Times in seconds, `began_at` since 1970."""

    id: str
    began_at: float
    task: str = ""
    node_type: str = ""
    node_id: str = ""
    model: str = ""
    prompt: str = ""
    state: JobState = "running"
    seconds: float | None = 0.0
    """`None` if nobody knows when it ended."""
    trace_id: str = ""
    origins: tuple[str, ...] = ()
    reason: Text | None = None
    files_here: tuple[bool, ...] = ()
    """For each file of the result, whether it is still on disk."""
    has_workflow: bool = False
    workflow_id: str = ""
    """By which the page knows the workflow; empty if it has none."""
    is_ours: bool = False
    """Whether this process wrote it."""


@dataclass(frozen=True)
class JobSearch:
    """Which jobs to list: every word is part of the prompt or the model; empty stands for any."""

    words: tuple[str, ...] = ()
    states: frozenset[str] = frozenset()
    tasks: frozenset[str] = frozenset()

    def takes(self, job: JobRecord, state: str) -> bool:
        """Return whether it takes a job that is in a state now."""
        texts = f"{job.prompt}\n{job.model}".lower()
        return (
            all(word.lower() in texts for word in self.words)
            and (not self.states or state in self.states)
            and (not self.tasks or job.task in self.tasks)
        )


@dataclass(frozen=True)
class JobPage:
    """A part of the list; `next` is where the following one begins, `None` at the end."""

    jobs: list[JobRecord]
    next: tuple[float, int] | None


class JobHistory:
    """The jobs of one data folder, for many threads and several processes.

    It has a database of its own: nothing that was paid depends on it. Every method raises
    `LedgerError` where the file cannot be read or written.
    """

    def __init__(  # noqa: PLR0913 - each is asked for something else
        self,
        folder: Path,
        files_folder: Path,
        file_names_of: Callable[[str], list[str]],
        is_unpaid: Callable[[str], bool] = lambda _: False,
        *,
        max_age: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Describe the history; its file is created with the first job.

        `file_names_of` returns the paths below `files_folder` of a request's result, `is_unpaid`
        whether a job was surely never charged. Jobs that began more than `max_age` seconds ago are
        deleted.
        """
        self.max_age = max_age
        self._files_folder = files_folder
        self._file_names_of, self._is_unpaid = file_names_of, is_unpaid
        self._database = Database(folder, "history", HISTORY, clock=clock)

    def __del__(self) -> None:
        """Close the file."""
        self.close()

    def begin(self, jobs: Sequence[JobRecord], workflow: Any = None) -> str | None:
        """Record jobs that begin now. Return the hash of their workflow if it is stored."""
        compressed = _compress(workflow)
        owner = self._database.process_lock.token
        with self._database.change(durable=False) as db:
            if compressed:
                db.execute("INSERT OR IGNORE INTO workflows VALUES (?, ?)", compressed)
                _delete_oldest_workflows(db)
            db.executemany(
                "INSERT INTO jobs (id, owner, began_at, state, task, node_type, node_id, model,"
                " prompt, workflow_id, workflow)"
                " VALUES (?, ?, ?, 'running', ?, ?, ?, ?, ?, ?, ?)",
                [(*_first_columns(job, owner), compressed and compressed[0]) for job in jobs],
            )
        return compressed[0] if compressed else None

    def take_over(self, job_id: str) -> JobRecord | None:
        """Record that a job of a process that is gone goes on in this one; return it."""
        with self._database.change(durable=False) as db:
            db.execute(
                "UPDATE jobs SET owner = ?, state = 'running' WHERE id = ?",
                (self._database.process_lock.token, job_id),
            )
        return self.find(job_id)

    def end(self, job: JobRecord, request_ids: Iterable[str]) -> JobRecord:
        """Record the outcome of a job and the requests it came from; return it as stored."""
        names = self._names_of(request_ids)
        reason = json.dumps(job.reason.as_json(), ensure_ascii=False) if job.reason else None
        outcome = (job.state, job.seconds, job.trace_id, ",".join(job.origins), reason)
        with self._database.change(durable=False) as db:
            db.execute(
                "UPDATE jobs SET state = ?, seconds = ?, trace_id = ?, origins = ?, reason = ?,"
                " pictures = ? WHERE id = ?",
                (*outcome, "\n".join(names), job.id),
            )
            self._delete(db, self._database.clock() - self.max_age, MAX_DELETED)
        return replace(job, files_here=self._files_here(names))

    def since(self, moment: float) -> list[JobRecord]:
        """Return the jobs that began at or after a moment, newest first, at most `MAX_LISTED`."""
        return self._find_all(
            "WHERE began_at >= ? ORDER BY began_at DESC, jobs.rowid DESC LIMIT ?",
            (moment, MAX_LISTED),
        )

    def page(
        self, search: JobSearch, limit: int, before: tuple[float, int] = (math.inf, 0)
    ) -> JobPage:
        """Return the next jobs of the list, newest first, in steps that do not grow with it.

        `before` is the `next` of the page before. A page may be short, or empty, and not the last.
        """
        conditions, values = _conditions(search)
        position, order = "(began_at, jobs.rowid)", "ORDER BY began_at DESC, jobs.rowid DESC"
        with self._database.read() as db:
            last = db.execute(
                f"SELECT began_at, rowid FROM jobs WHERE {position} < (?, ?)"  # noqa: S608
                f" {order} LIMIT 1 OFFSET ?",
                (*before, (MAX_EXAMINED if conditions else limit) - 1),
            ).fetchone()
            rows = db.execute(
                f"{_SELECT} WHERE {position} < (?, ?) AND {position} >= (?, ?)"
                f"{conditions} {order} LIMIT ?",
                (*before, *(last or (-math.inf, 0)), *values, limit),
            ).fetchall()
        if len(rows) == limit:
            last = (rows[-1]["began_at"], rows[-1]["row"])
        return JobPage([self._record(row) for row in rows], tuple(last) if last else None)

    def find(self, job_id: str) -> JobRecord | None:
        """Return one job, or `None` if it is not stored."""
        return next(iter(self._find_all("WHERE id = ?", (job_id,))), None)

    def _find_all(self, where: str, values: Sequence[object]) -> list[JobRecord]:
        """Read jobs in one query; look for their files when others may write again."""
        with self._database.read() as db:
            rows = db.execute(f"{_SELECT} {where}", values).fetchall()
        return [self._record(row) for row in rows]

    def file_path(self, job_id: str, index: int) -> Path | None:
        """Return the path of file `index` (from 0) of a job's result if it is still on disk."""
        with self._database.read() as db:
            row = db.execute("SELECT pictures FROM jobs WHERE id = ?", (job_id,)).fetchone()
        names = _file_names(row) if row else []
        return self._existing(names[index]) if index < len(names) else None

    def workflow(self, job_id: str) -> bytes | None:
        """Return the workflow that a job was queued with, as JSON, if it is stored."""
        with self._database.read() as db:
            row = db.execute(
                "SELECT content FROM workflows JOIN jobs ON hash = workflow WHERE id = ?", (job_id,)
            ).fetchone()
        return zlib.decompress(row["content"]) if row else None

    def forget(self, job_ids: Iterable[str]) -> None:
        """Delete jobs that have begun, as if they had not."""
        with self._database.change(durable=False) as db:
            db.executemany("DELETE FROM jobs WHERE id = ?", [(each,) for each in job_ids])

    def clear(self) -> None:
        """Delete every job that has ended, with its workflow, and damaged files of the history."""
        with self._database.change() as db:
            self._delete(db, math.inf, -1)
        self._database.checkpoint()
        self._database.delete_damaged()

    def close(self) -> None:
        """Close the file; it is opened again on demand."""
        self._database.close()

    def _record(self, row: sqlite3.Row) -> JobRecord:
        state, reason = row["state"], _reason(row)
        has_died = state == "running" and not self._is_alive(row["owner"])
        if has_died:
            is_unpaid = False
            with contextlib.suppress(LedgerError):
                is_unpaid = self._is_unpaid(row["id"])
            state = "cancelled" if is_unpaid else "failed"
            reason = text("history.process_died_unpaid" if is_unpaid else "history.process_died")
        return JobRecord(
            id=row["id"],
            began_at=row["began_at"],
            task=row["task"],
            node_type=row["node_type"],
            node_id=row["node_id"],
            model=row["model"],
            prompt=row["prompt"],
            state=state,
            seconds=None if has_died else row["seconds"],
            trace_id=row["trace_id"],
            origins=tuple(filter(None, row["origins"].split(","))),
            reason=reason,
            files_here=self._files_here(_file_names(row)),
            has_workflow=row["stored_workflow"] is not None,
            workflow_id=row["workflow_id"],
            is_ours=row["owner"] == self._database.process_lock.token,
        )

    def _names_of(self, request_ids: Iterable[str]) -> list[str]:
        """Return the files of requests; none where the ledger fails, so that the job still ends."""
        try:
            return [name for id_ in request_ids for name in self._file_names_of(id_)]
        except LedgerError:
            return []

    def _files_here(self, names: Sequence[str]) -> tuple[bool, ...]:
        return tuple(self._existing(name) is not None for name in names)

    def _existing(self, name: str) -> Path | None:
        path = self._files_folder / name
        return path if path.is_file() else None

    def _delete(self, db: sqlite3.Connection, before: float, limit: int) -> None:
        """Delete the oldest jobs that began before a moment, but none that is running.

        A workflow that no job names any more is deleted by a trigger.
        """
        owners = db.execute(
            "SELECT DISTINCT owner FROM jobs WHERE began_at < ? AND state = 'running'", (before,)
        )
        alive = [row["owner"] for row in owners if self._is_alive(row["owner"])]
        marks = ", ".join("?" * len(alive))
        db.execute(
            "DELETE FROM jobs WHERE rowid IN (SELECT rowid FROM jobs WHERE began_at < ?"  # noqa: S608
            f" AND NOT (state = 'running' AND owner IN ({marks})) ORDER BY began_at LIMIT ?)",
            (before, *alive, limit),
        )

    def _is_alive(self, owner: str) -> bool:
        lock = self._database.process_lock
        return owner == lock.token or lock.is_alive(owner)


def _first_columns(job: JobRecord, owner: str) -> tuple[Any, ...]:
    prompt = job.prompt[:MAX_PROMPT_CHARACTERS]
    node = (job.node_type, job.node_id)
    return (job.id, owner, job.began_at, job.task, *node, job.model, prompt, job.workflow_id)


def _conditions(search: JobSearch) -> tuple[str, list[str]]:
    """Return what SQL can tell of a search, and the values for it.

    A job that runs as far as the file knows may be waiting, or have ended with its process.
    """
    conditions, values = "", []
    for word in search.words[:MAX_WORDS]:
        conditions += " AND (prompt LIKE ? ESCAPE '!' OR model LIKE ? ESCAPE '!')"
        values += ["%" + re.sub("([!%_])", r"!\1", word) + "%"] * 2
    states = search.states and search.states | {"running"}
    for column, chosen in (("state", states), ("task", search.tasks)):
        if chosen:
            conditions += f" AND {column} IN ({', '.join('?' * len(chosen))})"
            values += sorted(chosen)
    return conditions, values


def _compress(workflow: Any) -> tuple[str, bytes] | None:
    """Return a workflow's hash and its compressed JSON, or `None` if it cannot be stored.

    Other nodes may be changing it at this moment, and it is only a convenience.
    """
    if not workflow:
        return None
    try:
        encoded = json.dumps(workflow, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        content = well_formed(encoded).encode()
    except (TypeError, ValueError, RuntimeError):
        return None
    if len(content) > MAX_WORKFLOW_BYTES:
        return None
    return hashlib.sha256(content).hexdigest(), zlib.compress(content, _COMPRESSION_LEVEL)


def _reason(row: sqlite3.Row) -> Text | None:
    """Return a job's reason in today's languages, whichever it was written in.

    A language that is missing gets the default one's wording.
    """
    if row["reason"] is not None:
        wordings: dict[str, str] = json.loads(row["reason"])
    elif row["reason_en"] is not None:
        wordings = {"en": row["reason_en"], "zh": row["reason_zh"]}
    else:
        return None
    default = wordings.get(DEFAULT, "")
    return Text(*(wordings.get(language, default) for language in LANGUAGES))


def _file_names(row: sqlite3.Row) -> list[str]:
    return str(row["pictures"]).splitlines()


def _delete_oldest_workflows(db: sqlite3.Connection) -> None:
    """Keep the compressed workflows within their bound, even if jobs still name them."""
    oldest = (
        "DELETE FROM workflows WHERE rowid = (SELECT MIN(rowid) FROM workflows)"
        " AND (SELECT workflow_bytes FROM totals) > ?"
    )
    while db.execute(oldest, (MAX_WORKFLOWS_BYTES,)).rowcount:
        pass
