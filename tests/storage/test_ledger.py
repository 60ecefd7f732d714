"""What the ledger remembers, across restarts, crashes, other processes and damage."""

import os
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from comfyui_siliconflow.storage import atomic_files as files
from comfyui_siliconflow.storage import database as store
from comfyui_siliconflow.storage import ledger as ledger_module
from comfyui_siliconflow.storage.database import LedgerError
from comfyui_siliconflow.storage.job_history import JobHistory
from comfyui_siliconflow.storage.ledger import (
    Ledger,
    LedgerEntry,
    LostRequest,
    ResponseMetadata,
    Totals,
)
from comfyui_siliconflow.tests.storage.conftest import BEGINNING, Clock

METADATA = ResponseMetadata("t-1", 42, 1.5, 2.0)
PNG = b"\x89PNG the image"
FINGERPRINT = "a" * 64
LEDGER = "siliconflow-ledger"


@pytest.fixture
def open_ledger(tmp_path: Path, clock: Clock) -> Iterator[Callable[..., Ledger]]:
    """Open the ledger of one folder, as often as a test likes: each time is a new process's."""
    opened: list[Ledger] = []

    def make(**bounds: float) -> Ledger:
        opened.append(Ledger(tmp_path, clock=clock, **bounds))  # type: ignore[arg-type]
        return opened[-1]

    yield make
    for item in opened:
        item.close()


def claim(ledger: Ledger, name: str = FINGERPRINT) -> LedgerEntry:
    return ledger.claim(name, "vendor/model")


def paid(ledger: Ledger, name: str = FINGERPRINT, content: bytes = PNG) -> LedgerEntry:
    """Take a request all the way."""
    entry = claim(ledger, name)
    ledger.mark_sent(entry)
    ledger.mark_answered(entry, METADATA, ["https://x/1"])
    ledger.store_file(entry, 0, 1, content)
    ledger.mark_stored(entry)
    return entry


def test_an_unknown_request_is_new(open_ledger: Callable[..., Ledger]) -> None:
    entry = claim(open_ledger())
    assert (entry.state, entry.lost_request) == ("new", None)


def test_a_stored_result_is_found_after_a_restart(open_ledger: Callable[..., Ledger]) -> None:
    paid(open_ledger())
    entry = claim(open_ledger())
    assert (entry.state, entry.metadata) == ("stored", METADATA)
    assert entry.files[0].path
    assert entry.files[0].path.read_bytes() == PNG
    assert entry.files[0].path.suffix == ".png"


@pytest.mark.parametrize(
    ("start", "suffix"),
    [
        (b"ID3\x04 sound", ".mp3"),
        (b"\xff\xfb sound", ".mp3"),
        (b"\x00\x00\x00\x20ftypisom clip", ".mp4"),
        (b"\x1aE\xdf\xa3 clip", ".webm"),
        (b"RIFF\x24\x00\x00\x00WAVE sound", ".wav"),
        (b"nothing known", ".bin"),
    ],
)
def test_a_file_is_named_for_what_it_holds_and_found_again_if_the_database_is_lost(
    open_ledger: Callable[..., Ledger], start: bytes, suffix: str
) -> None:
    ledger = open_ledger()
    paid(ledger, content=start)
    [database] = ledger.database.folder.glob("*.sqlite3")
    ledger.close()
    for file in database.parent.glob("*.sqlite3*"):
        file.unlink()
    entry = claim(open_ledger())
    assert entry.state == "stored"
    assert entry.files[0].path
    assert entry.files[0].path.suffix == suffix


@pytest.mark.parametrize("is_lost", [False, True], ids=["database kept", "database lost"])
def test_what_is_saved_under_a_former_fingerprint_is_found_under_the_one_that_adopts_it(
    open_ledger: Callable[..., Ledger], is_lost: bool
) -> None:
    ledger, now = open_ledger(), "b" * 64
    paid(ledger)
    if is_lost:
        ledger.close()
        for file in ledger.database.folder.glob("*.sqlite3*"):
            file.unlink()
        ledger = open_ledger()
    ledger.adopt(FINGERPRINT, now)
    assert claim(ledger, now).state == "stored"
    assert not ledger.is_paid(FINGERPRINT)


