"""What is kept of each job, and that a ledger of an earlier version gets it too."""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from comfyui_siliconflow.siliconflow import jobs as jobs_module
from comfyui_siliconflow.siliconflow import schema
from comfyui_siliconflow.siliconflow.jobs import JobRecord, Jobs
from comfyui_siliconflow.siliconflow.ledger import Facts, Ledger
from comfyui_siliconflow.siliconflow.store import LedgerError
from comfyui_siliconflow.siliconflow.texts import Text

NAME = "a" * 64
DAY = 86400.0
PNG = b"\x89PNG the picture"
FIRST_TABLES = """
CREATE TABLE requests (id TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, model TEXT NOT NULL,
    state TEXT NOT NULL, owner TEXT NOT NULL, sent_at REAL NOT NULL, answered_at REAL,
    trace_id TEXT NOT NULL DEFAULT '', seed INTEGER, inference REAL,
    seconds REAL NOT NULL DEFAULT 0);
CREATE INDEX by_fingerprint ON requests (fingerprint);
CREATE TABLE pictures (request TEXT NOT NULL REFERENCES requests (id) ON DELETE CASCADE,
    place INTEGER NOT NULL, url TEXT, file TEXT, bytes INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (request, place));
"""
"""The tables of the first version, word for word as SQLite keeps them apart from line breaks."""


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def open_ledger(tmp_path: Path, clock: Clock) -> Iterator[Callable[[], Ledger]]:
    opened: list[Ledger] = []

    def make() -> Ledger:
        opened.append(Ledger(tmp_path, clock=clock))
        return opened[-1]

    yield make
    for book in opened:
        book.close()


@pytest.fixture
def book(open_ledger: Callable[[], Ledger]) -> Ledger:
    return open_ledger()


@pytest.fixture
def jobs(book: Ledger) -> Jobs:
    return jobs_of(book)


def jobs_of(book: Ledger) -> Jobs:
    return Jobs(book.records, book.pictures, 30 * DAY)


def job(name: str = "1", at: float = 1_000_000.0, **known: object) -> JobRecord:
    values = {"model": "m", "prompt": "p", "task": "t", "node_type": "n", "node_id": "7", **known}
    return JobRecord(id=name, began_at=at, **values)  # type: ignore[arg-type]


def paid(book: Ledger, name: str = NAME, pictures: int = 1) -> str:
    """Let a request be answered and stored; gives its id."""
    entry = book.claim(name, "m")
    book.sent(entry)
    book.answered(entry, Facts("t-1", 42), [f"https://x/{at}" for at in range(pictures)])
    for at in range(pictures):
        book.store(entry, at, pictures, PNG)
    book.finish(entry)
    return entry.id


def test_a_job_is_kept_as_it_ended(book: Ledger, open_ledger: Callable[[], Ledger]) -> None:
    jobs = jobs_of(book)
    jobs.begin([job()], {"nodes": []})
    reason = Text("why", "原因")
    ended = job(state="failed", seconds=2.5, trace_id="t-9", origins=("paid",), reason=reason)
    jobs.end(ended, [])
    [found] = jobs_of(open_ledger()).since(0)
    assert found.reason == reason
    assert (found.state, found.seconds, found.trace_id) == ("failed", 2.5, "t-9")
    assert (found.origins, found.node_id, found.has_workflow) == (("paid",), "7", True)


def test_a_job_has_the_pictures_of_all_its_requests_in_their_order(
    book: Ledger, jobs: Jobs
) -> None:
    jobs.begin([job()])
    first, second = paid(book, "a" * 64, 2), paid(book, "b" * 64, 1)
    ended = jobs.end(job(state="done"), [first, second])
    assert ended.pictures == (True, True, True)
    names = [str(jobs.picture("1", at)) for at in range(3)]
    assert [first in names[0], first in names[1], second in names[2]] == [True, True, True]
    assert jobs.picture("1", 3) is None


def test_a_picture_that_was_cleared_is_still_counted(book: Ledger, jobs: Jobs) -> None:
    jobs.begin([job()])
    jobs.end(job(state="done"), [paid(book)])
    book.clear()
    assert jobs.since(0)[0].pictures == (False,)
    assert jobs.picture("1", 0) is None


def test_the_newest_jobs_come_first_and_old_ones_are_forgotten(
    clock: Clock, jobs: Jobs, book: Ledger
) -> None:
    for at, name in enumerate("abc"):
        jobs.begin([job(name, clock.now + at)], {"note": name})
        jobs.end(job(name, state="done"), [])
    assert [found.id for found in jobs.since(0)] == ["c", "b", "a"]
    assert [found.id for found in jobs.since(clock.now + 1)] == ["c", "b"]
    clock.now += 30 * DAY + 1.5
    jobs.begin([job("d", clock.now)])
    jobs.end(job("d", state="done"), [])
    assert [found.id for found in jobs.since(0)] == ["d", "c"]
    assert jobs.workflow("c") is not None
    with book.records.change() as rows:
        assert rows.execute("SELECT COUNT(*) FROM workflows").fetchone()[0] == 1


def test_a_job_that_runs_is_not_forgotten_however_long_it_takes(
    clock: Clock, jobs: Jobs, open_ledger: Callable[[], Ledger]
) -> None:
    other = open_ledger()
    jobs.begin([job("ours")])
    jobs_of(other).begin([job("theirs")])
    clock.now += 31 * DAY
    jobs.begin([job("new", clock.now)])
    jobs.end(job("new", clock.now, state="done"), [])
    assert {found.id for found in jobs.since(0)} == {"ours", "theirs", "new"}
    other.close()
    jobs.end(job("ours", state="done"), [])
    assert {found.id for found in jobs.since(0)} == {"new"}


