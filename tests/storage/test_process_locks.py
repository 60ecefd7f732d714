"""Whether another process runs is known from its lock, whatever comes in between."""

import errno
import os
import re
import threading
from collections import deque
from pathlib import Path

import pytest
from comfyui_siliconflow.storage import notices, process_locks
from comfyui_siliconflow.storage.process_locks import ProcessLock, exclusive


def test_a_lock_is_alive_for_others_until_it_is_released(tmp_path: Path) -> None:
    ours, other = ProcessLock(tmp_path), ProcessLock(tmp_path)
    assert ours.is_alive(other.token)
    assert not ours.is_alive(ours.token)
    assert not ours.is_alive("0" * 32)
    other.release()
    assert not ours.is_alive(other.token)
    ours.release()
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_starts_while_another_sweeps_is_never_taken_for_dead(tmp_path: Path) -> None:
    stop, watcher = threading.Event(), ProcessLock(tmp_path)

    def sweep() -> None:
        broom = ProcessLock(tmp_path)
        while not stop.is_set():
            broom.sweep()
        broom.release()

    sweepers = [threading.Thread(target=sweep, daemon=True) for _ in range(3)]
    for thread in sweepers:
        thread.start()
    leases = [ProcessLock(tmp_path) for _ in range(200)]
    stop.set()
    for thread in sweepers:
        thread.join(10)
    assert all(watcher.is_alive(lease.token) for lease in leases)
    for lease in (*leases, watcher):
        lease.release()


@pytest.mark.parametrize("code", [errno.ENOTSUP, errno.ENOSYS, errno.ENOLCK])
def test_a_drive_without_locks_is_told_once_and_left_without_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(process_locks, "_lock", refuse)
    monkeypatch.setattr(notices, "_last_told", {})
    monkeypatch.setattr(notices, "PENDING", deque())
    for _ in range(3):
        with pytest.raises(OSError, match=re.escape(os.strerror(code))):
            ProcessLock(tmp_path)
    assert list(tmp_path.iterdir()) == []
    [notice] = notices.PENDING
    assert "cannot lock files" in notice[0]


def test_a_lock_file_that_cannot_be_opened_is_nobodys_and_one_that_is_only_read_is_looked_at(
    tmp_path: Path,
) -> None:
    ours, other = ProcessLock(tmp_path), ProcessLock(tmp_path)
    assert not ours.is_alive("0" * 300)  # its name is too long
    (tmp_path / other.token).chmod(0o400)
    assert ours.is_alive(other.token)
    for lock in (ours, other):
        lock.release()


def test_a_file_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    file, inside, most = tmp_path / "folder" / "lock", [0], [0]

    def count() -> None:
        for _ in range(20):
            with exclusive(file):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                inside[0] -= 1

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]


def test_a_file_that_is_never_let_go_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_locks, "_HELD_SECONDS", 0.0)
    lock = tmp_path / "lock"
    with exclusive(lock), pytest.raises(BlockingIOError), exclusive(lock):
        raise AssertionError("it is held twice")
    with exclusive(lock):
        pass


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux")
def test_the_locks_of_ended_processes_are_deleted_where_open_files_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows, whose rule is played here for the files that this process has open."""
    unlink = Path.unlink

    def refuse_open(path: Path, missing_ok: bool = False) -> None:
        opened = (link.readlink() for link in Path("/proc/self/fd").iterdir() if link.is_symlink())
        if path in opened:
            raise PermissionError(path)
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(process_locks, "_DELETES_OPEN_FILES", False)
    monkeypatch.setattr(Path, "unlink", refuse_open)
    ours, other = ProcessLock(tmp_path), ProcessLock(tmp_path)
    (tmp_path / ("0" * 32)).touch()
    ours.sweep()
    assert {path.name for path in tmp_path.iterdir()} == {ours.token, other.token}
    for lock in (ours, other):
        lock.release()
