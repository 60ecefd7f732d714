"""A file has a version; it is complete or not there, whoever dies while it is created."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any

import pytest
from comfyui_siliconflow.storage import atomic_files, process_locks
from comfyui_siliconflow.storage import database as database_module
from comfyui_siliconflow.storage.database import Database, LedgerError
from comfyui_siliconflow.storage.job_history import JobHistory
from comfyui_siliconflow.storage.ledger import Ledger, ResponseMetadata
from comfyui_siliconflow.tests.storage.conftest import Clock

FIRST = ("CREATE TABLE IF NOT EXISTS cats (name TEXT)",)
SECOND = ("ALTER TABLE cats ADD COLUMN age INTEGER", "INSERT INTO cats VALUES ('Tom', 3)")
FINGERPRINTS = [letter * 64 for letter in "abc"]
REBUILD = """
import sys, time
from pathlib import Path
from comfyui_siliconflow.storage import ledger

size = ledger._size
calls = []

def size_of_some(entry):
    calls.append(1)
    if len(calls) == 2:
        print("rebuilding", flush=True)
        sys.stdin.readline()
    return size(entry)

ledger._size = size_of_some
print(ledger.Ledger(Path(sys.argv[1])).totals().files, flush=True)
"""

FEW_FILES = """
import os, resource, sys
from pathlib import Path
from comfyui_siliconflow.storage.database import LedgerError
from comfyui_siliconflow.storage.ledger import Ledger

