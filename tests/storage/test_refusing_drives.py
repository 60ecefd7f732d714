"""On drives that refuse something, what can be saved is saved, and the rest is told once.

`refusing_drive.c` is preloaded into a process of its own, for which a folder of this machine then
behaves as such a drive does; SQLite sees the same drive.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from comfyui_siliconflow.tests.refusing_drive import compile_library, variables

PAY = """
import sys
from pathlib import Path
from comfyui_siliconflow.storage import notices
from comfyui_siliconflow.storage.job_history import JobHistory, JobRecord
from comfyui_siliconflow.storage.ledger import Ledger, ResponseMetadata

ledger = Ledger(Path(sys.argv[1]))
history = JobHistory(ledger.database.folder, ledger.files_folder, ledger.file_names_of, max_age=9e9)
for number in range(int(sys.argv[2]), int(sys.argv[3])):
    entry = ledger.claim(f"{number:064x}", "m")
    if entry.state == "new":
        history.begin([JobRecord(str(number), 1.0)])
        ledger.mark_sent(entry)
        ledger.mark_answered(entry, ResponseMetadata(), ["https://x/1"])
        ledger.store_file(entry, 0, 1, b"\\x89PNG")
        ledger.mark_stored(entry)
        history.end(JobRecord(str(number), 1.0, state="done"), [entry.id])
    print(entry.state)
ledger.close()
for notice in notices.PENDING:
    print(notice)
"""
SETTINGS = """
import sys
from pathlib import Path
from comfyui_siliconflow.storage import notices, settings

for _ in range(3):
    print(settings.load(Path(sys.argv[1]), {}).require_key())
for notice in notices.PENDING:
    print(notice)
"""

Run = Callable[..., list[str]]


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_library(tmp_path_factory.mktemp("library"))


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    folder = tmp_path / "drive"
    folder.mkdir()
    return folder


@pytest.fixture
def run(library: Path, drive: Path) -> Run:
    """Run a program that has the drive; return the lines that it prints."""

    def run_program(program: str, *arguments: int, **refusals: int) -> list[str]:
        environment = {**os.environ, **variables(library, drive, refusals)}
        command = [sys.executable, "-c", program, str(drive), *map(str, arguments)]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    return run_program


@pytest.mark.parametrize("refusal", [errno.EINVAL, errno.ENOTSUP])
def test_where_folders_cannot_be_synced_results_are_saved_and_that_is_told_once(
    run: Run, refusal: int
) -> None:
    *states, notice = run(PAY, 0, 5, REFUSE_FOLDER_SYNC=refusal)
    assert states == ["new"] * 5
    assert "cannot confirm" in notice
    assert run(PAY, 0, 5)[:5] == ["stored"] * 5


def test_a_folder_that_fails_to_sync_for_another_reason_is_an_error(run: Run) -> None:
    with pytest.raises(AssertionError, match="Input/output error"):
        run(PAY, 0, 1, REFUSE_FOLDER_SYNC=errno.EIO)


@pytest.mark.parametrize("refusal", [errno.ENODEV, errno.EINVAL])
def test_without_shared_memory_a_rollback_journal_keeps_the_results(
    run: Run, drive: Path, refusal: int
) -> None:
    *states, notice = run(PAY, 0, 3, REFUSE_SHARED_MEMORY=refusal)
    assert states == ["new"] * 3
    assert "write-ahead log" in notice
    database = drive / "siliconflow-ledger" / "ledger.sqlite3"
    assert database.read_bytes()[18:20] == b"\x01\x01", "not a rollback journal"
    assert run(PAY, 0, 3, REFUSE_SHARED_MEMORY=refusal)[:3] == ["stored"] * 3
    assert run(PAY, 0, 3)[:3] == ["stored"] * 3


def test_a_ledger_that_comes_to_a_drive_without_shared_memory_is_read_there(run: Run) -> None:
    assert run(PAY, 0, 3)[:3] == ["new"] * 3
    *states, notice = run(PAY, 0, 6, REFUSE_SHARED_MEMORY=errno.ENODEV)
    assert states == ["stored"] * 3 + ["new"] * 3
    assert "write-ahead log" in notice


def test_two_processes_without_shared_memory_share_a_ledger(
    library: Path, drive: Path, run: Run
) -> None:
    refusing = variables(library, drive, {"REFUSE_SHARED_MEMORY": errno.ENODEV})
    environment = {**os.environ, **refusing}
    ranges = (("0", "12"), ("12", "24"))
    command = [sys.executable, "-c", PAY, str(drive)]
    processes = [
        subprocess.Popen([*command, *numbers], env=environment, stdout=subprocess.PIPE, text=True)
        for numbers in ranges
    ]
    outputs = [process.communicate(timeout=60)[0].splitlines() for process in processes]
    assert [output[:12] for output in outputs] == [["new"] * 12] * 2
    assert run(PAY, 0, 24)[:24] == ["stored"] * 24


def test_a_rename_that_another_program_holds_up_is_tried_again(run: Run) -> None:
    assert run(PAY, 0, 2, REFUSE_RENAMES=3) == ["new"] * 2
    assert run(PAY, 0, 2) == ["stored"] * 2


def test_a_rename_that_is_refused_for_good_is_an_error(run: Run) -> None:
    with pytest.raises(AssertionError, match="LedgerError"):
        run(PAY, 0, 1, REFUSE_RENAMES=1000)


def test_names_fit_a_drive_that_takes_143_characters(run: Run) -> None:
    assert run(PAY, 0, 2, LONGEST_NAME=143) == ["new"] * 2
    assert run(PAY, 0, 2, LONGEST_NAME=64) == ["stored"] * 2


@pytest.mark.parametrize("refusal", [errno.EROFS, errno.ENOTSUP, errno.EPERM])
def test_settings_whose_mode_cannot_be_changed_are_read_with_one_warning(
    run: Run, drive: Path, refusal: int
) -> None:
    file = drive / "settings.json"
    file.write_text('{"api_key": "sk-secret"}')
    file.chmod(0o644)
    *keys, notice = run(SETTINGS, REFUSE_CHMOD=refusal)
    assert keys == ["sk-secret"] * 3
    assert str(file) in notice
    assert os.strerror(refusal) in notice
    assert "sk-secret" not in notice
    assert stat.S_IMODE(file.stat().st_mode) == 0o644


def test_settings_on_a_read_only_mount_are_read_with_one_warning(
    tmp_path: Path, drive: Path
) -> None:
    """As Kubernetes and `docker -v x:ro` mount them."""
    file = drive / "settings.json"
    file.write_text('{"api_key": "sk-secret"}')
    file.chmod(0o644)
    program = tmp_path / "program.py"
    program.write_text(SETTINGS)
    mount = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" || exit 77'
    inside = [
        "sh",
        "-c",
        f'{mount}; exec "$2" "$3" "$1"',
        "sh",
        str(drive),
        sys.executable,
        str(program),
    ]
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("needs Linux")
    done = subprocess.run(
        [unshare, "-rm", *inside], capture_output=True, text=True, check=False, timeout=60
    )
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("may not mount")
    assert done.returncode == 0, done.stderr
    *keys, notice = done.stdout.splitlines()
    assert keys == ["sk-secret"] * 3
    assert os.strerror(errno.EROFS) in notice
