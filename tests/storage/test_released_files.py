"""Today's code reads everything that released code wrote: `fixtures/released`."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from comfyui_siliconflow.storage.accounts import account_id
from comfyui_siliconflow.storage.job_history import JobHistory
from comfyui_siliconflow.storage.ledger import (
    Ledger,
    LedgerEntry,
    LostRequest,
    ResponseMetadata,
    fingerprint,
)
from comfyui_siliconflow.storage.migrations import HISTORY, LEDGER
from comfyui_siliconflow.strings.text import Text
from comfyui_siliconflow.tests.storage.conftest import BEGINNING, Clock

RELEASED = Path(__file__).parent / "fixtures" / "released"
MIGRATE = """
import sqlite3, sys, time
from pathlib import Path
from comfyui_siliconflow.storage import database
from comfyui_siliconflow.storage.migrations import HISTORY, LEDGER

class Connection(sqlite3.Connection):
    def execute(self, statement, *values):
        result = super().execute(statement, *values)
        if "INSERT INTO totals" in statement:
            print("migrating", flush=True)
            time.sleep(60)
        return result

class Module:
    def __getattr__(self, name):
        return getattr(sqlite3, name)

    def connect(self, *place, **options):
        return sqlite3.connect(*place, factory=Connection, **options)

database.sqlite3 = Module()
steps = {"ledger": LEDGER, "history": HISTORY}[sys.argv[2]]
with database.Database(Path(sys.argv[1]) / "siliconflow-ledger", sys.argv[2], steps).read():
    pass
