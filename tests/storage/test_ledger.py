"""What the ledger remembers, across restarts, crashes, other processes and damage."""

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from comfyui_siliconflow.storage import atomic_files as files
from comfyui_siliconflow.storage import database as store
from comfyui_siliconflow.storage.database import LedgerError
from comfyui_siliconflow.storage.fingerprints import account_of, fingerprint
from comfyui_siliconflow.storage.ledger import Entry, Ledger, LostRequest, ResponseMetadata
from comfyui_siliconflow.storage.process_locks import ProcessLock
from comfyui_siliconflow.tests.storage.conftest import Clock

FACTS = ResponseMetadata("t-1", 42, 1.5, 2.0)
PNG = b"\x89PNG the picture"
NAME = "a" * 64
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


def claim(book: Ledger, name: str = NAME) -> Entry:
    return book.claim(name, "vendor/model")


def paid(book: Ledger, name: str = NAME, content: bytes = PNG) -> Entry:
    """Take a request all the way."""
    entry = claim(book, name)
    book.sent(entry)
    book.answered(entry, FACTS, ["https://x/1"])
    book.store(entry, 0, 1, content)
    book.finish(entry)
    return entry


def test_a_request_that_nobody_knows_is_new(open_ledger: Callable[..., Ledger]) -> None:
    entry = claim(open_ledger())
    assert (entry.state, entry.earlier) == ("new", None)


def test_what_is_stored_is_found_after_a_restart(open_ledger: Callable[..., Ledger]) -> None:
    paid(open_ledger())
    entry = claim(open_ledger())
    assert (entry.state, entry.facts) == ("stored", FACTS)
    assert entry.pictures[0].file
    assert entry.pictures[0].file.read_bytes() == PNG
    assert entry.pictures[0].file.suffix == ".png"


def test_what_is_answered_is_only_downloaded_for_an_hour(
    open_ledger: Callable[..., Ledger], clock: Clock
) -> None:
    book = open_ledger()
    book.answered(claim(book), FACTS, ["https://x/1", "https://x/2"])
    clock.now += 3599
    entry = claim(open_ledger())
    assert entry.state == "answered"
    assert [picture.url for picture in entry.pictures] == ["https://x/1", "https://x/2"]


def test_after_an_hour_the_pictures_are_lost_and_the_next_request_says_so(
    open_ledger: Callable[..., Ledger], clock: Clock
) -> None:
    book = open_ledger()
    book.answered(claim(book), FACTS, ["https://x/1"])
    sent_at, clock.now = clock.now, clock.now + 3600
    entry = claim(book)
    assert entry.state == "new"
    assert entry.earlier == LostRequest(sent_at, "t-1")


def test_of_an_answer_in_part_stored_only_the_rest_is_downloaded(
    open_ledger: Callable[..., Ledger],
) -> None:
    book = open_ledger()
    entry = claim(book)
    book.answered(entry, FACTS, ["https://x/1", "https://x/2"])
    book.store(entry, 0, 2, PNG)
    found = claim(open_ledger())
    assert found.state == "answered"
    assert [bool(picture.file) for picture in found.pictures] == [True, False]


def test_a_request_of_a_living_process_is_busy(open_ledger: Callable[..., Ledger]) -> None:
    claim(open_ledger())
    assert claim(open_ledger()).state == "busy"


def test_a_request_of_a_process_that_ended_has_an_unknown_fate(
    open_ledger: Callable[..., Ledger],
) -> None:
    book = open_ledger()
    book.sent(claim(book))
    book.close()
    entry = claim(open_ledger())
    assert entry.state == "new"
    assert entry.earlier


def test_a_request_that_had_not_left_when_its_process_ended_has_no_fate(
    open_ledger: Callable[..., Ledger],
) -> None:
    book = open_ledger()
    entry = claim(book)
    book.sent(entry)
    book.waiting(entry)
    book.close()
    assert claim(open_ledger()).earlier is None


def test_a_failure_that_was_surely_not_paid_leaves_no_trace(
    open_ledger: Callable[..., Ledger],
) -> None:
    book = open_ledger()
    book.failed(claim(book), paid=False)
    assert claim(book).earlier is None


def test_a_failure_that_may_have_been_paid_is_told_to_the_next_request(
    open_ledger: Callable[..., Ledger],
) -> None:
    book = open_ledger()
    book.failed(claim(book), paid=True)
    assert claim(book).earlier


def test_looking_costs_nothing_and_changes_nothing(open_ledger: Callable[..., Ledger]) -> None:
    book = open_ledger()
    assert not book.look(NAME)
    paid(book)
    assert book.look(NAME)
    assert not book.look("b" * 64)


