"""The prompts that wait for results in the background, so that none is forgotten with its process.

One row a prompt, in the ledger's database. It is written before the first request is sent, and
stays until the prompt has been queued again and has run, or the user gives it up.
"""

from __future__ import annotations

import json
import math
import sqlite3
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from ..strings.text import DEFAULT, LANGUAGES, Text, well_formed
from .database import Database

KEPT_SECONDS = 30 * 86_400.0
"""How long a run is kept that nobody goes on with: its results are not kept longer."""
MAX_PROMPT_BYTES = 16 << 20
"""A larger prompt has images embedded: it is not stored, and goes on only within its process."""
_UNPAID = ""
"""Under which `unpaid` is stored among `requests`: no call has this name."""
WaitingState = Literal["waiting", "stopped", "lost", "queued"]


@dataclass(frozen=True)
class WaitingRun:
    """A prompt whose nodes `left_out` gave nothing yet; `since` is in seconds since 1970.

    `waiting`: its requests are under way. `stopped`: some failed, `reason` says why. `lost`: its
    process ended. `queued`: it was queued again. `prompt` is `None` where it may not be stored.
    `requests` has what its nodes asked for, by their call: earlier versions stored none.
    `unpaid` are those of `left_out` that are to send what was surely never charged when the user
    goes on: their process ended, and they have not begun again since.
    """

    id: str
    state: WaitingState
    since: float
    left_out: tuple[str, ...]
    reason: Text | None
    prompt: Mapping[str, Any] | None
    requests: Mapping[str, Any]
    unpaid: tuple[str, ...] = ()