def test_an_answered_request_is_only_downloaded_within_the_hour(
    open_ledger: Callable[..., Ledger], clock: Clock
) -> None:
    ledger = open_ledger()
    ledger.mark_answered(claim(ledger), METADATA, ["https://x/1", "https://x/2"])
    clock.now += 3599
    entry = claim(open_ledger())
    assert entry.state == "answered"
    assert [file.url for file in entry.files] == ["https://x/1", "https://x/2"]


def test_after_an_hour_the_files_are_lost_and_the_next_claim_says_so(
    open_ledger: Callable[..., Ledger], clock: Clock
) -> None:
    ledger = open_ledger()
    ledger.mark_answered(claim(ledger), METADATA, ["https://x/1"])
    sent_at, clock.now = clock.now, clock.now + 3600
    entry = claim(ledger)
    assert entry.state == "new"
    assert entry.lost_request == LostRequest(sent_at, "t-1")


def test_a_result_that_was_in_the_response_is_found_though_its_process_died_before_it_said_so(
    open_ledger: Callable[..., Ledger],
) -> None:
    ledger = open_ledger()
    entry = claim(ledger)
    ledger.mark_sent(entry)
    ledger.store_file(entry, 0, 2, PNG)
    assert claim(open_ledger()).state == "busy"
    ledger.close()
    assert not open_ledger().is_paid(FINGERPRINT)
    ledger.store_file(entry, 1, 2, PNG)
    found = claim(open_ledger())
    assert (found.id, found.state, len(found.files)) == (entry.id, "stored", 2)
    assert open_ledger().totals().requests == 1