"""
MODEL = "Qwen/Qwen-Image"
URLS = ["https://files.example/1.png", "https://files.example/2.png"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(RELEASED, tmp_path / "data"))


@pytest.fixture
def ledger(folder: Path, clock: Clock) -> Iterator[Ledger]:
    ledger = Ledger(folder, clock=clock)
    yield ledger
    ledger.close()


@pytest.fixture
def history(ledger: Ledger, clock: Clock) -> Iterator[JobHistory]:
    history = JobHistory(
        ledger.database.folder,
        ledger.files_folder,
        ledger.file_names_of,
        max_age=30 * 86400,
        clock=clock,
    )
    yield history
    history.close()


def fingerprint_of(prompt: str) -> str:
    account = account_id("sk-fixture", "https://api.siliconflow.cn/v1")
    body = {"model": MODEL, "prompt": prompt, "batch_size": 2}
    return fingerprint(account, "images/generations", body)


def claim(ledger: Ledger, prompt: str) -> LedgerEntry:
    return ledger.claim(fingerprint_of(prompt), MODEL)


def version_of(file: Path) -> int:
    connection = sqlite3.connect(file)
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    connection.close()
    return version


def test_the_files_are_as_released_code_left_them() -> None:
    names = {path.name for path in (RELEASED / "siliconflow-ledger").iterdir()}
    assert names == {"ledger.sqlite3", "history.sqlite3", "pictures"}


def test_both_files_are_brought_to_the_newest_version(
    folder: Path, ledger: Ledger, history: JobHistory
) -> None:
    ledger.totals()
    history.since(0)
    assert version_of(folder / "siliconflow-ledger" / "ledger.sqlite3") == len(LEDGER)
    assert version_of(folder / "siliconflow-ledger" / "history.sqlite3") == len(HISTORY)


def test_a_migration_that_was_killed_is_done_by_the_next_process(
    folder: Path, ledger: Ledger, history: JobHistory
) -> None:
    for name in ("ledger", "history"):
        command = [sys.executable, "-c", MIGRATE, str(folder), name]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            assert process.stdout.readline() == "migrating\n"
            process.kill()
        assert version_of(folder / "siliconflow-ledger" / f"{name}.sqlite3") == 0
    assert claim(ledger, "stored").state == "stored"
    assert ledger.totals().requests == 4
    assert len(history.since(0)) == 6
    assert version_of(folder / "siliconflow-ledger" / "ledger.sqlite3") == len(LEDGER)


def test_a_stored_result_is_found_with_its_files(ledger: Ledger) -> None:
    entry = claim(ledger, "stored")
    assert (entry.state, entry.ticket) == ("stored", None)
    assert entry.metadata == ResponseMetadata("ti_stored", 22, 3.5, 4.5)
    assert [file.url for file in entry.files] == URLS
    assert [file.path and file.path.read_bytes()[:2] for file in entry.files] == [
        b"\x89P",
        b"\xff\xd8",
    ]


def test_a_result_that_is_no_image_is_found(ledger: Ledger) -> None:
    entry = claim(ledger, "mixed")
    assert entry.state == "stored"
    text, sound = (file.path for file in entry.files)
    assert text
    assert sound
    assert json.loads(text.read_bytes()) == {"text": "a cat / 猫"}
    assert sound.read_bytes().endswith(b"WAVE")


def test_an_answered_request_is_only_downloaded_while_its_urls_work(
    ledger: Ledger, clock: Clock
) -> None:
    entry = claim(ledger, "answered")
    assert entry.state == "answered"
    assert entry.metadata == ResponseMetadata("ti_answered", 11, 1.5, 2.5)
    assert [(file.url, bool(file.path)) for file in entry.files] == [
        (URLS[0], True),
        (URLS[1], False),
    ]
    clock.now += 3600
    entry = claim(ledger, "answered")
    assert (entry.state, [file.index for file in entry.files]) == ("stored", [0])


def test_a_damaged_file_is_downloaded_again_and_the_other_is_here(ledger: Ledger) -> None:
    entry = claim(ledger, "rot")
    assert entry.state == "answered"
    assert [bool(file.path) for file in entry.files] == [False, True]


@pytest.mark.parametrize("prompt", ["sent", "unknown"])
def test_a_request_of_unknown_outcome_is_reported(ledger: Ledger, prompt: str) -> None:
    entry = claim(ledger, prompt)
    assert (entry.state, entry.lost_request) == ("new", LostRequest(BEGINNING, ""))


@pytest.mark.parametrize("prompt", ["waiting", "failed", "never asked"])
def test_a_request_that_was_not_charged_is_new(ledger: Ledger, prompt: str) -> None:
    entry = claim(ledger, prompt)
    assert (entry.state, entry.lost_request) == ("new", None)


def test_nothing_is_lost_from_the_totals(ledger: Ledger) -> None:
    files = [path for path in ledger.files_folder.rglob("*") if path.is_file()]
    totals = ledger.totals()
    assert (totals.requests, totals.files) == (4, len(files) - 1)  # one was marked as damaged


def test_every_job_is_listed_with_its_state(history: JobHistory) -> None:
    jobs = history.since(0)
    assert [(job.id, job.state) for job in jobs] == [
        ("job-unsent", "cancelled"),
        ("job-running", "failed"),
        ("job-cancelled", "cancelled"),
        ("job-failed", "failed"),
        ("job-reused", "reused"),
        ("job-done", "done"),
    ]
    assert [job.began_at for job in jobs] == [BEGINNING + order for order in range(5, -1, -1)]
    assert {(job.model, job.task, job.node_type) for job in jobs} == {
        (MODEL, "text-to-image", "SiliconFlowTextToImage")
    }


def test_a_job_keeps_its_files_workflow_and_origin(history: JobHistory) -> None:
    job = history.find("job-done")
    assert job
    assert (job.seconds, job.trace_id, job.origins) == (4.5, "ti_stored", ("paid",))
    assert job.files_here == (True, True, True)
    paths = [history.file_path("job-done", index) for index in range(3)]
    assert [path and path.suffix for path in paths] == [".png", ".jpg", ".png"]
    workflow = json.loads(history.workflow("job-done") or b"")
    assert workflow["nodes"][0]["title"] == "画"
    assert history.workflow("job-unsent") is None


def test_reasons_are_read_in_both_languages(history: JobHistory) -> None:
    failed, unsent = history.find("job-failed"), history.find("job-unsent")
    assert failed
    assert unsent
    assert wordings(failed.reason) == ["The model is overloaded", "模型当前负载过高"]
    assert wordings(unsent.reason) == [
        "Not sent: another request of the same run had failed.",
        "没有发送：同一次运行中的另一个请求已失败。",
    ]


def wordings(reason: Text | None) -> list[str]:
    return [reason.in_language(language) for language in ("en", "zh")] if reason else []


def test_a_ledger_that_is_lost_is_rebuilt_from_the_released_files(
    folder: Path, ledger: Ledger
) -> None:
    (folder / "siliconflow-ledger" / "ledger.sqlite3").unlink()
    for prompt, count in (("stored", 2), ("mixed", 2), ("answered", 1), ("rot", 2)):
        entry = claim(ledger, prompt)
        assert (entry.state, len(entry.files)) == ("stored", count)


@pytest.mark.parametrize("is_lost", [False, True], ids=["database kept", "database lost"])
def test_what_released_code_wrote_may_have_a_former_name(
    folder: Path, ledger: Ledger, is_lost: bool
) -> None:
    if is_lost:
        (folder / "siliconflow-ledger" / "ledger.sqlite3").unlink()
    assert ledger.has_former_names()


def test_what_this_version_wrote_has_no_former_name(tmp_path: Path) -> None:
    with closing(Ledger(tmp_path / "new")) as ledger:
        claim(ledger, "new")
        assert not ledger.has_former_names()


def test_a_rebuild_that_released_code_did_not_finish_is_finished(
    folder: Path, ledger: Ledger
) -> None:
    """It committed its tables before the first row."""
    file = folder / "siliconflow-ledger" / "ledger.sqlite3"
    file.unlink()
    with closing(sqlite3.connect(file)) as connection:
        for statement in LEDGER[0]:
            connection.execute(statement)
    assert claim(ledger, "stored").state == "stored"
