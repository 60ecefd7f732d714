"""What is told about a disk, how often, and where a data folder lies badly."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from types import SimpleNamespace

import pytest
from comfyui_siliconflow.storage import notices
from comfyui_siliconflow.strings.text import use_language


@pytest.fixture(autouse=True)
def nothing_told(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(notices, "_last_told", {})
    notices.PENDING.clear()
    yield
    notices.PENDING.clear()


def test_each_sentence_is_told_once_an_hour(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = SimpleNamespace(now=5.0)
    monkeypatch.setattr(notices, "time", SimpleNamespace(monotonic=lambda: clock.now))
    for clock.now in (5.0, 3604.0, 3605.0):
        notices.tell("disk.no_folder_sync", folder="/data")
        notices.tell("disk.no_shared_memory", folder="/data")
    assert len(notices.PENDING) == 4
    assert len([entry for entry in caplog.records if entry.levelno == logging.WARNING]) == 4


def test_the_console_reads_it_in_the_language_in_use(caplog: pytest.LogCaptureFixture) -> None:
    use_language("zh")
    notices.tell("disk.no_folder_sync", folder="/data")
    assert "断电" in caplog.text


@pytest.mark.parametrize(
    ("folder", "service"),
    [
        (PureWindowsPath(r"C:\Users\x\OneDrive\ComfyUI\user"), "OneDrive"),
        (PureWindowsPath(r"C:\Users\x\OneDrive - Contoso\ComfyUI\user"), "OneDrive"),
        (PureWindowsPath(r"C:\Users\x\iCloudDrive\ComfyUI"), "iCloud Drive"),
        (PureWindowsPath(r"D:\Dropbox (Personal)\ComfyUI"), "Dropbox"),
        (PurePosixPath("/home/x/Dropbox/ComfyUI"), "Dropbox"),
        (PurePosixPath("/Users/x/Library/CloudStorage/Dropbox-Team/c"), "Dropbox"),
        (PurePosixPath("/Users/x/Library/CloudStorage/OneDrive-Personal"), "OneDrive"),
        (PurePosixPath("/Users/x/Library/Mobile Documents/com~apple~CloudDocs/c"), "iCloud Drive"),
        (PurePosixPath("/home/x/onedrive-tools/ComfyUI"), None),
        (PurePosixPath("/home/x/my dropbox backups/ComfyUI"), None),
        (PureWindowsPath(r"C:\ComfyUI\user\__siliconflow"), None),
    ],
)
def test_a_folder_that_a_service_synchronizes_is_recognized_by_its_name(
    folder: PurePath, service: str | None
) -> None:
    assert notices.cloud_service(folder) == service


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_a_link_into_a_synchronized_folder_is_followed(tmp_path: Path) -> None:
    (tmp_path / "Dropbox" / "data").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "Dropbox" / "data", target_is_directory=True)
    notices.tell_about_folder(tmp_path / "link")
    [notice] = notices.PENDING
    for wording in notice:
        assert str(tmp_path / "Dropbox" / "data") in wording
        assert "SILICONFLOW_DATA_DIR" in wording


def test_an_ordinary_folder_is_not_mentioned(tmp_path: Path) -> None:
    notices.tell_about_folder(tmp_path / "data")
    assert not notices.PENDING


@pytest.mark.parametrize(("length", "is_too_long"), [(138, False), (139, True)])
def test_a_folder_is_too_long_for_windows_if_our_longest_path_does_not_fit(
    length: int, is_too_long: bool
) -> None:
    folder = PureWindowsPath("C:\\" + "x" * (length - 3))
    assert notices.is_too_long_for_windows(folder) is is_too_long