ledger = Ledger(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
held = []
try:
    while True:
        held.append(os.open(os.devnull, 0))
except OSError:
    pass
for left in range(8):
    try:
        print(ledger.totals().files)
        break
    except LedgerError as error:
        print(error.text)
    os.close(held.pop())
"""

NEWER = """
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA journal_mode = WAL")
connection.execute("CREATE TABLE requests (id TEXT)")
connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
connection.execute("PRAGMA user_version = 99")
connection.execute("INSERT INTO requests VALUES ('newer')")
os._exit(1)
"""


@pytest.fixture
def open_database(tmp_path: Path) -> Iterator[Callable[..., Database]]:
    opened: list[Database] = []

    def make(*migrations: tuple[str, ...], **values: Any) -> Database:
        opened.append(Database(tmp_path, "cats", migrations, **values))
        return opened[-1]

    yield make
    for database in opened:
        database.close()


@pytest.fixture
def lost(tmp_path: Path, clock: Clock) -> Path:
    """Store three results, and lose the database."""
    ledger = Ledger(tmp_path, clock=clock)
    for fingerprint in FINGERPRINTS:
        entry = ledger.claim(fingerprint, "m")
        ledger.store_file(entry, 0, 1, b"\x89PNG")
        ledger.mark_answered(entry, ResponseMetadata(), [None])
    ledger.close()
    (tmp_path / "siliconflow-ledger" / "ledger.sqlite3").unlink()
    return tmp_path


def rows_of(database: Database) -> list[tuple[Any, ...]]:
    with database.read() as connection:
        return [tuple(row) for row in connection.execute("SELECT * FROM cats")]


def version_of(database: Database) -> int:
    with database.read() as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def contents_of(folder: Path) -> dict[str, bytes]:
    """Return every file but SQLite's shared memory, which holds locks and no data."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): path.read_bytes() for path in files if not path.name.endswith("-shm")}


def test_a_new_file_takes_every_step_and_is_filled_once(
    open_database: Callable[..., Database],
) -> None:
    def fill(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO cats VALUES ('filled', 1)")

    database = open_database(FIRST, SECOND, fill=fill)
    assert rows_of(database) == [("Tom", 3), ("filled", 1)]
    assert version_of(database) == 2
    assert rows_of(open_database(FIRST, SECOND, fill=fill)) == [("Tom", 3), ("filled", 1)]


def test_a_file_without_a_version_that_has_tables_is_version_1_as_it_stands(
    tmp_path: Path, open_database: Callable[..., Database]
) -> None:
    connection = sqlite3.connect(tmp_path / "cats.sqlite3")
    connection.execute(FIRST[0])
    connection.execute("INSERT INTO cats VALUES ('Kit')")
    connection.commit()
    connection.close()

    database = open_database(FIRST, SECOND)
    assert rows_of(database) == [("Kit", None), ("Tom", 3)]
    assert version_of(database) == 2


def test_only_the_missing_steps_are_taken(open_database: Callable[..., Database]) -> None:
    older = open_database(FIRST)
    assert rows_of(older) == []
    assert rows_of(open_database(FIRST, SECOND)) == [("Tom", 3)]
    assert rows_of(open_database(FIRST, SECOND)) == [("Tom", 3)]


def test_a_step_that_fails_leaves_the_file_as_it_was(
    open_database: Callable[..., Database],
) -> None:
    older = open_database(FIRST)
    assert rows_of(older) == []
    with pytest.raises(LedgerError, match="no such table"):
        rows_of(open_database(FIRST, (*SECOND, "INSERT INTO dogs VALUES (1)")))
    assert rows_of(older) == []
    assert version_of(older) == 1


def make_newer(file: Path) -> None:
    """Let another process write a newer version, and die with half of it in the log."""
    file.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-c", NEWER, str(file)], check=False)


def test_a_ledger_of_a_newer_version_is_refused_and_left_untouched(tmp_path: Path) -> None:
    folder = tmp_path / "siliconflow-ledger"
    make_newer(folder / "ledger.sqlite3")
    (folder / "pictures" / "aa").mkdir(parents=True)
    part = folder / "pictures" / "aa" / f"{'a' * 64}-{'b' * 32}-0of1.png.{'c' * 32}.part"
    part.write_bytes(b"")
    before = contents_of(folder)
    assert any(name.endswith("-wal") for name in before)
    ledger = Ledger(tmp_path)
    for use in (lambda: ledger.claim("a" * 64, "m"), ledger.totals, ledger.sweep, ledger.clear):
        with pytest.raises(LedgerError, match="update the nodes") as caught:
            use()
        assert "99" in caught.value.text.in_language("zh")
    ledger.close()
    assert contents_of(folder) == before


def test_a_history_of_a_newer_version_is_refused_and_left_untouched(tmp_path: Path) -> None:
    make_newer(tmp_path / "history.sqlite3")
    before = contents_of(tmp_path)
    history = JobHistory(tmp_path, tmp_path, lambda _: [], max_age=1)
    with pytest.raises(LedgerError, match="update the nodes"):
        history.since(0)
    history.close()
    assert contents_of(tmp_path) == before


def rebuild(folder: Path) -> subprocess.Popen[str]:
    """Start a process that stands still in the middle of rebuilding the ledger."""
    process = subprocess.Popen(
        [sys.executable, "-c", REBUILD, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "rebuilding\n"
    return process


def test_a_rebuild_that_was_killed_is_done_again_by_the_next_process(lost: Path) -> None:
    with rebuild(lost) as process:
        process.kill()
    ledger = Ledger(lost)
    ledger.sweep()
    assert [ledger.claim(item, "m").state for item in FINGERPRINTS] == ["stored"] * 3
    ledger.close()


def test_a_process_that_comes_during_a_rebuild_waits_for_all_of_it(
    lost: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for longer than for a lock that is not that of a rebuild."""
    monkeypatch.setattr(database_module, "_LOCK_SECONDS", 0.1)
    states: list[str] = []
    ledger = Ledger(lost)

    def claim_all() -> None:
        states.extend(ledger.claim(item, "m").state for item in FINGERPRINTS)

    with rebuild(lost) as process:
        thread = threading.Thread(target=claim_all, daemon=True)
        thread.start()
        thread.join(0.5)
        assert thread.is_alive()
        assert states == []
        assert process.communicate("go on\n", timeout=30)[0] == "3\n"
    thread.join(30)
    assert states == ["stored"] * 3
    ledger.close()


@pytest.fixture
def twenty(tmp_path: Path) -> dict[str, Path]:
    """Store twenty results, and lose the database. Return the file of each fingerprint."""
    files = {}
    ledger = Ledger(tmp_path)
    for number in range(20):
        fingerprint = f"{number % 10:02x}{number:062x}"  # two to a folder
        entry = ledger.claim(fingerprint, "m")
        ledger.store_file(entry, 0, 1, b"\x89PNG")
        ledger.mark_answered(entry, ResponseMetadata(), [None])
        ledger.mark_stored(entry)
        files[fingerprint] = ledger.files_folder / ledger.file_names_of(entry.id)[0]
    ledger.close()
    (tmp_path / "siliconflow-ledger" / "ledger.sqlite3").write_bytes(b"no database" * 100)
    return files


@pytest.fixture
def make_unreadable() -> Callable[[Path], Callable[[], None]]:
    """Put a link to itself in a path's place, which nobody can read, not even root."""
    if os.name == "nt":
        pytest.skip("links need rights on Windows")

    def swap(path: Path) -> Callable[[], None]:
        kept = path.rename(path.with_name(f"{path.name} kept"))
        path.symlink_to(path)

        def restore() -> None:
            path.unlink()
            kept.rename(path)

        return restore

    return swap


def states_of(folder: Path, fingerprints: Iterable[str]) -> list[str]:
    with closing(Ledger(folder)) as ledger:
        return [ledger.claim(item, "m").state for item in fingerprints]


def test_a_killed_rebuild_beside_an_unreadable_file_and_another_process_loses_nothing(
    tmp_path: Path,
    twenty: dict[str, Path],
    make_unreadable: Callable[[Path], Callable[[], None]],
) -> None:
    restore = make_unreadable(next(iter(twenty.values())))
    with rebuild(tmp_path) as killed, closing(Ledger(tmp_path)) as other:
        reader = threading.Thread(target=other.totals, daemon=True)
        reader.start()
        killed.kill()
        reader.join(30)
        assert not reader.is_alive()
        other.sweep()
    restore()
    assert states_of(tmp_path, twenty) == ["stored"] * 20


def test_a_file_that_cannot_be_read_now_is_not_paid_again(
    tmp_path: Path,
    twenty: dict[str, Path],
    make_unreadable: Callable[[Path], Callable[[], None]],
) -> None:
    fingerprint, file = next(iter(twenty.items()))
    restore = make_unreadable(file)
    assert states_of(tmp_path, [fingerprint]) == ["stored"]
    restore()
    assert states_of(tmp_path, twenty) == ["stored"] * 20


def test_a_folder_that_a_rebuild_could_not_read_is_read_when_it_can_be(
    tmp_path: Path,
    twenty: dict[str, Path],
    make_unreadable: Callable[[Path], Callable[[], None]],
) -> None:
    restore = make_unreadable(next(iter(twenty.values())).parent)
    with closing(Ledger(tmp_path)) as ledger:
        assert ledger.totals().files == 18
        restore()
        assert [ledger.claim(item, "m").state for item in twenty] == ["stored"] * 20
        assert ledger.totals().files == 20


@pytest.mark.skipif(os.name == "nt", reason="Windows renames no open file")
@pytest.mark.parametrize("is_busy", [False, True])
def test_a_process_whose_file_was_set_aside_goes_on_with_the_new_one(
    tmp_path: Path, is_busy: bool
) -> None:
    """It does not take the new file for the damaged one, and the new one keeps its log."""
    first, second = Ledger(tmp_path), Ledger(tmp_path)
    first.claim("a" * 64, "m")
    file = tmp_path / "siliconflow-ledger" / "ledger.sqlite3"
    log = file.with_name(f"{file.name}-wal")

    def set_aside() -> None:
        file.rename(file.with_name("ledger.damaged-1.sqlite3"))
        log.unlink()
        file.with_name(f"{file.name}-shm").unlink()
        second.claim("b" * 64, "m")

    def fail() -> None:
        with first.database.change():
            set_aside()
            raise sqlite3.DatabaseError("database disk image is malformed")

    if is_busy:
        with pytest.raises(LedgerError, match="damaged"):
            fail()
    else:
        set_aside()
    written = log.stat().st_ino
    assert first.claim("b" * 64, "m").state == "busy"
    assert log.stat().st_ino == written
    first.close()
    assert log.stat().st_ino == written
    second.close()
    assert len(list(file.parent.glob("ledger.damaged-*"))) == 1


@pytest.mark.parametrize("is_renamed", [False, True], ids=["before the rename", "after it"])
def test_a_process_that_meets_a_damaged_file_while_another_sets_it_aside_loses_nothing(
    open_database: Callable[..., Database],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_renamed: bool,
) -> None:
    """Its row is still in the log, which is all there is of it if it dies."""
    (tmp_path / "cats.sqlite3").write_bytes(b"no database" * 100)
    other, rename, recorded = open_database(FIRST), atomic_files.rename, []
    monkeypatch.setattr(process_locks, "_HELD_SECONDS", 0.0)

    def rename_beside_another(source: Path, target: Path) -> None:
        monkeypatch.setattr(atomic_files, "rename", rename)
        if is_renamed:
            rename(source, target)
        with contextlib.suppress(LedgerError), other.change() as connection:
            connection.execute("INSERT INTO cats VALUES ('Tom')")
            recorded.append(("Tom",))
        if not is_renamed:
            rename(source, target)

    monkeypatch.setattr(atomic_files, "rename", rename_beside_another)
    assert rows_of(open_database(FIRST)) == recorded
    assert rows_of(open_database(FIRST)) == recorded
    assert bool(recorded) is is_renamed
    with other.change() as connection:
        connection.execute("INSERT INTO cats VALUES ('Kit')")
    assert rows_of(open_database(FIRST)) == [*recorded, ("Kit",)]


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        (PurePosixPath("/a b/c#?.db"), "file:///a%20b/c%23%3F.db?mode=ro"),
        (PureWindowsPath(r"C:\a b\c#.db"), "file:///C:/a%20b/c%23.db?mode=ro"),
        (PureWindowsPath(r"\\nas\my share\c#.db"), "file:////nas/my%20share/c%23.db?mode=ro"),
    ],
)
def test_sqlite_opens_every_kind_of_path_and_sees_no_host_in_it(path: PurePath, uri: str) -> None:
    assert database_module.read_only_uri(path) == uri


def test_sqlite_takes_the_form_of_a_path_with_an_empty_host(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "a b#.db").close()
    (tmp_path / "a b#.db").touch()
    uri = database_module.read_only_uri(tmp_path / "a b#.db").replace("///", "////")
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (0,)


@pytest.mark.skipif(os.name == "nt", reason="needs a limit of open files, as Unix has")
def test_a_process_that_may_open_no_more_files_does_not_change_the_journal_of_the_ledger(
    tmp_path: Path,
) -> None:
    with closing(Ledger(tmp_path)) as ledger:
        ledger.totals()
    command = [sys.executable, "-c", FEW_FILES, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    *failures, files = done.stdout.splitlines()
    assert any("unable to open" in failure for failure in failures)
    assert files == "0"
    file = tmp_path / "siliconflow-ledger" / "ledger.sqlite3"
    assert file.read_bytes()[18:20] == b"\x02\x02", "not a write-ahead log"
    assert not done.stderr


def test_of_damaged_files_the_newest_two_are_kept(
    tmp_path: Path, open_database: Callable[..., Database], clock: Clock
) -> None:
    for _ in range(4):
        (tmp_path / "cats.sqlite3").write_bytes(b"no database" * 100)
        clock.now += 1
        with closing(open_database(FIRST, clock=clock)) as database:
            assert rows_of(database) == []
    kept = sorted(path.name for path in tmp_path.glob("cats.damaged-*"))
    assert kept == [
        f"cats.damaged-{int(clock.now) - 1}.sqlite3",
        f"cats.damaged-{int(clock.now)}.sqlite3",
    ]


def test_two_processes_that_rebuild_at_once_both_see_all_of_it(lost: Path) -> None:
    ledgers = [Ledger(lost) for _ in range(4)]
    totals: list[int] = []
    threads = [
        threading.Thread(target=lambda ledger=ledger: totals.append(ledger.totals().files))
        for ledger in ledgers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert totals == [3] * 4
    for ledger in ledgers:
        ledger.close()


def test_what_must_survive_a_power_failure_is_written_beyond_the_drives_cache(
    open_database: Callable[..., Database],
) -> None:
    """SQLite takes the setting everywhere, and needs it on macOS."""
    database = open_database(FIRST)
    for is_durable in (True, False):
        with database.change(durable=is_durable) as connection:
            assert connection.execute("PRAGMA fullfsync").fetchone()[0] == is_durable