def test_a_workflow_is_kept_once_however_many_jobs_it_made(jobs: Jobs, tmp_path: Path) -> None:
    workflow = {"nodes": [{"id": n, "type": "Any", "note": "猫"} for n in range(500)]}
    for name in "abc":
        jobs.begin([job(name)], workflow)
    assert json.loads(jobs.workflow("b") or b"") == workflow
    with sqlite3.connect(tmp_path / "siliconflow-ledger" / "ledger.sqlite3") as rows:
        [(content,)] = rows.execute("SELECT content FROM workflows").fetchall()
    rows.close()
    assert len(content) < len(json.dumps(workflow)) / 5


def test_workflows_keep_within_their_bound_and_the_oldest_go_first(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_module, "MOST_WORKFLOWS_BYTES", 5000)
    for name in "abcd":
        jobs.begin([job(name)], {"noise": secrets.token_hex(3000)})
    assert [jobs.workflow(name) is not None for name in "abcd"] == [False, False, False, True]
    assert [found.has_workflow for found in jobs.since(0)] == [True, False, False, False]


def test_a_workflow_that_carries_pictures_is_not_kept(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_module, "MOST_WORKFLOW_BYTES", 100)
    assert jobs.begin([job()], {"picture": "x" * 100}) is None
    assert not jobs.since(0)[0].has_workflow


def test_a_job_whose_process_died_is_told_as_failed(
    jobs: Jobs, open_ledger: Callable[[], Ledger], book: Ledger
) -> None:
    jobs.begin([job()])
    assert (jobs.since(0)[0].state, jobs.since(0)[0].is_ours) == ("running", True)
    other = jobs_of(open_ledger())
    assert (other.since(0)[0].state, other.since(0)[0].is_ours) == ("running", False)
    book.close()
    [found] = other.since(0)
    assert found.state == "failed"
    assert found.reason is not None
    assert "ComfyUI ended" in found.reason.en


def test_clearing_forgets_what_ended_and_keeps_what_runs(
    jobs: Jobs, open_ledger: Callable[[], Ledger]
) -> None:
    jobs.begin([job("ended"), job("running")], {"note": "x"})
    jobs.end(job("ended", state="done"), [])
    other = open_ledger()
    jobs_of(other).begin([job("elsewhere")])
    jobs.clear()
    assert {found.id for found in jobs.since(0)} == {"running", "elsewhere"}
    assert jobs.workflow("running") is not None
    other.close()
    jobs.clear()
    assert {found.id for found in jobs.since(0)} == {"running"}


def test_a_ledger_of_the_first_version_opens_and_keeps_its_rows(
    tmp_path: Path, open_ledger: Callable[[], Ledger], clock: Clock
) -> None:
    folder = tmp_path / "siliconflow-ledger"
    (folder / "pictures" / "aa").mkdir(parents=True)
    (folder / "pictures" / "aa" / "old.png").write_bytes(PNG)
    with sqlite3.connect(folder / "ledger.sqlite3") as rows:
        rows.executescript(FIRST_TABLES)
        rows.execute(
            "INSERT INTO requests VALUES ('r', ?, 'm', 'stored', '', ?, ?, 't', 1, 1.0, 2.0)",
            (NAME, clock.now, clock.now),
        )
        rows.execute("INSERT INTO pictures VALUES ('r', 0, NULL, 'aa/old.png', 15)")
    rows.close()
    book = open_ledger()
    entry = book.claim(NAME, "m")
    assert (entry.state, entry.facts.trace_id) == ("stored", "t")
    jobs = jobs_of(book)
    assert jobs.since(0) == []
    jobs.begin([job()])
    assert jobs.end(job(state="reused"), [entry.id]).pictures == (True,)


def test_the_first_version_s_tables_are_still_what_the_ledger_reads() -> None:
    """Else the test above would open a file that never was."""
    kinds = [sqlite3.connect(":memory:") for _ in range(2)]
    for rows, tables in zip(kinds, (FIRST_TABLES, schema.REQUESTS), strict=True):
        rows.executescript(tables)
    columns = [
        [rows.execute(f"PRAGMA table_info({name})").fetchall() for name in ("requests", "pictures")]
        for rows in kinds
    ]
    for rows in kinds:
        rows.close()
    assert columns[0] == columns[1]


def test_jobs_wait_only_shortly_for_a_file_that_another_process_holds(
    jobs: Jobs, tmp_path: Path
) -> None:
    jobs.begin([job("a")])
    other = sqlite3.connect(tmp_path / "siliconflow-ledger" / "ledger.sqlite3")
    other.execute("BEGIN EXCLUSIVE")
    started = time.monotonic()
    with pytest.raises(LedgerError, match="locked"):
        jobs.begin([job("b")])
    assert time.monotonic() - started < 3
    other.close()


def test_jobs_of_a_file_that_fails_raise_the_ledger_s_error(tmp_path: Path) -> None:
    (tmp_path / "siliconflow-ledger").write_text("a file is where the folder should be")
    book = Ledger(tmp_path)
    with pytest.raises(LedgerError):
        jobs_of(book).begin([job()])
    with pytest.raises(LedgerError):
        jobs_of(book).since(0)
