"""What is kept of each job, for how long, and that nothing paid depends on it."""

from __future__ import annotations

import json
import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from comfyui_siliconflow.storage import database
from comfyui_siliconflow.storage import job_history as jobs_module
from comfyui_siliconflow.storage.database import LedgerError
from comfyui_siliconflow.storage.job_history import (
    MAX_DELETED,
    JobHistory,
    JobRecord,
    JobSearch,
)
from comfyui_siliconflow.storage.ledger import Ledger, ResponseMetadata
from comfyui_siliconflow.strings.text import LANGUAGES, Text
from comfyui_siliconflow.tests.storage.conftest import BEGINNING, Clock
from comfyui_siliconflow.tests.waiting import LONGEST

REASON = Text(*(f"why, in {language}" for language in LANGUAGES))
NAME = "a" * 64
DAY = 86400.0
PNG = b"\x89PNG the image"


@pytest.fixture
def open_ledger(tmp_path: Path, clock: Clock) -> Iterator[Callable[[], Ledger]]:
    opened: list[Ledger] = []

    def make() -> Ledger:
        opened.append(Ledger(tmp_path, clock=clock))
        return opened[-1]

    yield make
    for ledger in opened:
        ledger.close()


@pytest.fixture
def ledger(open_ledger: Callable[[], Ledger]) -> Ledger:
    return open_ledger()


@pytest.fixture
def open_jobs(ledger: Ledger, clock: Clock) -> Iterator[Callable[[], JobHistory]]:
    """Open the jobs of one folder, as often as a test likes: each time is a new process's."""
    opened: list[JobHistory] = []

    def make() -> JobHistory:
        folder = ledger.database.folder
        values = {"max_age": 30 * DAY, "clock": clock}
        names_of, is_unpaid = ledger.file_names_of, ledger.is_job_unpaid
        opened.append(JobHistory(folder, ledger.files_folder, names_of, is_unpaid, **values))  # type: ignore[arg-type]
        return opened[-1]

    yield make
    for jobs in opened:
        jobs.close()


@pytest.fixture
def jobs(open_jobs: Callable[[], JobHistory]) -> JobHistory:
    return open_jobs()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "siliconflow-ledger" / "history.sqlite3"


def job(name: str = "1", at: float = BEGINNING, **changes: object) -> JobRecord:
    values = {"model": "m", "prompt": "p", "task": "t", "node_type": "n", "node_id": "7", **changes}
    return JobRecord(id=name, began_at=at, **values)  # type: ignore[arg-type]


def rows_of(file: Path, question: str) -> list[Any]:
    rows = sqlite3.connect(file)
    found = rows.execute(question).fetchall()
    rows.close()
    return found


def paid(ledger: Ledger, name: str = NAME, count: int = 1) -> str:
    """Let a request be answered and stored; gives its id."""
    entry = ledger.claim(name, "m")
    ledger.mark_sent(entry)
    ledger.mark_answered(
        entry, ResponseMetadata("t-1", 42), [f"https://x/{at}" for at in range(count)]
    )
    for at in range(count):
        ledger.store_file(entry, at, count, PNG)
    ledger.mark_stored(entry)
    return entry.id


def test_a_job_is_stored_with_its_outcome(
    jobs: JobHistory, open_jobs: Callable[[], JobHistory]
) -> None:
    jobs.begin([job()], {"nodes": []})
    ended = job(state="failed", seconds=2.5, trace_id="t-9", origins=("paid",), reason=REASON)
    jobs.end(ended, [])
    [found] = open_jobs().since(0)
    assert found.reason == REASON
    assert (found.state, found.seconds, found.trace_id) == ("failed", 2.5, "t-9")
    assert (found.origins, found.node_id, found.has_workflow) == (("paid",), "7", True)


def test_a_job_has_the_files_of_all_its_requests_in_their_order(
    ledger: Ledger, jobs: JobHistory
) -> None:
    jobs.begin([job()])
    first, second = paid(ledger, "a" * 64, 2), paid(ledger, "b" * 64, 1)
    ended = jobs.end(job(state="done"), [first, second])
    assert ended.files_here == (True, True, True)
    names = [str(jobs.file_path("1", at)) for at in range(3)]
    assert [first[:16] in names[0], first[:16] in names[1], second[:16] in names[2]] == [True] * 3
    assert jobs.file_path("1", 3) is None


def test_a_deleted_file_is_still_counted(ledger: Ledger, jobs: JobHistory) -> None:
    jobs.begin([job()])
    jobs.end(job(state="done"), [paid(ledger)])
    ledger.clear()
    assert jobs.since(0)[0].files_here == (False,)
    assert jobs.file_path("1", 0) is None