def test_a_file_that_was_saved_and_not_recorded_is_found_when_its_url_is_dead(
    open_ledger: Callable[..., Ledger], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = open_ledger()
    entry = claim(ledger)
    ledger.mark_answered(entry, METADATA, ["https://x/1"])
    with monkeypatch.context() as patch:
        patch.setattr(ledger_module, "_record_file", lambda *_: None)
        ledger.store_file(entry, 0, 1, PNG)
    clock.now += 3600
    found = claim(open_ledger())
    assert (found.id, found.state, len(found.files)) == (entry.id, "stored", 1)
    assert open_ledger().totals() == Totals(1, 1, len(PNG))
    ledger.mark_damaged(entry, 0)
    assert claim(ledger).state == "new"


def test_of_a_partly_stored_result_only_the_rest_is_downloaded(
    open_ledger: Callable[..., Ledger],
) -> None:
    ledger = open_ledger()
    entry = claim(ledger)
    ledger.mark_answered(entry, METADATA, ["https://x/1", "https://x/2"])
    ledger.store_file(entry, 0, 2, PNG)
    found = claim(open_ledger())
    assert found.state == "answered"
    assert [bool(file.path) for file in found.files] == [True, False]


def test_a_request_of_a_living_process_is_busy(open_ledger: Callable[..., Ledger]) -> None:
    claim(open_ledger())
    assert claim(open_ledger()).state == "busy"


def test_a_sent_request_of_a_dead_process_has_an_unknown_outcome(
    open_ledger: Callable[..., Ledger],
) -> None:
    ledger = open_ledger()
    ledger.mark_sent(claim(ledger))
    ledger.close()
    entry = claim(open_ledger())
    assert entry.state == "new"
    assert entry.lost_request


def test_a_waiting_request_of_a_dead_process_was_never_sent(
    open_ledger: Callable[..., Ledger],
) -> None:
    ledger = open_ledger()
    entry = claim(ledger)
    ledger.mark_sent(entry)
    ledger.mark_waiting(entry)
    ledger.close()
    assert claim(open_ledger()).lost_request is None


def test_what_was_sent_before_a_request_that_a_dead_process_never_sent_is_not_forgotten(
    open_ledger: Callable[..., Ledger],
) -> None:
    for sends in (True, False):
        ledger = open_ledger()
        entry = claim(ledger)
        if sends:
            ledger.mark_sent(entry)
        ledger.close()
    assert claim(open_ledger()).lost_request


def test_an_unpaid_failure_leaves_no_lost_request(
    open_ledger: Callable[..., Ledger],
) -> None:
    ledger = open_ledger()
    ledger.mark_failed(claim(ledger), may_be_paid=False)
    assert claim(ledger).lost_request is None


def test_a_failure_that_may_be_paid_is_reported_to_the_next_claim(
    open_ledger: Callable[..., Ledger],
) -> None:
    ledger = open_ledger()
    ledger.mark_failed(claim(ledger), may_be_paid=True)
    assert claim(ledger).lost_request


def submitted(ledger: Ledger) -> LedgerEntry:
    """Take a request to where the service accepted it."""
    entry = claim(ledger)
    ledger.mark_sent(entry)
    ledger.mark_submitted(entry, "ticket-1")
    return entry


def test_a_submitted_request_keeps_its_ticket_and_is_not_sent_again(
    open_ledger: Callable[..., Ledger],
) -> None:
    ledger = open_ledger()
    entry = submitted(ledger)
    found = claim(ledger)
    assert (found.id, found.state, found.ticket) == (entry.id, "submitted", "ticket-1")
    ledger.close()
    found = claim(open_ledger())
    assert (found.id, found.state, found.ticket) == (entry.id, "submitted", "ticket-1")


def test_a_submitted_request_of_a_living_process_is_busy(
    open_ledger: Callable[..., Ledger],
) -> None:
    submitted(open_ledger())
    other = open_ledger()
    assert claim(other).state == "busy"
    assert other.is_paid(FINGERPRINT)


def test_a_process_that_claims_a_submitted_request_becomes_its_owner(
    open_ledger: Callable[..., Ledger],
) -> None:
    first, second, third = (open_ledger() for _ in range(3))
    submitted(first)
    first.close()
    assert claim(second).state == "submitted"
    assert claim(third).state == "busy"


def test_a_submitted_request_is_answered_like_any_other(open_ledger: Callable[..., Ledger]) -> None:
    ledger = open_ledger()
    entry = submitted(ledger)
    ledger.mark_answered(entry, METADATA, ["https://x/1"])
    assert (claim(ledger).state, claim(ledger).metadata) == ("answered", METADATA)
    ledger.store_file(entry, 0, 1, PNG)
    ledger.mark_stored(entry)
    assert claim(ledger).state == "stored"


def test_a_submitted_request_that_failed_is_sent_again(open_ledger: Callable[..., Ledger]) -> None:
    ledger = open_ledger()
    ledger.mark_failed(submitted(ledger), may_be_paid=False)
    entry = claim(ledger)
    assert (entry.state, entry.ticket, entry.lost_request) == ("new", None, None)


def test_a_submitted_request_is_kept_until_it_is_too_old(
    open_ledger: Callable[..., Ledger], clock: Clock
) -> None:
    ledger = open_ledger(max_age=100)
    submitted(ledger)
    ledger.close()
    other = open_ledger(max_age=100)
    other.clear()
    assert other.is_paid(FINGERPRINT)
    clock.now += 101
    other.prune()
    assert not other.is_paid(FINGERPRINT)


def test_asking_what_is_paid_changes_nothing(open_ledger: Callable[..., Ledger]) -> None:
    ledger = open_ledger()
    assert not ledger.is_paid(FINGERPRINT)
    paid(ledger)
    assert ledger.is_paid(FINGERPRINT)
    assert not ledger.is_paid("b" * 64)


def test_without_reuse_every_request_is_new(
    open_ledger: Callable[..., Ledger],
) -> None:
    ledger = open_ledger()
    paid(ledger)
    assert ledger.claim(FINGERPRINT, "vendor/model", reuse=False).state == "new"


def test_a_stored_file_that_is_gone_is_downloaded_again_while_its_url_works(
    open_ledger: Callable[..., Ledger], clock: Clock
) -> None:
    ledger = open_ledger()
    paid(ledger)
    for file in claim(ledger).files:
        assert file.path
        file.path.unlink()
    assert claim(ledger).state == "answered"
    clock.now += 3600
    assert claim(ledger).state == "new"


def test_the_oldest_files_are_deleted_when_there_are_too_many(
    open_ledger: Callable[..., Ledger], tmp_path: Path
) -> None:
    ledger = open_ledger(max_bytes=250)
    names = [letter * 64 for letter in "abcde"]
    for name in names:
        paid(ledger, name, PNG + name.encode())
    assert [ledger.is_paid(name) for name in names] == [False, False, True, True, True]
    assert (
        len([file for file in (tmp_path / LEDGER / "pictures").rglob("*") if file.is_file()]) == 3
    )


@pytest.mark.parametrize("bound", ["size", "age"])
def test_files_that_cannot_be_deleted_hold_up_no_deletion_of_others(
    open_ledger: Callable[..., Ledger], clock: Clock, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    monkeypatch.setattr(ledger_module, "_DELETED_AT_ONCE", 4)
    ledger = open_ledger()
    held = {ledger.file_names_of(paid(ledger, f"{number:064x}").id)[0] for number in range(9)}
    unlink = Path.unlink

    def refuse_held(path: Path, missing_ok: bool = False) -> None:
        if f"{path.parent.name}/{path.name}" in held:
            raise PermissionError(path)
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse_held)
    for number in range(9, 30):
        clock.now += 1
        paid(ledger, f"{number:064x}")
    if bound == "size":
        ledger.max_bytes = 12 * len(PNG)
    else:
        clock.now += 4000
        ledger.max_age = 4002
    for _ in range(20):
        ledger.prune()
    assert ledger.totals().files == 12
    assert all(ledger.is_paid(f"{number:064x}") for number in [*range(9), 28, 29])
    held.clear()
    ledger.max_bytes, ledger.max_age = 0, 1
    for _ in range(20):
        ledger.prune()
    assert ledger.totals() == Totals(0, 0, 0)


def test_a_file_that_was_saved_and_not_recorded_is_deleted_with_its_request(
    open_ledger: Callable[..., Ledger], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = open_ledger(max_age=4000)
    entry = claim(ledger)
    ledger.mark_answered(entry, METADATA, ["https://x/1"])
    with monkeypatch.context() as patch:
        patch.setattr(ledger_module, "_record_file", lambda *_: None)
        ledger.store_file(entry, 0, 1, PNG)
    clock.now += 4001
    ledger.prune()
    assert not [path for path in ledger.files_folder.rglob("*") if path.is_file()]


def test_files_are_deleted_when_they_are_too_old(
    open_ledger: Callable[..., Ledger], clock: Clock
) -> None:
    ledger = open_ledger(max_age=100)
    paid(ledger, "a" * 64)
    clock.now += 101
    paid(ledger, "b" * 64)
    assert (ledger.is_paid("a" * 64), ledger.is_paid("b" * 64)) == (False, True)


def test_a_request_under_way_is_not_deleted_however_old_it_is(
    open_ledger: Callable[..., Ledger], clock: Clock
) -> None:
    ledger = open_ledger(max_age=1)
    ours, other = claim(ledger, "a" * 64), open_ledger()
    theirs, answered = claim(other, "b" * 64), claim(ledger, "c" * 64)
    ledger.mark_sent(ours)
    other.mark_sent(theirs)
    ledger.mark_answered(answered, METADATA, ["https://x/1"])
    clock.now += 60
    paid(ledger, "d" * 64)
    assert [other.is_paid(letter * 64) for letter in "ac"] == [True, True]
    assert ledger.is_paid("b" * 64)
    other.close()
    clock.now += 3600
    paid(ledger, "d" * 64)
    assert [ledger.is_paid(letter * 64) for letter in "bc"] == [False, False]
    assert open_ledger().is_paid("a" * 64)


def test_partly_written_files_are_deleted_after_an_hour_and_complete_ones_never(
    open_ledger: Callable[..., Ledger], tmp_path: Path
) -> None:
    folder = tmp_path / LEDGER / "pictures"
    complete = folder / "ab" / f"{'ab' * 16}-{'c' * 16}-0of1.png"
    old, young = (folder / "parts" / f"{letter * 16}.part" for letter in "de")
    ledger = open_ledger()
    paid(ledger)
    for file in (complete, old, young):
        files.write(file, PNG)
        if file != young:
            os.utime(file, (0, 0))
    ledger.sweep()
    assert [file.exists() for file in (complete, old, young)] == [True, False, True]
    assert ledger.is_paid(FINGERPRINT)


def test_the_last_files_that_are_refused_are_kept_until_they_are_old_or_cleared(
    open_ledger: Callable[..., Ledger], tmp_path: Path
) -> None:
    ledger = open_ledger(max_age=100.0)
    paid(ledger)
    folder = tmp_path / LEDGER / "refused"

    def keep(name: str) -> Path:
        part = tmp_path / f"{name}.part"
        part.write_bytes(b"no video")
        return ledger.keep_refused(part, ".mp4")

    for age, name in enumerate("fedcba"):
        copy = keep(name)
        assert copy.read_bytes() == b"no video"
        os.utime(copy, (time.time() - 60 + age,) * 2)
    kept = sorted(folder.iterdir())
    assert [file.name for file in kept] == ["a.mp4", "b.mp4", "c.mp4", "d.mp4"]
    os.utime(kept[0], (0, 0))
    ledger.sweep()
    assert sorted(folder.iterdir()) == kept[1:]
    ledger.clear()
    assert not [*folder.iterdir()]
    assert ledger.totals().requests == 0


def test_a_file_that_is_being_written_is_among_the_parts(
    open_ledger: Callable[..., Ledger], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = tmp_path / LEDGER / "pictures" / "parts"
    seen: list[Path] = []
    monkeypatch.setattr(files, "rename", lambda part, _file: seen.append(part))
    paid(open_ledger())
    assert [part.parent for part in seen] == [parts]


def test_clearing_deletes_damaged_and_unknown_files_but_nothing_of_anybody_else(
    open_ledger: Callable[..., Ledger], tmp_path: Path
) -> None:
    ledger = open_ledger()
    damaged = paid(ledger)
    ledger.mark_damaged(damaged, 0)
    folder = tmp_path / LEDGER / "pictures" / "ab"
    unknown = folder / f"{'ab' * 32}-{'c' * 32}-0of1.png"
    part = unknown.with_name(f"{unknown.name}.{'d' * 32}.part")
    young, holiday = folder / f"{'ab' * 16}-{'e' * 16}-0of1.png", folder / "holiday.jpg"
    aside = [tmp_path / LEDGER / f"{name}.damaged-1.sqlite3" for name in ("ledger", "history")]
    for file in (unknown, part, young, holiday, *aside):
        files.write(file, PNG)
        if file != young:
            os.utime(file, (0, 0))
    ledger.clear()
    assert not list((tmp_path / LEDGER / "pictures" / "aa").iterdir())
    assert [file.exists() for file in (unknown, part, young, holiday)] == [False, False, True, True]
    assert [file.exists() for file in aside] == [False, True]
    history = JobHistory(ledger.database.folder, tmp_path, ledger.file_names_of, max_age=1)
    with closing(history):
        history.clear()
    assert not aside[1].exists()


def test_a_damaged_file_counts_until_its_request_is_deleted_for_the_bound(
    open_ledger: Callable[..., Ledger], tmp_path: Path, clock: Clock
) -> None:
    ledger = open_ledger(max_bytes=2 * len(PNG))
    ledger.mark_damaged(paid(ledger), 0)
    assert ledger.totals().size == len(PNG)
    clock.now += 3600
    for letter in "bc":
        paid(ledger, letter * 64)
    assert ledger.totals().size == 2 * len(PNG)
    assert not list((tmp_path / LEDGER / "pictures" / "aa").iterdir())


def test_the_totals_are_those_of_the_files_after_whatever_happens_to_them(
    open_ledger: Callable[..., Ledger], clock: Clock
) -> None:
    ledger = open_ledger()
    paid(ledger, "b" * 64)
    entry = paid(ledger)
    ledger.mark_damaged(entry, 0)
    ledger.store_file(entry, 0, 1, PNG + b" once more")
    ledger.mark_answered(claim(ledger, "c" * 64), METADATA, ["https://x/1", "https://x/2"])
    ledger.mark_failed(claim(ledger, "d" * 64), may_be_paid=True)
    assert ledger.totals() == Totals(3, 2, 2 * len(PNG) + len(" once more"))
    assert [file.path for file in claim(ledger).files] != [None]
    ledger.discard(claim(ledger, "b" * 64).id)
    assert ledger.totals().requests == 2
    clock.now += 3600
    ledger.clear()
    assert ledger.totals() == Totals(0, 0, 0)


def test_what_is_too_much_is_deleted_a_bounded_number_at_a_time(
    open_ledger: Callable[..., Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "_DELETED_AT_ONCE", 2)
    ledger = open_ledger()
    for number in range(6):
        paid(ledger, f"{number:064x}")
    ledger.max_bytes = len(PNG)
    left = []
    for _ in range(4):
        ledger.prune()
        left.append(ledger.totals().requests)
    assert left == [4, 2, 1, 1]
    assert ledger.is_paid(f"{5:064x}")


def test_a_request_costs_as_many_steps_of_sqlite_however_much_is_stored(
    open_ledger: Callable[..., Ledger],
) -> None:
    ledger, costs = open_ledger(max_bytes=1000), []
    for stored in (100, 5000):
        add_results(ledger, stored)
        ledger.max_bytes = ledger.totals().size
        steps = count_steps(ledger)
        paid(ledger, f"{stored:064x}")
        ledger.totals()
        costs.append(len(steps))
    assert costs[0] > 100
    assert costs[1] < 1.2 * costs[0]


def add_results(ledger: Ledger, count: int) -> None:
    """Record results with a file of a byte each, and as many older requests that failed."""
    with ledger.database.change() as db:
        db.executemany(
            "INSERT INTO requests (id, fingerprint, model, state, owner, sent_at)"
            " VALUES (?, ?, '', 'failed', '', ?)",
            [(uuid.uuid4().hex, "f" * 64, BEGINNING - 2) for _ in range(count)],
        )
        ids = [uuid.uuid4().hex for _ in range(count)]
        db.executemany(
            "INSERT INTO requests (id, fingerprint, model, state, owner, sent_at)"
            " VALUES (?, ?, '', 'stored', '', ?)",
            [(id_, id_ * 2, BEGINNING - 1) for id_ in ids],
        )
        db.executemany(
            "INSERT INTO pictures (request, place, file, bytes) VALUES (?, 0, ?, 1)",
            [(id_, f"{id_[:2]}/{id_}.png") for id_ in ids],
        )


def count_steps(ledger: Ledger) -> list[None]:
    """Return a list that grows with each ten instructions of SQLite's machine from now on."""
    steps: list[None] = []
    with ledger.database.read() as db:
        db.set_progress_handler(partial(steps.append, None), 10)
    return steps


def test_clearing_goes_on_past_what_is_under_way(
    open_ledger: Callable[..., Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "_CLEARED_AT_ONCE", 2)
    ledger = open_ledger()
    under_way = [claim(ledger, f"{number:064x}") for number in range(3)]
    for number in range(3, 8):
        paid(ledger, f"{number:064x}")
    ledger.clear()
    assert ledger.totals() == Totals(0, 0, 0)
    for entry in under_way:
        ledger.mark_answered(entry, METADATA, ["https://x/1"])
        assert ledger.is_paid(entry.fingerprint)


def test_a_record_whose_file_cannot_be_deleted_stays_for_the_next_time(
    open_ledger: Callable[..., Ledger], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = open_ledger()
    paid(ledger)

    def fail(*_: object, **__: object) -> None:
        raise PermissionError

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", fail)
        ledger.clear()
    assert ledger.is_paid(FINGERPRINT)
    ledger.clear()
    assert not ledger.is_paid(FINGERPRINT)
    assert not list((tmp_path / LEDGER / "pictures").rglob("*.png"))


def test_a_lost_database_is_rebuilt_from_the_names_of_the_files(
    open_ledger: Callable[..., Ledger], tmp_path: Path
) -> None:
    ledger = open_ledger()
    paid(ledger)
    ledger.close()
    (tmp_path / LEDGER / "ledger.sqlite3").write_bytes(b"no database" * 100)
    entry = claim(open_ledger())
    assert entry.state == "stored"
    assert entry.files[0].path
    assert entry.files[0].path.read_bytes() == PNG


def test_a_missing_record_does_not_count_as_damage(
    open_ledger: Callable[..., Ledger], tmp_path: Path
) -> None:
    ledger = open_ledger()
    paid(ledger)
    with pytest.raises(LedgerError):
        ledger.store_file(LedgerEntry("f" * 32, "b" * 64, "new"), 0, 1, PNG)
    assert ledger.is_paid(FINGERPRINT)
    assert not list((tmp_path / LEDGER).glob("ledger.damaged-*"))


def test_a_request_under_way_is_not_pruned_for_its_size(open_ledger: Callable[..., Ledger]) -> None:
    ledger = open_ledger(max_bytes=1)
    entry = claim(ledger)
    ledger.mark_answered(entry, METADATA, ["https://x/1", "https://x/2"])
    ledger.store_file(entry, 0, 2, PNG)
    ledger.prune()
    assert ledger.is_paid(FINGERPRINT)


def test_after_an_hour_the_files_that_are_stored_are_still_found(
    open_ledger: Callable[..., Ledger], clock: Clock
) -> None:
    ledger = open_ledger()
    entry = claim(ledger)
    ledger.mark_answered(entry, METADATA, ["https://x/1", "https://x/2"])
    ledger.store_file(entry, 1, 2, PNG)
    clock.now += 3600
    found = claim(ledger)
    assert (found.state, [file.index for file in found.files]) == ("stored", [1])


def test_a_damaged_file_leaves_the_others_usable(
    open_ledger: Callable[..., Ledger], clock: Clock
) -> None:
    ledger = open_ledger()
    entry = claim(ledger)
    ledger.mark_answered(entry, METADATA, ["https://x/1", "https://x/2"])
    for place in (0, 1):
        ledger.store_file(entry, place, 2, PNG)
    clock.now += 3600
    ledger.mark_damaged(entry, 0)
    found = claim(ledger)
    assert (found.state, [file.index for file in found.files]) == ("stored", [1])


@pytest.mark.parametrize("damage", [b"no database" * 100, b"SQLite format 3\0" + b"x" * 5000])
def test_a_damaged_ledger_is_set_aside_and_a_new_one_created(
    open_ledger: Callable[..., Ledger], tmp_path: Path, damage: bytes
) -> None:
    (tmp_path / LEDGER).mkdir()
    (tmp_path / LEDGER / "ledger.sqlite3").write_bytes(damage)
    ledger = open_ledger()
    paid(ledger)
    assert ledger.is_paid(FINGERPRINT)
    [aside] = (tmp_path / LEDGER).glob("ledger.damaged-*")
    assert aside.read_bytes() == damage


def test_a_locked_ledger_is_an_error_after_a_while(
    open_ledger: Callable[..., Ledger], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_LOCK_SECONDS", 0.1)
    ledger = open_ledger()
    paid(ledger)
    other = sqlite3.connect(tmp_path / LEDGER / "ledger.sqlite3")
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(LedgerError, match="locked"):
        claim(ledger, "b" * 64)
    other.close()
    assert claim(ledger, "b" * 64).state == "new"


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError):
        claim(Ledger(tmp_path / "file" / "below"))


def test_a_full_disk_is_an_error_and_leaves_no_half_file(
    open_ledger: Callable[..., Ledger], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = open_ledger()
    entry = claim(ledger)

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(LedgerError, match="the disk is full"):
        ledger.store_file(entry, 0, 2, PNG)
    assert [file for file in (tmp_path / LEDGER / "pictures").rglob("*") if file.is_file()] == []


def test_two_threads_that_claim_at_once_send_once(open_ledger: Callable[..., Ledger]) -> None:
    books = [open_ledger() for _ in range(8)]
    states: list[str] = []
    threads = [
        threading.Thread(target=lambda ledger=ledger: states.append(claim(ledger).state))
        for ledger in books
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(states) == ["busy"] * 7 + ["new"]


def test_a_killed_process_releases_its_requests(
    open_ledger: Callable[..., Ledger], tmp_path: Path
) -> None:
    program = f"""
import time
from pathlib import Path
from comfyui_siliconflow.storage.ledger import Ledger
ledger = Ledger(Path({str(tmp_path)!r}))
ledger.mark_sent(ledger.claim("a" * 64, "model"))
print("claimed", flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as other:
        assert other.stdout
        assert other.stdout.readline() == b"claimed\n"
        assert claim(open_ledger()).state == "busy"
        other.kill()
        other.wait()
    entry = claim(open_ledger())
    assert entry.state == "new"
    assert entry.lost_request