class WaitingRuns:
    """The waiting runs of one data folder. Every method raises `LedgerError`."""

    def __init__(self, database: Database) -> None:
        """Use the ledger's database."""
        self._database = database

    def add(  # noqa: PLR0913 - each is a column
        self,
        id_: str,
        content: str,
        left_out: Collection[str],
        prompt: Mapping[str, Any] | None = None,
        parent: str = "",
        *,
        requests: Mapping[str, Any] = MappingProxyType({}),
        since: float = math.inf,
    ) -> None:
        """Record that nodes of a prompt gave nothing yet; `prompt` is stored with the first.

        `since` is when the first paid node of the prompt began, if that was before now: what it
        sent may have been charged. That of a `parent` was earlier.

        `requests` are what calls of its nodes ask for, in JSON, besides what is recorded of others.

        It takes the place of what was stopped or lost of the same content, and of its `parent`,
        which was queued again as this prompt: until `leave_out` says that this has run, what the
        parent left out counts as left out here. A process that dies leaves one of the two.
        """
        stored = None if prompt is None else well_formed(json.dumps(prompt)).encode()
        if stored and len(stored) > MAX_PROMPT_BYTES:
            stored = None
        now, owner, all_left_out = self._database.clock(), self._owner, {*left_out}
        all_requests, unpaid = {**requests}, set[str]()
        with self._database.change() as db:
            db.execute("DELETE FROM waiting_runs WHERE since < ?", (now - KEPT_SECONDS,))
            same = "SELECT * FROM waiting_runs WHERE content = ? OR id IN (?, ?)"
            for row in db.execute(same, (content, id_, parent)).fetchall():
                run = self._read(row)
                if run.id in {id_, parent}:
                    since = min(since, run.since)
                    all_left_out.update(run.left_out)
                    all_requests = {**run.requests, **all_requests}
                    unpaid.update({*run.unpaid} - {*left_out})
                is_over = run.state in {"stopped", "lost"} and not self._is_another_s(row)
                if run.id != id_ and (run.id == parent or is_over):
                    db.execute("DELETE FROM waiting_runs WHERE id = ?", (run.id,))
            db.execute(
                "INSERT INTO waiting_runs (id, content, state, owner, since, left_out, prompt,"
                " requests) VALUES (?, ?, 'waiting', ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
                " content = excluded.content, state = 'waiting', owner = excluded.owner,"
                " left_out = excluded.left_out, prompt = COALESCE(excluded.prompt, prompt),"
                " requests = excluded.requests, reason = NULL",
                (
                    id_,
                    content,
                    owner,
                    min(now, since),
                    json.dumps(sorted(all_left_out)),
                    stored and zlib.compress(stored, 1),
                    _stored(all_requests, unpaid),
                ),
            )

    def note_requests(self, ids: tuple[str, str], requests: Mapping[str, Any]) -> None:
        """Record what calls of nodes ask for with those of two prompts that wait."""
        with self._database.change() as db:
            rows = db.execute("SELECT id, requests FROM waiting_runs WHERE id IN (?, ?)", ids)
            for row in rows.fetchall():
                values = (json.dumps({**json.loads(row["requests"]), **requests}), row["id"])
                db.execute("UPDATE waiting_runs SET requests = ? WHERE id = ?", values)

    def leave_out(self, id_: str, node_ids: Collection[str]) -> None:
        """Record that a prompt has run, and that these nodes alone gave nothing."""
        with self._database.change() as db:
            values = (json.dumps(sorted(node_ids)), id_)
            db.execute("UPDATE waiting_runs SET left_out = ? WHERE id = ?", values)

    def stop(self, id_: str, reason: Text) -> bool:
        """Record why a prompt does not go on by itself; return whether it is still there."""
        wordings = json.dumps(reason.as_json(), ensure_ascii=False)
        with self._database.change() as db:
            row = db.execute("SELECT * FROM waiting_runs WHERE id = ?", (id_,)).fetchone()
            if row:
                run = self._read(row)
                db.execute(
                    "UPDATE waiting_runs SET state = 'stopped', reason = ?, requests = ?"
                    " WHERE id = ?",
                    (wordings, _stored(run.requests, run.unpaid), id_),
                )
            return row is not None

    def take(self, id_: str) -> WaitingRun | None:
        """Return a prompt that is to be queued again, once; `None` if it is gone or queued."""
        with self._database.change() as db:
            row = db.execute("SELECT * FROM waiting_runs WHERE id = ?", (id_,)).fetchone()
            run = self._read(row) if row and not self._is_another_s(row) else None
            if run is None or run.state == "queued":
                return None
            queued = (
                "UPDATE waiting_runs SET state = 'queued', owner = ?, requests = ? WHERE id = ?"
            )
            db.execute(queued, (self._owner, _stored(run.requests, run.unpaid), id_))
            return run

    def delete(self, id_: str) -> bool:
        """Forget a prompt; return whether it was there."""
        with self._database.change() as db:
            return db.execute("DELETE FROM waiting_runs WHERE id = ?", (id_,)).rowcount > 0

    def all(self) -> list[WaitingRun]:
        """Return the runs of this process and of those that have ended, the oldest first."""
        with self._database.read() as db:
            rows = db.execute("SELECT * FROM waiting_runs ORDER BY since, rowid").fetchall()
        return [self._read(row) for row in rows if not self._is_another_s(row)]

    @property
    def _owner(self) -> str:
        return self._database.process_lock.token

    def _is_another_s(self, row: sqlite3.Row) -> bool:
        """Return whether another process that runs sees to this."""
        return self._database.process_lock.is_alive(row["owner"])

    def _read(self, row: sqlite3.Row) -> WaitingRun:
        """Return a row; one that an ended process left under way is lost."""
        is_ours = row["owner"] == self._owner
        is_stopped = row["state"] == "stopped"
        reason = json.loads(row["reason"]) if row["reason"] else None
        state: WaitingState = row["state"] if is_stopped or is_ours else "lost"
        left_out, requests = tuple(json.loads(row["left_out"])), json.loads(row["requests"])
        unpaid = tuple(requests.pop(_UNPAID, ()))
        return WaitingRun(
            id=row["id"],
            state=state,
            since=row["since"],
            left_out=left_out,
            reason=reason and Text(*(reason.get(lang, reason[DEFAULT]) for lang in LANGUAGES)),
            prompt=json.loads(zlib.decompress(row["prompt"])) if row["prompt"] else None,
            requests=requests,
            unpaid=left_out if state == "lost" else unpaid,
        )


def _stored(requests: Mapping[str, Any], unpaid: Collection[str]) -> str:
    return json.dumps({**requests, **({_UNPAID: sorted(unpaid)} if unpaid else {})})