def test_the_newest_jobs_come_first_and_old_ones_are_deleted(
    clock: Clock, jobs: JobHistory, file: Path
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
    assert len(rows_of(file, "SELECT * FROM workflows")) == 1


def test_old_jobs_that_still_run_hold_up_no_deletion_of_others(jobs: JobHistory) -> None:
    jobs.begin([JobRecord(f"running {number}", 1.0) for number in range(MAX_DELETED)])
    jobs.begin([JobRecord("ended", 2.0)])
    jobs.end(JobRecord("ended", 2.0, state="done"), [])
    assert jobs.find("ended") is None
    assert jobs.find("running 0")


def test_a_running_job_is_not_deleted_however_long_it_takes(
    clock: Clock, jobs: JobHistory, open_jobs: Callable[[], JobHistory]
) -> None:
    other = open_jobs()
    jobs.begin([job("ours")])
    other.begin([job("theirs")])
    clock.now += 31 * DAY
    jobs.begin([job("new", clock.now)])
    jobs.end(job("new", clock.now, state="done"), [])
    assert {found.id for found in jobs.since(0)} == {"ours", "theirs", "new"}
    other.close()
    jobs.end(job("ours", state="done"), [])
    assert {found.id for found in jobs.since(0)} == {"new"}


def test_a_workflow_is_stored_once_for_all_its_jobs(jobs: JobHistory, file: Path) -> None:
    workflow = {"nodes": [{"id": n, "type": "Any", "note": "猫"} for n in range(500)]}
    for name in "abc":
        jobs.begin([job(name)], workflow)
    assert json.loads(jobs.workflow("b") or b"") == workflow
    [(content,)] = rows_of(file, "SELECT content FROM workflows")
    assert len(content) < len(json.dumps(workflow)) / 5


def test_the_oldest_workflows_are_deleted_when_there_are_too_many(
    jobs: JobHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_module, "MAX_WORKFLOWS_BYTES", 5000)
    for name in "abcd":
        jobs.begin([job(name)], {"noise": secrets.token_hex(3000)})
    assert [jobs.workflow(name) is not None for name in "abcd"] == [False, False, False, True]
    assert [found.has_workflow for found in jobs.since(0)] == [True, False, False, False]


def test_a_workflow_with_images_embedded_is_not_stored(
    jobs: JobHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_module, "MAX_WORKFLOW_BYTES", 100)
    assert jobs.begin([job()], {"image": "x" * 100}) is None
    assert not jobs.since(0)[0].has_workflow


def test_a_job_of_a_dead_process_counts_as_failed(
    jobs: JobHistory, open_jobs: Callable[[], JobHistory]
) -> None:
    jobs.begin([job()])
    assert (jobs.since(0)[0].state, jobs.since(0)[0].is_ours) == ("running", True)
    other = open_jobs()
    assert (other.since(0)[0].state, other.since(0)[0].is_ours) == ("running", False)
    jobs.close()
    [found] = other.since(0)
    assert (found.state, found.seconds) == ("failed", None)
    assert found.reason is not None
    reason = str(found.reason)
    assert reason.startswith("You may have been charged")
    assert reason.index("Compare your balance") < reason.index("run the same settings again")


def test_a_job_of_a_dead_process_is_cancelled_if_nothing_of_it_was_ever_charged(
    jobs: JobHistory, open_jobs: Callable[[], JobHistory], open_ledger: Callable[[], Ledger]
) -> None:
    names = ["planned", "refused", "sent", "sent and planned"]
    jobs.begin([job(name) for name in names])
    ledger = open_ledger()
    ledger.plan([("b" * 64, "planned"), ("c" * 64, "sent and planned")], "m")
    for at, name in enumerate(names[1:]):
        entry = ledger.claim(f"{at:064x}", "m", name)
        ledger.mark_sent(entry)
        if name == "refused":
            ledger.mark_waiting(entry)
    jobs.close()
    ledger.close()
    found = {record.id: record for record in open_jobs().since(0)}
    assert [found[name].state for name in names] == ["cancelled", "cancelled", "failed", "failed"]
    assert "it was not charged" in str(found["refused"].reason)


def test_the_jobs_are_listed_though_the_ledger_cannot_be_read(
    jobs: JobHistory, open_jobs: Callable[[], JobHistory], ledger: Ledger
) -> None:
    jobs.begin([job()])
    jobs.close()
    other = open_jobs()
    ledger.close()
    file = ledger.database.folder / "ledger.sqlite3"
    file.unlink(missing_ok=True)
    file.mkdir()
    assert [found.state for found in other.since(0)] == ["failed"]


def test_clearing_deletes_ended_jobs_and_keeps_running_ones(
    jobs: JobHistory, open_jobs: Callable[[], JobHistory]
) -> None:
    jobs.begin([job("ended"), job("running")], {"note": "x"})
    jobs.end(job("ended", state="done"), [])
    other = open_jobs()
    other.begin([job("elsewhere")])
    jobs.clear()
    assert {found.id for found in jobs.since(0)} == {"running", "elsewhere"}
    assert jobs.workflow("running") is not None
    other.close()
    jobs.clear()
    assert {found.id for found in jobs.since(0)} == {"running"}


def test_jobs_wait_only_shortly_for_a_file_that_another_process_holds(
    monkeypatch: pytest.MonkeyPatch, open_jobs: Callable[[], JobHistory], file: Path
) -> None:
    """They would get what is free long before the ledger would give up."""
    monkeypatch.setattr(database, "_LOCK_SECONDS", LONGEST)
    jobs = open_jobs()
    jobs.begin([job("a")])
    other = sqlite3.connect(file, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    free = threading.Timer(LONGEST / 4, other.close)
    free.start()
    with pytest.raises(LedgerError, match="locked"):
        jobs.begin([job("b")])
    free.cancel()
    other.close()


def test_jobs_are_listed_while_another_process_writes(jobs: JobHistory, file: Path) -> None:
    jobs.begin([job("a")], {"note": "x"})
    other = sqlite3.connect(file)
    other.execute("BEGIN IMMEDIATE")
    assert [found.id for found in jobs.since(0)] == ["a"]
    assert jobs.workflow("a")
    assert jobs.file_path("a", 0) is None
    other.close()


def test_others_may_write_while_a_list_looks_for_its_files(
    jobs: JobHistory, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs.begin([job("a")])
    jobs.end(job("a", state="done"), [paid(ledger)])
    meanwhile = threading.Thread(target=jobs.begin, args=([job("b")],), daemon=True)

    def is_file(_: Path) -> bool:
        meanwhile.start()
        meanwhile.join(5)
        return True

    with monkeypatch.context() as patched:
        patched.setattr(Path, "is_file", is_file)
        assert [found.files_here for found in jobs.since(0)] == [(True,)]
    assert not meanwhile.is_alive()
    assert [found.id for found in jobs.since(0) if not found.files_here] == ["b"]


def test_a_job_ends_even_if_the_ledger_cannot_name_its_files(
    jobs: JobHistory, ledger: Ledger
) -> None:
    jobs.begin([job()])
    request = paid(ledger)
    ledger.close()
    file = ledger.database.folder / "ledger.sqlite3"
    file.unlink()
    file.mkdir()
    assert jobs.end(job(state="done"), [request]).files_here == ()
    assert jobs.since(0)[0].state == "done"


def test_a_damaged_history_is_set_aside_and_the_ledger_stays(
    open_jobs: Callable[[], JobHistory], ledger: Ledger, file: Path
) -> None:
    paid(ledger)
    file.write_bytes(b"no database" * 100)
    jobs = open_jobs()
    jobs.begin([job()])
    assert [found.id for found in jobs.since(0)] == ["1"]
    assert ledger.is_paid(NAME)
    assert [found.name.partition("-")[0] for found in file.parent.glob("*damaged*")] == [
        "history.damaged"
    ]


def test_a_ledger_that_is_set_aside_leaves_the_jobs(
    jobs: JobHistory, open_ledger: Callable[[], Ledger], ledger: Ledger
) -> None:
    jobs.begin([job()])
    jobs.end(job(state="done"), [paid(ledger)])
    ledger.close()
    (ledger.database.folder / "ledger.sqlite3").write_bytes(b"no database" * 100)
    assert open_ledger().is_paid(NAME)
    assert [(found.id, found.files_here) for found in jobs.since(0)] == [("1", (True,))]


def test_a_cleared_prompt_is_in_no_file_any_more(jobs: JobHistory, file: Path) -> None:
    words = "a secret garden"
    jobs.begin([job(prompt=words), job("2", prompt="a cat")])
    jobs.end(job(state="done"), [])
    assert held_by(file, words)
    jobs.clear()
    assert not held_by(file, words)
    assert held_by(file, "a cat")


def held_by(file: Path, words: str) -> bool:
    return any(words.encode() in found.read_bytes() for found in file.parent.glob("history*"))


def test_a_history_that_cannot_be_written_raises_a_ledger_error(
    jobs: JobHistory, tmp_path: Path
) -> None:
    (tmp_path / "siliconflow-ledger").write_text("a file is where the folder should be")
    with pytest.raises(LedgerError):
        jobs.begin([job()])
    with pytest.raises(LedgerError):
        jobs.since(0)


def test_a_reason_is_stored_in_every_language(jobs: JobHistory, file: Path) -> None:
    jobs.begin([job()])
    jobs.end(job(state="failed", reason=REASON), [])
    [(stored,)] = rows_of(file, "SELECT reason FROM jobs")
    assert json.loads(stored) == REASON.as_json()


def test_a_reason_that_lacks_a_language_is_read_in_the_default_one(
    jobs: JobHistory, file: Path
) -> None:
    jobs.begin([job()])
    jobs.end(job(state="failed", reason=REASON), [])
    rows = sqlite3.connect(file)
    with rows:
        rows.execute("""UPDATE jobs SET reason = '{"en": "why", "xx": "of later"}'""")
    rows.close()
    [found] = jobs.since(0)
    assert found.reason == Text("why")


def test_a_list_has_every_job_once_newest_first_in_pages(jobs: JobHistory) -> None:
    jobs.begin([job(f"{at:02}", BEGINNING + at // 5) for at in range(23)])
    pages = list(pages_of(jobs, JobSearch(), 5))
    assert [found.id for page in pages for found in page] == [
        f"{at:02}" for at in range(22, -1, -1)
    ]
    assert [len(page) for page in pages] == [5, 5, 5, 5, 3]


def test_a_search_is_continued_where_it_stopped(
    jobs: JobHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_module, "MAX_EXAMINED", 4)
    jobs.begin([job(f"{at}", BEGINNING + at, prompt=f"kite {at % 5}") for at in range(10)])
    pages = list(pages_of(jobs, JobSearch(("4", "KITE")), 5))
    assert [[found.id for found in page] for page in pages] == [["9"], ["4"], []]


def test_a_page_of_the_list_costs_as_many_steps_of_sqlite_however_many_jobs_are_stored(
    jobs: JobHistory,
) -> None:
    searches = [JobSearch(), JobSearch(("nowhere",), frozenset({"done"}))]
    costs = []
    for stored in (6000, 20_000):
        jobs.begin([job(f"{stored} {at}", BEGINNING + at) for at in range(stored)])
        middle = (BEGINNING + 5500, 1)
        for search in searches:
            steps: list[None] = []
            with jobs._database.read() as db:  # noqa: SLF001 - counts what SQLite does
                db.set_progress_handler(partial(steps.append, None), 10)
            jobs.page(search, 100, middle)
            with jobs._database.read() as db:  # noqa: SLF001 - as above
                db.set_progress_handler(None, 0)
            costs.append(len(steps))
    assert costs[0] > 10
    assert costs[2] < 1.5 * costs[0]
    assert costs[3] < 1.5 * costs[1]


def pages_of(jobs: JobHistory, search: JobSearch, limit: int) -> Iterator[list[JobRecord]]:
    page = jobs.page(search, limit)
    yield page.jobs
    while page.next:
        page = jobs.page(search, limit, page.next)
        yield page.jobs


def test_a_job_costs_as_many_steps_of_sqlite_however_many_are_stored(
    jobs: JobHistory, file: Path, clock: Clock
) -> None:
    jobs.begin([job("first")], {"nodes": 1})
    costs = []
    for stored in (100, 3000):
        rows = sqlite3.connect(file)
        rows.executemany(
            "INSERT INTO workflows VALUES (?, ?)",
            [(f"{stored} {at}", b"x") for at in range(stored)],
        )
        rows.executemany(
            "INSERT INTO jobs (id, owner, began_at, state, task, node_type, node_id, model, prompt,"
            " workflow) VALUES (?, '', ?, 'done', '', '', '', '', '', ?)",
            [(f"{stored} {at}", clock.now + at, f"{stored} {at}") for at in range(stored)],
        )
        rows.commit()
        rows.close()
        clock.now += 30 * DAY + 5  # six of them are too old now
        steps: list[None] = []
        with jobs._database.read() as db:  # noqa: SLF001 - counts what SQLite does
            db.set_progress_handler(partial(steps.append, None), 10)
        jobs.begin([job(f"new {stored}")], {"nodes": stored})
        jobs.end(job(f"new {stored}", state="done"), [])
        costs.append(len(steps))
        jobs.clear()
    assert costs[0] > 10
    assert costs[1] < 1.5 * costs[0]
