"""A file is complete or absent, whatever fails."""

import errno
import os
import sys
import threading
from pathlib import Path

import pytest
from comfyui_siliconflow.storage import atomic_files as files


def test_a_file_is_complete_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "folder" / "file"
    files.write(file, b"first")
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("died")))
    with pytest.raises(OSError, match="died"):
        files.write(file, b"second")
    assert file.read_bytes() == b"first"
    assert [item.name for item in file.parent.iterdir()] == ["file"]


def test_a_file_is_created_by_one_of_many(tmp_path: Path) -> None:
    results: list[bool] = []
    together = threading.Barrier(8)

    def create() -> None:
        together.wait()
        results.append(files.create(tmp_path / "folder" / "file"))

    threads = [threading.Thread(target=create) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [False] * 7 + [True]


@pytest.mark.skipif(sys.platform == "win32", reason="plays macOS, and needs Unix for that")
@pytest.mark.parametrize("is_refused", [False, True])
def test_on_macos_a_file_is_written_beyond_the_drives_cache_where_the_drive_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_refused: bool
) -> None:
    synced: list[str] = []

    def full_sync(_: int, command: int) -> None:
        if is_refused:
            raise OSError(errno.ENOTSUP, "not supported")
        synced.append(f"command {command}")

    monkeypatch.setattr(files, "_sync_folder", lambda _: None)
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr("fcntl.F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr("fcntl.fcntl", full_sync)
    monkeypatch.setattr(os, "fsync", lambda _: synced.append("fsync"))
    files.write(tmp_path / "file", b"content")
    assert synced == ["fsync" if is_refused else "command 51"]