def test_without_reuse_nothing_that_was_done_before_is_looked_at(
    open_ledger: Callable[..., Ledger],
) -> None:
    book = open_ledger()
    paid(book)
    assert book.claim(NAME, "vendor/model", reuse=False).state == "new"


def test_a_stored_file_that_is_gone_is_downloaded_again_while_its_url_works(
    open_ledger: Callable[..., Ledger], clock: Clock
) -> None:
    book = open_ledger()
    paid(book)
    for file in claim(book).pictures:
        assert file.file
        file.file.unlink()
    assert claim(book).state == "answered"
    clock.now += 3600
    assert claim(book).state == "new"


def test_the_oldest_pictures_go_when_there_are_too_many(
    open_ledger: Callable[..., Ledger], tmp_path: Path
) -> None:
    book = open_ledger(most_bytes=250)
    names = [letter * 64 for letter in "abcde"]
    for name in names:
        paid(book, name, PNG + name.encode())
    assert [book.look(name) for name in names] == [False, False, True, True, True]
    assert (
        len([file for file in (tmp_path / LEDGER / "pictures").rglob("*") if file.is_file()]) == 3
    )


def test_pictures_go_when_they_are_too_old(
    open_ledger: Callable[..., Ledger], clock: Clock
) -> None:
    book = open_ledger(most_seconds=100)
    paid(book, "a" * 64)
    clock.now += 101
    paid(book, "b" * 64)
    assert (book.look("a" * 64), book.look("b" * 64)) == (False, True)


def test_what_is_on_its_way_stays_however_old_it_is(
    open_ledger: Callable[..., Ledger], clock: Clock
) -> None:
    book = open_ledger(most_seconds=1)
    ours, other = claim(book, "a" * 64), open_ledger()
    theirs, answered = claim(other, "b" * 64), claim(book, "c" * 64)
    book.sent(ours)
    other.sent(theirs)
    book.answered(answered, FACTS, ["https://x/1"])
    clock.now += 60
    paid(book, "d" * 64)
    assert [other.look(letter * 64) for letter in "ac"] == [True, True]
    assert book.look("b" * 64)
    other.close()
    clock.now += 3600
    paid(book, "d" * 64)
    assert [book.look(letter * 64) for letter in "bc"] == [False, False]
    assert open_ledger().look("a" * 64)


def test_files_that_no_record_knows_are_removed_after_an_hour(
    open_ledger: Callable[..., Ledger], tmp_path: Path
) -> None:
    folder = tmp_path / LEDGER / "pictures" / "ab"
    name = f"{'ab' * 32}-{'c' * 32}-0of1.png"
    ours = [
        folder / f"{name}.{'d' * 32}.part",
        folder / name,
        folder / name.replace("0of1", "0of2"),
    ]
    book = open_ledger()
    paid(book)
    for file in (*ours, folder / "holiday.jpg"):
        files.write(file, PNG)
        os.utime(file, (0, 0))
    os.utime(ours[2])
    book.sweep()
    assert [file.exists() for file in ours] == [False, False, True]
    assert (folder / "holiday.jpg").exists()
    assert book.look(NAME)


def test_lost_records_are_made_anew_from_the_names_of_the_pictures(
    open_ledger: Callable[..., Ledger], tmp_path: Path
) -> None:
    book = open_ledger()
    paid(book)
    book.close()
    (tmp_path / LEDGER / "ledger.sqlite3").write_bytes(b"no database" * 100)
    entry = claim(open_ledger())
    assert entry.state == "stored"
    assert entry.pictures[0].file
    assert entry.pictures[0].file.read_bytes() == PNG


def test_a_record_that_is_gone_does_not_make_the_ledger_a_damaged_one(
    open_ledger: Callable[..., Ledger], tmp_path: Path
) -> None:
    book = open_ledger()
    paid(book)
    with pytest.raises(LedgerError):
        book.store(Entry("f" * 32, "b" * 64, "new"), 0, 1, PNG)
    assert book.look(NAME)
    assert not list((tmp_path / LEDGER).glob("ledger.damaged-*"))


def test_a_request_at_work_is_not_pruned_for_its_size(open_ledger: Callable[..., Ledger]) -> None:
    book = open_ledger(most_bytes=1)
    entry = claim(book)
    book.answered(entry, FACTS, ["https://x/1", "https://x/2"])
    book.store(entry, 0, 2, PNG)
    book.prune()
    assert book.look(NAME)


def test_of_an_answer_whose_urls_have_died_what_is_stored_is_still_had(
    open_ledger: Callable[..., Ledger], clock: Clock
) -> None:
    book = open_ledger()
    entry = claim(book)
    book.answered(entry, FACTS, ["https://x/1", "https://x/2"])
    book.store(entry, 1, 2, PNG)
    clock.now += 3600
    found = claim(book)
    assert (found.state, [picture.place for picture in found.pictures]) == ("stored", [1])


