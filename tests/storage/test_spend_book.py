"""What the ledger knows of what was spent, whatever becomes of the results."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from comfyui_siliconflow.storage import notices
from comfyui_siliconflow.storage.database import LedgerError
from comfyui_siliconflow.storage.ledger import Ledger, LedgerEntry, ResponseMetadata
from comfyui_siliconflow.storage.spend_book import Spend
from comfyui_siliconflow.tests.storage.conftest import BEGINNING, Clock

DAY = 86400
SPEND = Spend("vendor/model", "CNY", 2, 600, "the prompt")
UNKNOWN = Spend("vendor/new", "CNY", 3, None, "")


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path, clock=clock)
    yield ledger
    ledger.close()


def claim(ledger: Ledger, name: str = "a") -> LedgerEntry:
    return ledger.claim(name * 64, "vendor/model")


def send(ledger: Ledger, name: str = "a", spend: Spend = SPEND, held_as: str = "") -> LedgerEntry:
    entry = claim(ledger, name)
    ledger.mark_sent(entry, spend, held_as)
    return entry


def spent(ledger: Ledger, since: float = 0.0) -> int:
    with ledger.spending() as book:
        return sum(item.cost for item in book.since(since) if not item.is_free)


def test_a_request_counts_from_when_it_is_sent_and_at_its_cost_when_it_is_answered(
    ledger: Ledger,
) -> None:
    entry = send(ledger)
    assert spent(ledger) == 600
    ledger.mark_answered(entry, ResponseMetadata(), [None], 500)
    assert spent(ledger) == 500


def test_a_retry_counts_once_and_a_refusal_not_at_all(ledger: Ledger) -> None:
    entry = send(ledger)
    ledger.mark_waiting(entry)
    ledger.mark_sent(entry, SPEND)
    assert spent(ledger) == 600
    ledger.mark_failed(entry, may_be_paid=False)
    assert spent(ledger) == 0


def test_what_was_answered_stays_paid_although_it_is_of_no_use(ledger: Ledger) -> None:
    entry = send(ledger)
    ledger.mark_answered(entry, ResponseMetadata(), [None])
    ledger.mark_failed(entry, may_be_paid=False)
    ledger.discard(entry.id)
    assert spent(ledger) == 600


def test_what_a_dead_process_sent_counts_and_what_it_held_does_not(
    tmp_path: Path, clock: Clock, ledger: Ledger
) -> None:
    dead = Ledger(tmp_path, clock=clock)
    send(dead)
    dead.mark_waiting(send(dead, "b"))
    with dead.spending() as book:
        book.hold("job", SPEND)
    assert spent(ledger) == 1800
    dead.close()
    assert spent(ledger) == 600


def test_what_a_job_holds_is_spent_once_part_by_part(ledger: Ledger) -> None:
    with ledger.spending() as book:
        book.hold("job", SPEND)
    part = Spend("vendor/model", "CNY", 1, 300, "")
    first = send(ledger, "a", part, "job")
    ledger.mark_waiting(first)
    ledger.mark_sent(first, part, "job")
    assert spent(ledger) == 600
    ledger.mark_failed(first, may_be_paid=False, held_as="job")
    assert spent(ledger) == 600
    send(ledger, "b", part, "job")
    ledger.let_go(["job"])
    assert spent(ledger) == 300


def test_models_are_told_apart_with_what_is_not_known_and_what_was_free(ledger: Ledger) -> None:
    entry = send(ledger)
    ledger.mark_reused(entry)
    send(ledger, "b", UNKNOWN)
    with ledger.spending() as book:
        sums = {(item.model, item.is_free): item for item in book.since(0)}
    assert sums["vendor/model", True].cost == sums["vendor/model", False].cost == 600
    assert sums["vendor/new", False].unknown_items == 3


def test_only_what_was_spent_since_the_day_of_a_moment_counts(ledger: Ledger, clock: Clock) -> None:
    send(ledger)
    clock.now += DAY
    send(ledger, "b")
    assert spent(ledger, BEGINNING + DAY) == 600


def test_spend_is_known_for_a_year_and_outlives_pruned_and_cleared_results(
    ledger: Ledger, clock: Clock
) -> None:
    ledger.mark_answered(send(ledger), ResponseMetadata(), [None])
    clock.now += 365 * DAY
    ledger.prune()
    ledger.clear()
    assert (ledger.totals().requests, spent(ledger)) == (0, 600)
    clock.now += 2 * DAY
    send(ledger, "b")
    assert spent(ledger) == 600


def test_the_sums_by_day_are_those_of_the_requests(ledger: Ledger, clock: Clock) -> None:
    with ledger.spending() as book:
        book.hold("job", SPEND)
    for name in "abcdef":
        clock.now += DAY / 2
        entry = send(ledger, name, UNKNOWN if name == "c" else SPEND, "job")
        if name == "a":
            ledger.mark_waiting(entry)
            clock.now += DAY
            ledger.mark_sent(entry, SPEND, "job")
        if name in "ad":
            ledger.mark_answered(entry, ResponseMetadata(), [None], 500)
            ledger.mark_reused(entry)
        if name == "b":
            ledger.mark_failed(entry, may_be_paid=False, held_as="job")
    columns = "SUM(items), SUM(cost), SUM(unknown_items)"
    with ledger.database.read() as db:
        counted = db.execute(
            "SELECT date(at, 'unixepoch', 'localtime'), state = 'free', SUM(items),"
            " SUM(COALESCE(cost, 0)), SUM(items * (cost IS NULL)) FROM spend"
            " GROUP BY 1, 2 HAVING SUM(items) > 0"
        ).fetchall()
        kept = db.execute(
            f"SELECT day, is_free, {columns} FROM spend_days"  # noqa: S608
            " GROUP BY 1, 2 HAVING SUM(items) > 0"
        ).fetchall()
    assert [tuple(row) for row in kept] == [tuple(row) for row in counted]
    assert len(kept) > 4


def test_to_record_a_request_and_to_judge_a_run_looks_at_no_other(ledger: Ledger) -> None:
    send(ledger)
    with ledger.database.read() as db:
        for statement in (
            "DELETE FROM spend WHERE at < 0",
            "SELECT * FROM spend WHERE id = ''",
            "SELECT SUM(items) FROM spend WHERE at > 0 AND content = ''",
            "SELECT SUM(cost) FROM spend_days WHERE day >= '2026-11-01'",
        ):
            [plan] = db.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()
            assert "USING" in plan["detail"]
            assert "SCAN" not in plan["detail"]


@pytest.mark.parametrize("is_readable", [True, False])
def test_a_damaged_database_loses_of_the_spend_only_what_nobody_can_read(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_readable: bool
) -> None:
    monkeypatch.setattr(notices, "_last_told", {})
    send(ledger)
    file = ledger.database.folder / "ledger.sqlite3"
    with ledger.database.read() as db:
        where = "SELECT rootpage FROM sqlite_master WHERE name = 'requests'"
        page, size = db.execute(where).fetchone()[0], db.execute("PRAGMA page_size").fetchone()[0]
    ledger.close()
    content = bytearray(file.read_bytes())
    start = (page - 1) * size if is_readable else 0
    content[start : start + size] = b"x" * size
    file.write_bytes(content)
    notices.PENDING.clear()
    later = Ledger(tmp_path)
    with suppress(LedgerError):  # a run that meets the damage
        later.claim("b" * 64, "m")
    assert spent(later) == (600 if is_readable else 0)
    told = [str(notice) for notice in notices.PENDING]
    assert any("not all of it could be read" in notice for notice in told) != is_readable
    later.close()
