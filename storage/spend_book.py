"""What requests cost, by day and model, and what the user was asked about before they were sent.

One row a request, in the ledger's database: it is written in the transactions that record the
request, and stays for a year whatever becomes of the result. What may have been paid counts as
paid, at the most it can cost.
"""

from __future__ import annotations

import contextlib
import math
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from . import notices
from .database import read_only_uri

RECORD_SPEND = (
    "INSERT INTO spend (id, at, state, owner, model, currency, items, cost, content)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT DO UPDATE SET at = excluded.at, state = excluded.state,"
    " owner = excluded.owner, items = excluded.items, cost = excluded.cost"
)
CHANGE_HOLD = (
    "UPDATE spend SET items = MAX(items + ?, 0), cost = MAX(cost + ?, 0)"
    " WHERE id = ? AND state = 'held'"
)
"""Hold so many items, and so much money, more or less for a job; no row changes if none is held."""
SPEND_SECONDS = 366 * 86400
"""How long it is known what a request cost."""
READ_SECONDS = 3.0
"""Nobody reads a question, and queues the same again, in less."""
BATCH_SECONDS = 60.0
"""All runs that one answer is for are queued within: it holds for no later one."""


@dataclass(frozen=True)
class Spend:
    """What a request costs at most, as it is known before it is sent.

    `cost` is in billionths of the currency; `None` where the price is not known. `content` is the
    hash of what is asked for, whatever the seed.
    """

    model: str
    currency: str
    items: int
    cost: int | None
    content: str


class Amount(NamedTuple):
    """How many images, and what they cost in billionths, a user is asked about."""

    images: int
    cost: int


NO_AMOUNT = Amount(0, 0)
ANY_AMOUNT = Amount(1 << 62, 1 << 62)
"""Where nobody can know how much it will be."""


@dataclass(frozen=True)
class SpendSum:
    """What one model took: billionths of the currency, and items whose price is not known."""

    model: str
    currency: str
    is_free: bool
    """Whether this was not paid: saved results were used."""
    items: int
    cost: int
    unknown_items: int


@dataclass(frozen=True)
class SpendBook:
    """What was spent, and what the user was asked about, within one transaction."""

    db: sqlite3.Connection
    now: float
    owner: str

    def since(self, moment: float) -> list[SpendSum]:
        """Return what was spent or is held since the day of a moment, and what was free, by model.

        A day is one of this computer's clock.
        """
        rows = self.db.execute(
            "SELECT model, currency, is_free, SUM(items) AS items, SUM(cost) AS cost,"
            " SUM(unknown_items) AS unknown_items"
            " FROM spend_days WHERE day >= date(?, 'unixepoch', 'localtime')"
            " GROUP BY model, currency, is_free HAVING SUM(items) > 0",
            (moment,),
        ).fetchall()
        return [SpendSum(**{**row, "is_free": bool(row["is_free"])}) for row in map(dict, rows)]

    def asked(
        self, content: str, amount: Amount, asked_after: float, asked_before: float
    ) -> Amount | None:
        """Return the amount that the user has read of between two moments, if it is enough."""
        row = self._question(content)
        asked = Amount(row["images"], row["cost"])
        is_enough = amount.images <= asked.images and amount.cost <= asked.cost
        is_first = row["confirmed_at"] < row["asked_at"]
        is_meant = is_first or asked_before <= row["asked_at"] + BATCH_SECONDS
        is_in_time = asked_after < row["asked_at"] <= asked_before
        return asked if is_enough and is_meant and is_in_time else None

    def is_used(self, content: str) -> bool:
        """Return whether an answer for several runs holds for one that has gone ahead already."""
        row = self._question(content)
        return bool(0 < row["asked_at"] <= row["confirmed_at"])

    def ask(
        self, content: str, amount: Amount, forgotten_before: float, *, needs_answer: bool = False
    ) -> None:
        """Record that the user is asked about an amount of this content now.

        Nobody has read it before `READ_SECONDS` are over, or `answer_questions`: what is queued
        until then is the rest of a batch. What `needs_answer` counts only from the latter on.
        """
        self.db.execute(
            "DELETE FROM confirmations WHERE MAX(ABS(asked_at), confirmed_at) < ?",
            (forgotten_before,),
        )
        at = self.now + READ_SECONDS
        at = -at if needs_answer else at
        values = (content, at, self._question(content)["confirmed_at"], *amount)
        self.db.execute(
            "INSERT OR REPLACE INTO confirmations (content, asked_at, confirmed_at, images, cost)"
            " VALUES (?, ?, ?, ?, ?)",
            values,
        )

    def confirm(self, content: str) -> None:
        """Record that what the user was asked about goes ahead: once for each run it is for."""
        self.db.execute(
            "UPDATE confirmations SET asked_at = CASE WHEN runs > 1 THEN asked_at ELSE 0 END,"
            " runs = MAX(runs - 1, 1), confirmed_at = ? WHERE content = ?",
            (self.now, content),
        )

    def hold(self, held_as: str, spend: Spend) -> None:
        """Count what a job may spend as spent, until it is sent, let go, or its process is dead."""
        more = spend.items, spend.cost or 0, held_as
        if not self.db.execute(CHANGE_HOLD, more).rowcount:
            row = held_as, self.now, "held", self.owner, *vars(spend).values()
            self.db.execute(RECORD_SPEND, row)

    def forget_questions(self, contents: Sequence[str]) -> None:
        """Forget that the user was asked about these: to queue them again asks anew."""
        self._date_questions(0, 1, contents)

    def answer_questions(self, contents: Sequence[str], runs: int = 1) -> None:
        """Record that the user has read what there is to confirm, and wants it for so many runs."""
        latest = math.floor(self.now * 1e3) / 1e3  # as exact as ComfyUI's
        self._date_questions(latest, runs, contents)

    def _question(self, content: str) -> Mapping[str, Any]:
        row = self.db.execute(
            "SELECT asked_at, confirmed_at, images, cost FROM confirmations WHERE content = ?",
            (content,),
        ).fetchone()
        return dict(row) if row else {"asked_at": 0.0, "confirmed_at": 0.0, "images": 0, "cost": 0}

    def _date_questions(self, latest: float, runs: int, contents: Sequence[str]) -> None:
        self.db.executemany(
            "UPDATE confirmations SET asked_at = MIN(ABS(asked_at), ?), runs = ? WHERE content = ?",
            [(latest, runs, content) for content in contents],
        )


def record_spend_of(db: sqlite3.Connection, damaged: Path) -> None:
    """Record what can still be read of what was spent: budgets go on counting it."""
    uri = f"{read_only_uri(damaged.absolute())}&immutable=1"  # makes no files beside it
    rows = (
        "SELECT id, at, state, owner, model, currency, items, cost, content FROM spend"
        " WHERE state <> 'held'"
    )
    try:
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as file:
            db.executemany(RECORD_SPEND, file.execute(rows))
    except sqlite3.DatabaseError:
        notices.tell("ledger.spend_lost", file=damaged.name)