def test_a_damaged_picture_does_not_take_the_others_with_it(
    open_ledger: Callable[..., Ledger], clock: Clock
) -> None:
    book = open_ledger()
    entry = claim(book)
    book.answered(entry, FACTS, ["https://x/1", "https://x/2"])
    for place in (0, 1):
        book.store(entry, place, 2, PNG)
    clock.now += 3600
    book.damaged(entry, 0)
    found = claim(book)
    assert (found.state, [picture.place for picture in found.pictures]) == ("stored", [1])


def test_a_process_that_starts_while_another_sweeps_is_never_taken_for_dead(tmp_path: Path) -> None:
    stop, watcher = threading.Event(), ProcessLock(tmp_path)

    def sweep() -> None:
        broom = ProcessLock(tmp_path)
        while not stop.is_set():
            broom.sweep()
        broom.end()

    sweepers = [threading.Thread(target=sweep, daemon=True) for _ in range(3)]
    for thread in sweepers:
        thread.start()
    leases = [ProcessLock(tmp_path) for _ in range(200)]
    stop.set()
    for thread in sweepers:
        thread.join(10)
    assert all(watcher.lives(lease.token) for lease in leases)
    for lease in (*leases, watcher):
        lease.end()


@pytest.mark.parametrize("damage", [b"no database" * 100, b"SQLite format 3\0" + b"x" * 5000])
def test_a_damaged_ledger_is_kept_aside_and_a_new_one_begun(
    open_ledger: Callable[..., Ledger], tmp_path: Path, damage: bytes
) -> None:
    (tmp_path / LEDGER).mkdir()
    (tmp_path / LEDGER / "ledger.sqlite3").write_bytes(damage)
    book = open_ledger()
    paid(book)
    assert book.look(NAME)
    [aside] = (tmp_path / LEDGER).glob("ledger.damaged-*")
    assert aside.read_bytes() == damage


def test_a_locked_ledger_is_an_error_after_a_while(
    open_ledger: Callable[..., Ledger], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_LOCK_SECONDS", 0.1)
    book = open_ledger()
    paid(book)
    other = sqlite3.connect(tmp_path / LEDGER / "ledger.sqlite3")
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(LedgerError, match="locked"):
        claim(book, "b" * 64)
    other.close()
    assert claim(book, "b" * 64).state == "new"


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError):
        claim(Ledger(tmp_path / "file" / "below"))


def test_a_full_disk_is_an_error_and_leaves_no_half_file(
    open_ledger: Callable[..., Ledger], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = open_ledger()
    entry = claim(book)

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(LedgerError, match="No space left"):
        book.store(entry, 0, 2, PNG)
    assert [file for file in (tmp_path / LEDGER / "pictures").rglob("*") if file.is_file()] == []


def test_two_threads_that_claim_at_once_send_once(open_ledger: Callable[..., Ledger]) -> None:
    books = [open_ledger() for _ in range(8)]
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda book=book: found.append(claim(book).state)) for book in books
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == ["busy"] * 7 + ["new"]


def test_a_killed_process_gives_its_requests_up(
    open_ledger: Callable[..., Ledger], tmp_path: Path
) -> None:
    program = f"""
import time
from pathlib import Path
from comfyui_siliconflow.storage.ledger import Ledger
book = Ledger(Path({str(tmp_path)!r}))
book.sent(book.claim("a" * 64, "model"))
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
    assert entry.earlier


def test_a_request_is_the_same_for_the_same_account_endpoint_and_body() -> None:
    body = {"model": "m", "prompt": "x", "seed": 1}
    same = fingerprint("account", "images/generations", dict(reversed(body.items())))
    assert fingerprint("account", "images/generations", body) == same
    others = [
        fingerprint("other", "images/generations", body),
        fingerprint("account", "audio/speech", body),
        fingerprint("account", "images/generations", {**body, "seed": 2}),
    ]
    assert len({same, *others}) == 4


def test_an_account_s_name_does_not_give_its_key_away() -> None:
    name = account_of("sk-secret", "https://api.siliconflow.cn/v1")
    assert "secret" not in name
    assert name != account_of("sk-secret", "https://api.siliconflow.com/v1")
    assert name != account_of("sk-other", "https://api.siliconflow.cn/v1")


def test_a_file_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "folder" / "file"
    files.write(file, b"first")
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("died")))
    with pytest.raises(OSError, match="died"):
        files.write(file, b"second")
    assert file.read_bytes() == b"first"
    assert [item.name for item in file.parent.iterdir()] == ["file"]
